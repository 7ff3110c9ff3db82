#[cfg(feature = "sqlite")]
use std::path::PathBuf;

#[cfg(feature = "sqlite")]
use registry_journal::JournalError;
use thiserror::Error;

/// Why a registry's database can not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The database itself can not be opened.
    #[error(transparent)]
    Database(#[from] registry_database::OpenError),
    #[cfg(feature = "sqlite")]
    /// The database is journalled, and was to be opened without its journal, which would then not know what is done.
    #[error(
        "{} is journalled into its store and can only be used with its journal: switch that on \
         (metadata.sqlite.journal.enabled), or give it up for good with `registry journal drop`",
        path.display()
    )]
    Journalled {
        /// The database.
        path: PathBuf,
    },
    #[cfg(feature = "sqlite")]
    /// Database and journal can not be made one.
    #[error("the database can not be used with its journal")]
    Journal(#[from] JournalError),
    #[cfg(feature = "sqlite")]
    /// There is no journal yet, and none begins for a database and a store that do not belong together.
    #[error(
        "the store is {}, the database belongs to {}, and there is no journal to make the right database from",
        store.as_deref().unwrap_or("new"),
        database.as_deref().unwrap_or("no store")
    )]
    NotTogether {
        /// The identity of the store.
        store: Option<String>,
        /// The one that the database belongs to.
        database: Option<String>,
    },
}

#[cfg(feature = "sqlite")]
impl From<registry_journal::OpenError> for OpenError {
    fn from(error: registry_journal::OpenError) -> OpenError {
        match error {
            registry_journal::OpenError::Database(error) => OpenError::Database(error),
            registry_journal::OpenError::Journal(error) => OpenError::Journal(error),
        }
    }
}
