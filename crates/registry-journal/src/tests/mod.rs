//! What a database that is lost, old, or not alone comes to.

mod crashing;
mod objects;
mod owners;
mod rebuilding;
mod refusing;
mod waiting;

use std::{path::PathBuf, sync::Arc, time::Duration};

use registry_database::{
    Durability, Error, Fault, Migration, Owners, SCHEMA, Schema,
    clock::ManualClock,
    sqlite::statement::{all, one},
};
use rusqlite::{Connection, types::ValueRef};
use tempfile::TempDir;

use self::objects::TroubledObjects;
use crate::{JournalOptions, Journalled, OpenError};

/// Some day in 2026.
const START_MS: i64 = 1_790_000_000_000;

/// Pages with a tag, of which each needs its bytes.
const PAGES: Schema = Schema {
    owner: "pages",
    migrations: &[
        Migration {
            number: 1,
            oldest_binary: 1,
            sql: "CREATE TABLE store (one INTEGER PRIMARY KEY, format BIGINT NOT NULL,
                    oldest_binary BIGINT NOT NULL, created_at BIGINT NOT NULL);
                CREATE TABLE texts (digest {text} NOT NULL PRIMARY KEY, size BIGINT NOT NULL, bytes {bytes}){clustered};
                CREATE TABLE pages (name {text} NOT NULL PRIMARY KEY, text {text} NOT NULL REFERENCES texts (digest),
                    updated_at BIGINT NOT NULL);
                CREATE TABLE sessions (id {text} NOT NULL PRIMARY KEY, state BIGINT NOT NULL){clustered};",
        },
        Migration { number: 2, oldest_binary: 1, sql: "ALTER TABLE pages ADD COLUMN weight REAL;" },
    ],
    volatile: &["sessions"],
    content: &["texts", "pages"],
};

/// People. There may be some before there is a page.
const PEOPLE: Schema = Schema {
    owner: "people",
    migrations: &[Migration {
        number: 3,
        oldest_binary: 1,
        sql: "CREATE TABLE people (id {id}, name {text} NOT NULL UNIQUE);",
    }],
    volatile: &[],
    content: &["people"],
};

pub(crate) const OWNERS: Owners = Owners::new(&[&PAGES, &PEOPLE, &SCHEMA]);

/// A folder with databases, a journal, and a clock for all.
struct Bench {
    folder: TempDir,
    objects: TroubledObjects,
    clock: ManualClock,
    options: JournalOptions,
}

impl Bench {
    fn new() -> Bench {
        Bench {
            folder: tempfile::tempdir().unwrap(),
            objects: TroubledObjects::new(),
            clock: ManualClock::at_ms(START_MS),
            options: JournalOptions { retention: Duration::ZERO, ..JournalOptions::default() },
        }
    }

    /// Snapshots after so many entries.
    fn snapshots(mut self, entries: u64) -> Bench {
        self.options.snapshot_entries = entries;
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn try_open(&self, name: &str) -> Result<Journalled, OpenError> {
        self.open_on(name, &self.objects).await
    }

    async fn open_on(&self, name: &str, objects: &TroubledObjects) -> Result<Journalled, OpenError> {
        let (clock, objects) = (Arc::new(self.clock.clone()), Arc::new(objects.clone()));
        crate::open(self.path(name), OWNERS, clock, self.options.clone(), objects).await
    }

    async fn open_with(&self, name: &str, owners: Owners) -> Result<Journalled, OpenError> {
        let (clock, objects) = (Arc::new(self.clock.clone()), Arc::new(self.objects.clone()));
        crate::open(self.path(name), owners, clock, self.options.clone(), objects).await
    }

    async fn open(&self, name: &str) -> Journalled {
        self.try_open(name).await.unwrap()
    }

    /// Copies a database as a crash would leave it.
    fn copy(&self, from: &str, to: &str) {
        for suffix in ["", "-wal"] {
            let with = |name: &str| self.path(&format!("{name}{suffix}"));
            if with(from).exists() {
                std::fs::copy(with(from), with(to)).unwrap();
            }
        }
    }

    fn entries(&self) -> usize {
        self.objects.names("journal").len()
    }
}

/// Dropping waits for threads.
async fn close(store: Journalled) {
    tokio::task::spawn_blocking(move || drop(store)).await.unwrap();
}

/// Changes rows in one transaction.
async fn write(store: &Journalled, durability: Durability, sql: String) -> Result<(), Error> {
    let work = move |connection: &Connection| -> Result<(), Fault> { Ok(connection.execute_batch(&sql)?) };
    store.database.writer().run("write", durability, (), work).await
}

async fn push_text(store: &Journalled, text: &str) -> Result<String, Error> {
    let size = text.len();
    let sql = format!("INSERT OR IGNORE INTO texts VALUES ('{text}', {size}, CAST('{text}' AS BLOB))");
    write(store, Durability::Full, sql).await.map(|()| text.to_owned())
}

/// Pushes a page of a new text.
async fn push(store: &Journalled, name: &str) -> Result<String, Error> {
    let text = push_text(store, name).await?;
    name_text(store, name, &text).await
}

/// Pushes a page of a text that is there.
async fn name_text(store: &Journalled, name: &str, text: &str) -> Result<String, Error> {
    let sql = format!(
        "INSERT INTO pages (name, text, updated_at) VALUES ('{name}', '{text}', now_ms())
            ON CONFLICT (name) DO UPDATE SET text = excluded.text, updated_at = excluded.updated_at"
    );
    write(store, Durability::Full, sql).await.map(|()| text.to_owned())
}

fn text_of(store: &Journalled, name: &str) -> Option<String> {
    let read = |connection: &Connection| -> Result<Option<String>, Fault> {
        Ok(one(connection, "SELECT text FROM pages WHERE name = $1", [name], |row| row.get(0))?)
    };
    store.database.readers().read("read a page", read).unwrap()
}

/// Rows as text.
fn rows(store: &Journalled, sql: &str) -> Vec<String> {
    let read = |connection: &Connection| -> Result<Vec<String>, Fault> {
        let width = connection.prepare(sql)?.column_count();
        let row = |row: &rusqlite::Row<'_>| {
            let columns = (0..width).map(|column| Ok(text(row.get_ref(column)?)));
            Ok(columns.collect::<rusqlite::Result<Vec<_>>>()?.join("|"))
        };
        Ok(all(connection, sql, [], row)?)
    };
    store.database.readers().read("look", read).unwrap()
}

fn text(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => String::new(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// Everything that a database has but for what is volatile and the journal's own.
fn dump(store: &Journalled) -> Vec<String> {
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'
        AND name NOT LIKE 'journal%' AND name <> 'sessions' ORDER BY name";
    let mut dump = Vec::new();
    for table in rows(store, tables) {
        let mut all = rows(store, &format!("SELECT * FROM {table}"));
        all.sort();
        dump.extend(all.into_iter().map(|row| format!("{table}: {row}")));
    }
    dump
}
