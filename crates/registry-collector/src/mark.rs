//! Whether the database is the one that the store has seen last.
//!
//! Somebody restores yesterday's copy of the database. What was pushed since is in the store, and no row leads to it: to a
//! sweep it looks like garbage. So database and store both keep a number that grows all the time, the database first; and
//! a database with the smaller one is older than the store.

use registry_metadata::{MetadataError, MetadataStore};
use registry_storage::{BlobStore, StorageError};

/// Why nothing may be swept.
#[derive(Debug, thiserror::Error)]
pub enum MarkError {
    /// The database is older than the store.
    #[error(
        "the database is older than the store: it was restored from a copy, and what was pushed since looks like garbage. \
         Restore a newer copy, or say `registry fsck --accept-older-database` if what is missing may be lost"
    )]
    DatabaseOlder {
        /// How far the database has come.
        database: i64,
        /// How far the store has seen it come.
        store: i64,
    },
    /// The store keeps no mark, so nobody can tell.
    #[error("the store keeps no mark, so nobody can tell whether the database is older than it")]
    NotKept,
    /// The database failed.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Checks the mark and raises it on both sides.
pub(crate) async fn advance(metadata: &dyn MetadataStore, store: &dyn BlobStore) -> Result<(), MarkError> {
    let seen = store.read_mark().await?.unwrap_or(0);
    let database = metadata.mark().await?;
    if seen > database {
        return Err(MarkError::DatabaseOlder { database, store: seen });
    }
    raise(metadata, store, seen).await
}

/// Takes the database as it is for the one that belongs to the store.
pub(crate) async fn accept(metadata: &dyn MetadataStore, store: &dyn BlobStore) -> Result<(), MarkError> {
    let seen = store.read_mark().await?.unwrap_or(0);
    raise(metadata, store, seen).await
}

async fn raise(metadata: &dyn MetadataStore, store: &dyn BlobStore, above: i64) -> Result<(), MarkError> {
    let mark = metadata.raise_mark(above).await?;
    if store.write_mark(mark).await? { Ok(()) } else { Err(MarkError::NotKept) }
}
