//! What an error of SQLite means.

use std::sync::Arc;

use rusqlite::{ErrorCode, ffi};

use crate::{Cause, Error};

pub(crate) fn explain(operation: &'static str, error: Arc<rusqlite::Error>) -> Error {
    let code = error.sqlite_error_code();
    let source: Cause = Box::new(error);
    match code {
        Some(ErrorCode::DiskFull) => Error::NoSpace { operation, source },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Error::Unavailable { operation, source },
        _ => Error::Failed { operation, source },
    }
}

/// Whether the rows are to blame: not a disk that is full, or a database that is locked.
pub(crate) fn is_about_rows(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code().is_none_or(|code| code == ErrorCode::ConstraintViolation)
}

/// Whether a column holds what was never stored there.
pub(crate) fn is_unreadable(error: &rusqlite::Error) -> bool {
    matches!(
        error,
        rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::Utf8Error(..)
    )
}

/// Whether the system failed to make something durable. What it says about that file afterwards can not be believed: the
/// pages that it could not write may count as written.
pub(crate) fn is_failed_sync(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error().map(|error| error.extended_code);
    matches!(code, Some(ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC))
}
