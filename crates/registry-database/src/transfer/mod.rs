//! From a SQLite database to an empty PostgreSQL: [`transfer`].
//!
//! Everything happens in one transaction of PostgreSQL, in batches: rows are copied table by table, then both sides are
//! read again in the order of their keys and compared, value by value. A failure anywhere leaves the target as empty as
//! it was. The source is locked meanwhile: nobody serves from it and nobody writes to it.

mod source;
mod target;
#[cfg(all(test, feature = "postgres-server"))]
mod tests;

use std::{path::Path, sync::Arc};

use thiserror::Error;

use self::{source::Source, target::Target};
use crate::{Cause, OpenError, Owners, Pool, PostgresOptions, Sqlite};

/// Why nothing was moved.
#[derive(Debug, Error)]
pub enum TransferError {
    /// There is no database to move.
    #[error("there is no SQLite database at {}", path.display())]
    NoSource {
        /// Where it was looked for.
        path: std::path::PathBuf,
    },
    /// The source can not be opened, or a registry serves from it.
    #[error("can not take over the SQLite database")]
    Source(#[source] Cause),
    /// The target can not be opened.
    #[error("can not open the PostgreSQL database")]
    Target(#[source] OpenError),
    /// The target is in use.
    #[error("the PostgreSQL database is not empty: the table `{table}` has rows")]
    NotEmpty {
        /// The first table that has some.
        table: String,
    },
    /// A table is known to one of the two only.
    #[error("the PostgreSQL database has no table `{table}` such as the SQLite database has")]
    UnknownTable {
        /// Which.
        table: String,
    },
    /// What was copied is not what is there.
    #[error("row {row} of `{table}` is not the same in both databases")]
    Different {
        /// Which table.
        table: String,
        /// Which row, in the order of the keys, from 1.
        row: u64,
    },
    /// A database failed.
    #[error("could not {operation}")]
    Database {
        /// What was being done.
        operation: String,
        /// What it said.
        #[source]
        source: Cause,
    },
}

impl TransferError {
    fn database(operation: impl Into<String>, source: impl Into<Cause>) -> TransferError {
        TransferError::Database { operation: operation.into(), source: source.into() }
    }
}

/// A table that was moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Its name.
    pub table: String,
    /// How many rows it has, all of which were compared.
    pub rows: u64,
}

/// Moves everything that a SQLite registry knows into an empty PostgreSQL database, and compares it row by row. The
/// SQLite file stays as it is. `progress` is told of each table when it is copied and when it was compared.
///
/// **Cancellation**: nothing was moved.
///
/// # Errors
/// See [`TransferError`]; then nothing was moved.
pub async fn transfer(
    sqlite: &Path,
    postgres: &PostgresOptions,
    owners: &Owners,
    mut progress: impl FnMut(&str, &Moved),
) -> Result<Vec<Moved>, TransferError> {
    let database = source::open(sqlite, *owners).await?;
    let pool = target::open(postgres, owners).await?;
    share_owners(&database, &pool).await?;
    let source = Source::take(database).await?;
    let target = Target::connect(&pool).await?;
    target.begin().await?;
    let tables = source.tables().await?;
    target.must_be_empty(&tables).await?;
    for table in &tables {
        let rows = target.copy(table, source.rows(table)).await?;
        progress("copied", &Moved { table: table.name.clone(), rows });
    }
    let mut moved = Vec::new();
    for table in &tables {
        let rows = target.compare(table, source.rows(table)).await?;
        let compared = Moved { table: table.name.clone(), rows };
        progress("compared", &compared);
        moved.push(compared);
    }
    target.continue_numbers(&source.last_numbers(&tables).await?).await?;
    target.commit().await?;
    Ok(moved)
}

/// Gives each side the owners on demand that the other has: then both have the same tables.
async fn share_owners(source: &Sqlite, target: &Arc<Pool>) -> Result<(), TransferError> {
    let ours = source.present_owners().map_err(source::refused)?;
    let theirs = target.present_owners().await.map_err(TransferError::Target)?;
    source.use_owners(&theirs).await.map_err(source::refused)?;
    target.use_owners(&ours).await.map_err(TransferError::Target)
}
