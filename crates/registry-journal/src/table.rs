//! Which tables are journalled, and what columns they have: read from the database, so that a migration that adds one
//! need not think of the journal.

use std::collections::HashMap;

use registry_database::{Owners, sqlite::statement::all};
use rusqlite::Connection;

/// What this module keeps about the journal itself.
pub(crate) const OWN_TABLES: &[&str] = &["journal_state", "journal_entries"];

/// The most columns of a table: what one number can have bits for.
pub(crate) const COLUMNS_MAX: usize = 63;

/// A table whose rows are journalled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) columns: Vec<Column>,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) is_key: bool,
}

impl Table {
    /// The columns of the primary key, as bits.
    pub(crate) fn keys(&self) -> u64 {
        let bit = |(index, column): (usize, &Column)| u64::from(column.is_key) << index;
        self.columns.iter().enumerate().map(bit).sum()
    }

    /// All columns, as bits.
    pub(crate) fn all(&self) -> u64 {
        (1 << self.columns.len()) - 1
    }
}

/// The tables that changes are made to, by their names.
pub(crate) struct Tables {
    by_name: HashMap<String, Table>,
    owners: Owners,
}

impl Tables {
    pub(crate) fn read(connection: &Connection, owners: &Owners) -> rusqlite::Result<Tables> {
        let tables = journalled(connection, owners)?;
        let by_name = tables.into_iter().map(|table| (table.name.clone(), table)).collect();
        Ok(Tables { by_name, owners: *owners })
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Table> {
        self.by_name.get(name)
    }

    /// Whether a table is volatile.
    pub(crate) fn is_left_out(&self, name: &str) -> bool {
        self.owners.volatile().any(|table| table == name)
    }
}

/// The journalled tables, in the order of their names.
pub(crate) fn journalled(connection: &Connection, owners: &Owners) -> rusqlite::Result<Vec<Table>> {
    let sql =
        "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
        ORDER BY name";
    let names: Vec<String> = all(connection, sql, [], |row| row.get(0))?;
    let is_left_out =
        |name: &String| owners.volatile().chain(OWN_TABLES.iter().copied()).any(|table| table == name);
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
