use std::path::PathBuf;
use std::time::Duration;

use crate::field::{Field, quoted};
use crate::storage::{Driver, Storage};

/// Where names, tags and everything else but bytes are kept. Key `metadata`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Metadata {
    /// In an SQLite database in this file. Key `metadata.sqlite.path`.
    SqliteFile(PathBuf),
    /// In an SQLite database in memory: what goes with bytes in memory.
    SqliteMemory,
}

/// How long what may be garbage is kept. Key `gc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gc {
    /// How long a client that was told of a blob or manifest has to push something that uses it; 24 hours by default.
    pub lease: Duration,
    /// How long deleted tags and manifests can be restored; 7 days by default, zero for not at all.
    pub undelete_window: Duration,
}

/// The database's name in the storage's folder.
const DATABASE: &str = "metadata.sqlite";

impl Metadata {
    pub(crate) fn read(metadata: &Field<'_>, storage: &Storage) -> Metadata {
        let sqlite = match metadata.scalar() {
            Some("sqlite") => metadata.absent(),
            Some(other) => {
                refuse(other, metadata);
                metadata.absent()
            }
            None => {
                let entries = metadata.entries();
                entries
                    .iter()
                    .filter(|(name, _)| *name != "sqlite")
                    .for_each(|(name, field)| refuse(name, field));
                metadata.get("sqlite")
            }
        };
        let path = sqlite.get("path");
        match (&storage.driver, path.text()) {
            (Driver::Filesystem { .. }, Some(file)) => Metadata::SqliteFile(PathBuf::from(file)),
            (Driver::Filesystem { root, .. }, None) => Metadata::SqliteFile(root.join(DATABASE)),
            (Driver::InMemory, None) => Metadata::SqliteMemory,
            (Driver::InMemory, Some(_)) => {
                // After a restart the database would promise bytes that are gone.
                path.problem("is given, but storage is inmemory", "no path, or storage on filesystem");
                Metadata::SqliteMemory
            }
        }
    }
}

/// Using another database than the one that was asked for would lose sight of what is in it.
fn refuse(name: &str, field: &Field<'_>) {
    field.problem(format!("metadata in {} is not in this version", quoted(name)), "sqlite");
}

impl Gc {
    pub(crate) fn read(gc: &Field<'_>) -> Gc {
        const HOUR: Duration = Duration::from_secs(3600);
        Gc {
            lease: gc.get("lease").duration(24 * HOUR, Duration::from_secs(60)),
            undelete_window: gc.get("undelete_window").duration(7 * 24 * HOUR, Duration::ZERO),
        }
    }
}
