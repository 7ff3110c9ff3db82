//! From a SQLite database to an empty PostgreSQL: [`transfer`].

use std::{path::Path, sync::Arc};

pub use registry_database::transfer::{Moved, TransferError};
use registry_database::{Cause, Owners, PostgresOptions, SystemClock, transfer as database};

use crate::{Options, SqliteStore};

/// Moves everything that a SQLite registry knows into an empty PostgreSQL database, and compares it row by row. Both
/// have the tables of `owners`. The SQLite file stays as it is. `progress` is told of each table when it is copied and when it was compared.
///
/// **Cancellation**: nothing was moved.
///
/// # Errors
/// See [`TransferError`]; then nothing was moved.
pub async fn transfer(
    sqlite: &Path,
    postgres: &PostgresOptions,
    owners: Owners,
    progress: impl FnMut(&str, &Moved),
) -> Result<Vec<Moved>, TransferError> {
    refuse_journalled(sqlite, owners)?;
    database::transfer(sqlite, postgres, &owners, progress).await
}

/// What a journal does not know would be moved: it is to be given up first.
fn refuse_journalled(path: &Path, owners: Owners) -> Result<(), TransferError> {
    if !path.is_file() {
        return Ok(());
    }
    let opened = SqliteStore::open(path, Options { owners, ..Options::default() }, Arc::new(SystemClock));
    opened.map(drop).map_err(|error| TransferError::Source(Cause::from(error)))
}
