//! Which tables are journalled, and what columns they have: read from the database, so that a migration that adds one
//! need not think of the journal.

use rusqlite::Connection;

use super::super::statement::all;
use crate::OWNERS;

/// What this module keeps about the journal itself.
const OWN_TABLES: &[&str] = &["journal_state", "journal_entries"];

/// The most columns of a table: what one number can have bits for.
pub(super) const COLUMNS_MAX: usize = 63;

/// A table whose rows are journalled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) is_key: bool,
}

impl Table {
    /// The columns of the primary key, as bits.
    pub(super) fn keys(&self) -> u64 {
        let bit = |(index, column): (usize, &Column)| u64::from(column.is_key) << index;
        self.columns.iter().enumerate().map(bit).sum()
    }

    /// All columns, as bits.
    pub(super) fn all(&self) -> u64 {
        (1 << self.columns.len()) - 1
    }
}

/// The journalled tables, in the order of their names.
pub(super) fn journalled(connection: &Connection) -> rusqlite::Result<Vec<Table>> {
    let sql =
        "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
        ORDER BY name";
    let names: Vec<String> = all(connection, sql, [], |row| row.get(0))?;
    let is_left_out =
        |name: &String| OWNERS.volatile().chain(OWN_TABLES.iter().copied()).any(|table| table == name);
    let table = |name: String| {
        let columns = columns(connection, &name)?;
        Ok(Table { name, columns })
    };
    names.into_iter().filter(|name| !is_left_out(name)).map(table).collect()
}

fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Column>> {
    let sql = "SELECT name, pk > 0 FROM pragma_table_info($1) ORDER BY cid";
    all(connection, sql, [table], |row| Ok(Column { name: row.get(0)?, is_key: row.get(1)? }))
}
