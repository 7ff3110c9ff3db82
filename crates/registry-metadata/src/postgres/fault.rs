//! From what PostgreSQL says to what a caller can act on.

use std::{error::Error as StdError, fmt};

use tokio_postgres::{Error, error::SqlState};

use crate::{MetadataError, error::Contended};

/// Why a piece of work stopped.
#[derive(Debug)]
pub(super) enum Fault {
    /// It was refused for a reason that the caller is told.
    Refused(MetadataError),
    /// PostgreSQL failed, or the way to it.
    Sql(Error),
    /// No answer came in time: the server is cut off or hangs.
    Silent,
    /// No connection could be had, for this reason.
    NoConnection(Box<dyn StdError + Send + Sync>),
    /// Somebody else was faster: it is to be done again from the start.
    Again,
    /// A column holds what was never stored there.
    Unreadable(Box<dyn StdError + Send + Sync>),
}

/// What can be done about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Nothing: the caller is told.
    None,
    /// The transaction lost a race and left nothing; run it again.
    Rerun,
    /// The connection is gone. What was asked for may have been done or not.
    Reconnect,
}

impl From<MetadataError> for Fault {
    fn from(error: MetadataError) -> Self {
        Fault::Refused(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Fault::Sql(error)
    }
}

impl Fault {
    pub(super) fn remedy(&self) -> Remedy {
        match self {
            Fault::Again => Remedy::Rerun,
            Fault::Silent => Remedy::Reconnect,
            Fault::Sql(error) => match error.code() {
                // A unique key is met by whoever comes second to something new; it finds it there the next time.
                Some(
                    &SqlState::T_R_SERIALIZATION_FAILURE
                    | &SqlState::T_R_DEADLOCK_DETECTED
                    | &SqlState::FOREIGN_KEY_VIOLATION
                    | &SqlState::RESTRICT_VIOLATION
                    | &SqlState::UNIQUE_VIOLATION,
                ) => Remedy::Rerun,
                Some(code) if ends_the_session(code) => Remedy::Reconnect,
                Some(_) => Remedy::None,
                // Not the server's words: the connection broke. (A value that can not be sent is not `is_closed`.)
                None if error.is_closed() || is_io(error) => Remedy::Reconnect,
                None => Remedy::None,
            },
            Fault::Refused(_) | Fault::NoConnection(_) | Fault::Unreadable(_) => Remedy::None,
        }
    }

    /// Whether the connection broke, and a new one may do better. A server that hangs has cost enough time already.
    pub(super) fn is_lost(&self) -> bool {
        self.remedy() == Remedy::Reconnect && !matches!(self, Fault::Silent)
    }

    /// What it means for whoever asked for `operation`.
    pub(super) fn explain(self, operation: &'static str) -> MetadataError {
        let is_rerun = self.remedy() == Remedy::Rerun;
        match self {
            Fault::Refused(error) => error,
            Fault::Again => unavailable(operation, Box::new(Contended(None))),
            Fault::Silent => unavailable(operation, Box::new(NoAnswer)),
            Fault::NoConnection(source) => unavailable(operation, source),
            Fault::Unreadable(source) => MetadataError::Backend { operation, source },
            Fault::Sql(error) => match error.code() {
                Some(&SqlState::DISK_FULL) => MetadataError::NoSpace { operation, source: error.into() },
                Some(_) if is_rerun => unavailable(operation, Box::new(Contended(Some(error.into())))),
                Some(code) if is_passing(code) => unavailable(operation, error.into()),
                None if error.is_closed() || is_io(&error) => unavailable(operation, error.into()),
                _ => MetadataError::Backend { operation, source: error.into() },
            },
        }
    }
}

fn unavailable(operation: &'static str, source: Box<dyn StdError + Send + Sync>) -> MetadataError {
    MetadataError::Unavailable { operation, source }
}

/// What an operator or the server itself does to a session, or a standby that was promoted elsewhere.
fn ends_the_session(code: &SqlState) -> bool {
    let code = code.code();
    // Operator intervention but a cancelled statement, connection exceptions, idle for too long, read-only.
    (code.starts_with("57") && code != "57014")
        || code.starts_with("08")
        || code == "25P03"
        || code == "25006"
}

/// What passes by itself: too much at once, locked or slow for too long, and the end of a session.
fn is_passing(code: &SqlState) -> bool {
    let text = code.code();
    ends_the_session(code) || text.starts_with("53") || text.starts_with("55") || text == "57014"
}

fn is_io(error: &Error) -> bool {
    let mut cause: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(source) = cause {
        if source.is::<std::io::Error>() {
            return true;
        }
        cause = source.source();
    }
    false
}

#[derive(Debug)]
struct NoAnswer;

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no answer came in time")
    }
}

impl StdError for NoAnswer {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_race_that_is_always_lost_is_no_outage() {
        let contended = Fault::Again.explain("collect garbage");
        assert!(matches!(contended, MetadataError::Unavailable { .. }) && !contended.is_outage());
        assert!(Fault::Silent.explain("collect garbage").is_outage());
        assert!(Fault::NoConnection("gone".into()).explain("collect garbage").is_outage());
    }
}
