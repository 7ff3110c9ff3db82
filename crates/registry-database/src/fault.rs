//! What stops a piece of work, and what that means to the one that asked for it.

#[cfg(feature = "sqlite")]
use std::sync::Arc;
use std::{error::Error as StdError, fmt};

use crate::{Cause, Error};

/// Why a piece of work stopped. An owner's refusals come in by its own `From`.
#[derive(Debug)]
pub enum Fault {
    /// The work was refused, for this reason.
    Refused(Cause),
    /// SQLite failed. Shared, because all work of a commit fails with it.
    #[cfg(feature = "sqlite")]
    Sqlite(Arc<rusqlite::Error>),
    /// PostgreSQL failed, or the way to it.
    #[cfg(feature = "postgres")]
    Postgres(tokio_postgres::Error),
    /// No answer came in time: the server is cut off or hangs.
    Silent,
    /// No connection could be had, for this reason.
    NoConnection(Cause),
    /// Another transaction was faster: this one is to be run again from its start.
    Again,
    /// A column holds what was never stored there.
    Unreadable(Cause),
    /// The work panicked, or did on SQLite what can not be done there.
    Broken(&'static str),
}

/// What can be done about a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Nothing: the caller is told.
    None,
    /// The transaction lost a race and left nothing; run it again.
    Rerun,
    /// The connection is gone. What was asked for may have been done or not.
    Reconnect,
}

#[cfg(feature = "sqlite")]
impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Fault {
        if crate::sqlite::is_unreadable(&error) {
            Fault::Unreadable(error.into())
        } else {
            Fault::Sqlite(Arc::new(error))
        }
    }
}

#[cfg(feature = "postgres")]
impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Fault {
        Fault::Postgres(error)
    }
}

impl Fault {
    /// The work is refused, for this reason.
    pub fn refused(reason: impl Into<Cause>) -> Fault {
        Fault::Refused(reason.into())
    }

    /// What can be done about it.
    pub fn remedy(&self) -> Remedy {
        match self {
            Fault::Again => Remedy::Rerun,
            Fault::Silent => Remedy::Reconnect,
            #[cfg(feature = "postgres")]
            Fault::Postgres(error) => crate::postgres::remedy(error),
            _ => Remedy::None,
        }
    }

    /// Whether the connection broke, and a new one may do better. A server that hangs has cost enough time already.
    pub fn is_lost(&self) -> bool {
        self.remedy() == Remedy::Reconnect && !matches!(self, Fault::Silent)
    }

    /// Whether it is about the rows that were worked on, so that other rows can still be worked on: the work refused, a
    /// value can not be read or computed, a key does not allow the change, or others changed the same rows each time. Not a
    /// database that is full, busy or gone.
    pub fn is_about_rows(&self) -> bool {
        match self {
            Fault::Refused(_) | Fault::Unreadable(_) | Fault::Again => true,
            #[cfg(feature = "sqlite")]
            Fault::Sqlite(error) => crate::sqlite::is_about_rows(error),
            #[cfg(feature = "postgres")]
            Fault::Postgres(error) => crate::postgres::is_about_rows(error),
            _ => false,
        }
    }

    /// What it means for the one that asked for `operation`.
    pub fn explain(self, operation: &'static str) -> Error {
        match self {
            Fault::Refused(reason) => Error::Refused(reason),
            #[cfg(feature = "sqlite")]
            Fault::Sqlite(error) => crate::sqlite::explain(operation, error),
            #[cfg(feature = "postgres")]
            Fault::Postgres(error) => crate::postgres::explain(operation, error),
            Fault::Again => Error::Unavailable { operation, source: Box::new(Contended(None)) },
            Fault::Silent => Error::Unavailable { operation, source: Box::new(NoAnswer) },
            Fault::NoConnection(source) => Error::Unavailable { operation, source },
            Fault::Unreadable(source) => Error::Failed { operation, source },
            Fault::Broken(reason) => Error::Failed { operation, source: reason.into() },
        }
    }
}

#[derive(Debug)]
struct NoAnswer;

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no answer came in time")
    }
}

impl StdError for NoAnswer {}

/// Why a transaction that was run again and again is [unavailable](Error::Unavailable): others changed the same rows each
/// time. With what the database said last, if it did.
#[derive(Debug, thiserror::Error)]
#[error("others changed the same rows again and again")]
pub struct Contended(#[source] pub(crate) Option<Cause>);
