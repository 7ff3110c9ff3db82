//! A file with one table of things.

mod opening;
pub(crate) mod owners;
mod writing;

use std::{path::PathBuf, sync::Arc};

use tempfile::TempDir;

use crate::{Fault, Migration, OpenError, Owners, SCHEMA, Schema, Sqlite, SystemClock};

const THINGS: Schema = Schema {
    owner: "things",
    migrations: &[
        Migration {
            number: 1,
            oldest_binary: 1,
            sql: "CREATE TABLE store (one INTEGER PRIMARY KEY, format BIGINT NOT NULL, oldest_binary BIGINT NOT NULL,
                    created_at BIGINT NOT NULL);
                CREATE TABLE things (name {text} NOT NULL PRIMARY KEY){clustered};",
        },
        Migration {
            number: 2,
            oldest_binary: 2,
            sql: "ALTER TABLE things ADD COLUMN size BIGINT NOT NULL DEFAULT 7;",
        },
    ],
    volatile: &["lost"],
    content: &["things"],
};

pub(crate) const OWNERS: Owners = Owners::new(&[&THINGS, &SCHEMA]);

fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("things.db");
    (folder, path)
}

fn open(path: &std::path::Path, owners: &Owners) -> Result<Sqlite, OpenError> {
    Sqlite::open(path, owners, Arc::new(SystemClock))
}

fn insert(connection: &rusqlite::Connection, name: &str) -> Result<(), Fault> {
    connection.execute("INSERT INTO things (name) VALUES ($1)", [name])?;
    Ok(())
}

/// The only value of a statement, as text.
pub(crate) fn value(database: &Sqlite, sql: &str) -> String {
    let read = |connection: &rusqlite::Connection| {
        Ok(connection.query_row(&format!("SELECT CAST(({sql}) AS TEXT)"), [], |row| row.get(0))?)
    };
    database.readers().read("look", read).unwrap()
}
