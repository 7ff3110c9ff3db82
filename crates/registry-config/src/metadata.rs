use std::path::PathBuf;
use std::time::Duration;

use registry_types::Secret;

use crate::field::{Field, quoted};
use crate::storage::{Driver, Storage};

/// Where names, tags and everything else but bytes are kept. Key `metadata`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Metadata {
    /// In an SQLite database in this file. Key `metadata.sqlite.path`.
    SqliteFile(PathBuf),
    /// In an SQLite database in memory: what goes with bytes in memory.
    SqliteMemory,
    /// In a PostgreSQL database, which several nodes may share. Key `metadata.postgresql`.
    Postgresql(Postgresql),
}

/// Where a PostgreSQL database is, and how much of it a node takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Postgresql {
    /// `postgres://user:password@host:5432/database?sslmode=…`. Key `url`.
    pub url: Secret,
    /// The most connections of this node; 16 by default. Key `pool.size`.
    pub pool_size: usize,
    /// How long a request waits for a connection; a second by default. Key `pool.wait`.
    pub pool_wait: Duration,
    /// The most requests that wait for one; 1024 by default. Key `pool.waiting`.
    pub pool_waiting_max: usize,
}

/// The database's name in the storage's folder.
const DATABASE: &str = "metadata.sqlite";

/// The names of what there is.
const DATABASES: [&str; 2] = ["sqlite", "postgresql"];

const POSTGRESQL_URL: &str = "postgres://user:password@host:5432/database";

impl Metadata {
    pub(crate) fn read(metadata: &Field<'_>, storage: &Storage) -> Metadata {
        let (sqlite, postgresql) = choices(metadata);
        let Some(postgresql) = postgresql else { return Metadata::sqlite(&sqlite, storage) };
        if sqlite.is_set() {
            metadata.problem("has two databases, sqlite and postgresql", "one");
        }
        if matches!(storage.driver, Driver::InMemory) {
            // After a restart the database would promise bytes that are gone.
            postgresql.problem("is given, but storage is inmemory", "storage that outlives the process");
        }
        Metadata::Postgresql(Postgresql::read(&postgresql))
    }

    fn sqlite(sqlite: &Field<'_>, storage: &Storage) -> Metadata {
        let path = sqlite.get("path");
        match (&storage.driver, path.path()) {
            (Driver::InMemory, None) => Metadata::SqliteMemory,
            (Driver::InMemory, Some(_)) => {
                // As above.
                path.problem("is given, but storage is inmemory", "no path, or storage on filesystem");
                Metadata::SqliteMemory
            }
            (_, Some(file)) => Metadata::SqliteFile(file),
            (driver, None) => match driver.folder() {
                Some(folder) => Metadata::SqliteFile(folder.join(DATABASE)),
                None => Metadata::SqliteMemory,
            },
        }
    }
}

/// The section of SQLite, and that of PostgreSQL if it was chosen.
fn choices<'a>(metadata: &Field<'a>) -> (Field<'a>, Option<Field<'a>>) {
    match metadata.scalar() {
        Some("sqlite") => (metadata.absent(), None),
        Some("postgresql") => (metadata.absent(), Some(metadata.absent().get("postgresql"))),
        Some(other) => {
            refuse(other, metadata);
            (metadata.absent(), None)
        }
        None => {
            let entries = metadata.entries();
            let others = entries.iter().filter(|(name, _)| !DATABASES.contains(name));
            others.for_each(|(name, field)| refuse(name, field));
            let is_named = entries.iter().any(|(name, _)| *name == "postgresql");
            (metadata.get("sqlite"), is_named.then(|| metadata.get("postgresql")))
        }
    }
}

impl Postgresql {
    fn read(postgresql: &Field<'_>) -> Postgresql {
        let (url, pool) = (postgresql.get("url"), postgresql.get("pool"));
        let size = pool.get("size").integer(16, 1..=1_000);
        let waiting = pool.get("waiting").integer(1024, 0..=1_000_000);
        let text = url.required(POSTGRESQL_URL).unwrap_or_default();
        // A problem does not repeat it: there may be a password in it.
        if url.is_set() && !is_url(&text) {
            url.problem("is not the URL of a PostgreSQL database", POSTGRESQL_URL);
        }
        Postgresql {
            url: Secret::new(text),
            pool_size: usize::try_from(size).unwrap_or(usize::MAX),
            pool_wait: pool.get("wait").duration(Duration::from_secs(1), Duration::from_millis(10)),
            pool_waiting_max: usize::try_from(waiting).unwrap_or(usize::MAX),
        }
    }
}

/// Whether it names a scheme and something to connect to; the rest is for whoever connects.
fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace))
}

/// Using another database than the one that was asked for would lose sight of what is in it.
fn refuse(name: &str, field: &Field<'_>) {
    field.problem(format!("metadata in {} is not in this version", quoted(name)), "sqlite or postgresql");
}
