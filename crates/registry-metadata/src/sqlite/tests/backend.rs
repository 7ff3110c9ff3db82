use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use rusqlite::types::ValueRef;
use tempfile::TempDir;

use super::super::writer::Durability;
use crate::{
    Options, SqliteStore,
    clock::ManualClock,
    contract::{Backend, Probe, Subject},
};

/// Some day in 2026.
pub(super) const START_MS: i64 = 1_790_000_000_000;

/// A database in a file, open twice: each store has its own connections, as two processes would.
pub(super) struct InFile;

/// A database in memory, which can not be opened twice.
pub(super) struct InMemory;

/// A file's folder lives as long as its probe.
#[derive(Debug)]
struct SqliteProbe {
    store: Arc<SqliteStore>,
    clock: ManualClock,
    _folder: Option<TempDir>,
}

#[async_trait]
impl Backend for InFile {
    async fn open(&self, options: Options) -> Subject {
        let (folder, path) = place();
        let clock = ManualClock::at_ms(START_MS);
        let open = || Arc::new(SqliteStore::open(&path, options.clone(), Arc::new(clock.clone())).unwrap());
        let (store, other) = (open(), open());
        subject(store, other, clock, Some(folder))
    }
}

#[async_trait]
impl Backend for InMemory {
    async fn open(&self, options: Options) -> Subject {
        let clock = ManualClock::at_ms(START_MS);
        let store = Arc::new(SqliteStore::open_in_memory(options, Arc::new(clock.clone())).unwrap());
        subject(store.clone(), store, clock, None)
    }
}

fn subject(
    store: Arc<SqliteStore>,
    other: Arc<SqliteStore>,
    clock: ManualClock,
    folder: Option<TempDir>,
) -> Subject {
    let probe = SqliteProbe { store: store.clone(), clock, _folder: folder };
    Subject { store, other, probe: Arc::new(probe) }
}

pub(super) fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    (folder, path)
}

#[async_trait]
impl Probe for SqliteProbe {
    async fn rows(&self, sql: &str) -> Vec<String> {
        rows(&self.store, sql)
    }

    async fn run(&self, sql: &str) {
        let sql = sql.to_owned();
        let run = move |tx: &super::super::writer::Tx<'_>| Ok(tx.connection().execute_batch(&sql)?);
        self.store.writer.run("change rows", Durability::Process, (), run).await.unwrap();
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }
}

pub(super) fn rows(store: &SqliteStore, sql: &str) -> Vec<String> {
    let read = |connection: &rusqlite::Connection| {
        let mut statement = connection.prepare(sql)?;
        let columns = statement.column_count();
        let row = |row: &rusqlite::Row<'_>| {
            let columns = (0..columns).map(|column| row.get_ref(column).map(text));
            columns.collect::<rusqlite::Result<Vec<_>>>().map(|columns| columns.join("|"))
        };
        statement.query_map([], row)?.collect()
    };
    store.readers.read("look behind the trait", read).unwrap()
}

fn text(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => String::new(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(text) | ValueRef::Blob(text) => String::from_utf8_lossy(text).into_owned(),
    }
}
