//! What an error of PostgreSQL means.

use std::error::Error as StdError;

use tokio_postgres::{Error as PostgresError, error::SqlState};

use crate::{Cause, Contended, Error, Remedy};

/// What can be done about an error.
pub(crate) fn remedy(error: &PostgresError) -> Remedy {
    match error.code() {
        // A unique key is met by the transaction that comes second to something new; it finds the row the next time.
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
    }
}

/// Whether the rows are to blame: what lost each race, what a key still refuses, what can not be computed.
pub(crate) fn is_about_rows(error: &PostgresError) -> bool {
    match remedy(error) {
        Remedy::Rerun => true,
        Remedy::Reconnect => false,
        Remedy::None => {
            error.code().is_some_and(|code| ["22", "23"].iter().any(|class| code.code().starts_with(class)))
        }
    }
}

pub(crate) fn explain(operation: &'static str, error: PostgresError) -> Error {
    if remedy(&error) == Remedy::Rerun {
        return Error::Unavailable { operation, source: Box::new(Contended(Some(error.into()))) };
    }
    let code = error.code().cloned();
    let is_gone = error.is_closed() || is_io(&error);
    let source: Cause = error.into();
    match code {
        Some(SqlState::DISK_FULL) => Error::NoSpace { operation, source },
        Some(code) if is_passing(&code) => Error::Unavailable { operation, source },
        None if is_gone => Error::Unavailable { operation, source },
        _ => Error::Failed { operation, source },
    }
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

fn is_io(error: &PostgresError) -> bool {
    let mut cause: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(source) = cause {
        if source.is::<std::io::Error>() {
            return true;
        }
        cause = source.source();
    }
    false
}
