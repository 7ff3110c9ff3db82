use std::path::PathBuf;

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
