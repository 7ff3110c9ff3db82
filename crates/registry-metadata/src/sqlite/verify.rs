//! What SQLite says of its file.

use rusqlite::Connection;

use crate::audit::VERIFY_LINES_MAX;

/// SQLite's own checks: pages and indexes, then foreign keys.
pub(super) fn check(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut said: Vec<String> = connection
        .prepare(&format!("PRAGMA integrity_check({VERIFY_LINES_MAX})"))?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    said.retain(|line| line != "ok");
    let mut keys = connection.prepare("PRAGMA foreign_key_check")?;
    let dangling = keys.query_map([], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, Option<i64>>(1)?, row.get::<_, String>(2)?))
    })?;
    for row in dangling.take(VERIFY_LINES_MAX) {
        let (table, number, parent) = row?;
        let number = number.map(|number| format!(" {number}")).unwrap_or_default();
        said.push(format!("a row{number} of {table} refers to a row of {parent} that is not there"));
    }
    Ok(said)
}
