use std::path::PathBuf;

use thiserror::Error;

use crate::JournalError;

/// Why a registry's database can not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The database itself can not be opened.
    #[error(transparent)]
    Database(#[from] registry_database::OpenError),
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
    /// Database and journal can not be made one.
    #[error("the database can not be used with its journal")]
    Journal(#[from] JournalError),
}
