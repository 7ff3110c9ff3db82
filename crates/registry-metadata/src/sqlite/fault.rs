//! From what SQLite says to what a caller can act on.

use std::{error::Error as StdError, sync::Arc};

use rusqlite::{ErrorCode, ffi};

use super::journal::{self, JournalError};
use crate::MetadataError;

/// Why a piece of work stopped.
#[derive(Debug)]
pub(super) enum Fault {
    /// It was refused for a reason that the caller is told.
    Refused(MetadataError),
    /// SQLite failed.
    Sql(rusqlite::Error),
}

impl From<MetadataError> for Fault {
    fn from(error: MetadataError) -> Self {
        Fault::Refused(error)
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Fault::Sql(error)
    }
}

/// Why a commit did not come to anything.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// SQLite failed.
    Sql(Arc<rusqlite::Error>),
    /// The commit can not be journalled, or was not stored in time.
    Journal(Arc<JournalError>),
}

/// What a failure means for whoever asked for `operation`.
pub(super) fn explain(operation: &'static str, failure: Failure) -> MetadataError {
    let error = match failure {
        Failure::Sql(error) => error,
        Failure::Journal(error) => return journal::unavailable(operation, error),
    };
    let code = error.sqlite_error_code();
    let source: Box<dyn StdError + Send + Sync> = Box::new(error);
    match code {
        Some(ErrorCode::DiskFull) => MetadataError::NoSpace { operation, source },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            MetadataError::Unavailable { operation, source }
        }
        _ => MetadataError::Backend { operation, source },
    }
}

/// Whether the system failed to make something durable. What it says about that file afterwards can not be believed: the
/// pages that it could not write may count as written.
pub(super) fn is_failed_sync(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error().map(|error| error.extended_code);
    matches!(code, Some(ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC))
}
