use crate::field::Field;
use crate::storage::{Driver, Storage};

/// Whether everything that an SQLite database knows is kept in the store as well. Key `metadata.sqlite.journal`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Journal {
    /// Whether it is. By default for object stores, whose node may lose its disk. Key `enabled`.
    pub enabled: bool,
    /// After how many bytes of entries a snapshot is made at the earliest; 64 MiB by default. Key `snapshot.bytes`.
    pub snapshot_bytes: u64,
    /// After how many entries a snapshot is made at the earliest; 2000 by default. Key `snapshot.entries`.
    pub snapshot_entries: u64,
}

const MIB: u64 = 1024 * 1024;

impl Journal {
    pub(crate) fn read(metadata: &Field<'_>, storage: &Storage) -> Journal {
        let is_sqlite = match metadata.scalar() {
            Some(name) => name == "sqlite",
            None => metadata.entries().iter().all(|(name, _)| *name == "sqlite"),
        };
        let journal = match metadata.scalar() {
            Some(_) => metadata.absent(),
            None => metadata.get("sqlite").get("journal"),
        };
        let is_cloud = !matches!(storage.driver, Driver::Filesystem { .. } | Driver::InMemory);
        let enabled = journal.get("enabled");
        let is_enabled = enabled.flag(is_cloud && is_sqlite);
        let is_possible = storage.driver != Driver::InMemory && is_sqlite;
        if is_enabled && !is_possible {
            enabled.problem("is on, but there is no store that outlives the database", "false");
        }
        let snapshot = journal.get("snapshot");
        Journal {
            enabled: is_enabled && is_possible,
            snapshot_bytes: snapshot.get("bytes").size(64 * MIB, MIB..=1024 * 1024 * MIB),
            snapshot_entries: snapshot.get("entries").integer(2_000, 10..=1_000_000),
        }
    }
}
