//! Whether a database is worth keeping.

use rusqlite::Connection;

use super::statement::exists;
use crate::Owners;

/// Whether any table of [content](crate::Schema::content) has a row. An older schema may lack some of the tables.
///
/// # Errors
/// SQLite's.
pub fn has_content(connection: &Connection, owners: &Owners) -> rusqlite::Result<bool> {
    let mut there = Vec::new();
    for table in owners.content() {
        let is_there = "SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND name = $1";
        if exists(connection, is_there, [table])? {
            there.push(table);
        }
    }
    let sql = owners.has_content(|table| there.contains(&table));
    connection.query_row(&sql, [], |row| row.get(0))
}
