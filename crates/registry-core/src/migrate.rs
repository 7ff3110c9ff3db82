//! From SQLite to PostgreSQL, as a configuration describes the two.

use std::path::{Path, PathBuf};

use registry_config::{Config, Driver, Metadata};
use registry_metadata::transfer::{Moved, TransferError, transfer};

use crate::{OWNERS, OpenError, configured::postgres_options};

/// Why nothing was moved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// The configuration names no PostgreSQL database to move to.
    #[error(
        "the configuration names no target: set metadata.postgresql.url, or REGISTRY_METADATA_POSTGRESQL_URL"
    )]
    NoTarget,
    /// Nobody said where the SQLite database is, and the configuration has no data folder.
    #[error("the SQLite database to move must be named: --from <file>")]
    NoSource,
    /// The target's URL can not be used.
    #[error(transparent)]
    Target(#[from] OpenError),
    /// Nothing was moved.
    #[error(transparent)]
    Transfer(#[from] TransferError),
}

/// Moves the metadata of the SQLite registry at `from`, by default where the configuration's data folder has it, into the
/// configuration's PostgreSQL database, which must be empty. Bytes stay where they are.
///
/// # Errors
/// See [`MigrateError`]; then nothing was moved.
pub async fn migrate(
    config: &Config,
    from: Option<&Path>,
    progress: impl FnMut(&str, &Moved),
) -> Result<Vec<Moved>, MigrateError> {
    let Metadata::Postgresql(postgresql) = &config.metadata else { return Err(MigrateError::NoTarget) };
    let from = source(config, from).ok_or(MigrateError::NoSource)?;
    Ok(transfer(&from, &postgres_options(postgresql)?, OWNERS, progress).await?)
}

/// The SQLite database to move, if it is known.
pub fn source(config: &Config, from: Option<&Path>) -> Option<PathBuf> {
    let beside_bytes = match &config.storage.driver {
        Driver::Filesystem { root, .. } => Some(root.join("metadata.sqlite")),
        // Where it lies without a word in the configuration that names PostgreSQL, nothing says any more.
        Driver::InMemory | Driver::S3(_) | Driver::Gcs(_) | Driver::Azure(_) => None,
    };
    from.map(Path::to_owned).or(beside_bytes)
}
