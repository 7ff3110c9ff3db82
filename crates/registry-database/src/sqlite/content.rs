//! Whether a database is worth keeping.

use rusqlite::Connection;

use super::tables_there;
use crate::Owners;

/// Whether any table of [content](crate::Schema::content) has a row. An older schema may lack some of the tables, and an owner may not be there.
///
/// # Errors
/// SQLite's.
pub fn has_content(connection: &Connection, owners: &Owners) -> rusqlite::Result<bool> {
    let there = tables_there(connection, owners.content())?;
    let sql = owners.has_content(|table| there.contains(&table));
    connection.query_row(&sql, [], |row| row.get(0))
}
