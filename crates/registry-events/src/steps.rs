//! What is run on a [`Database`](registry_database::Database).

use registry_database::{Fault, Session, Step, params, step};

use crate::sql;

/// What is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Whether there is a consumer.
    pub(crate) is_wanted: bool,
    /// Whether there is an event.
    pub(crate) has_events: bool,
}

/// Looks what is there.
pub(crate) struct Look;

impl Step for Look {
    type Of = ();
    type Output = Found;

    async fn run<S: Session>(&self, session: &S, (): &()) -> Result<Found, Fault> {
        let found: Option<(bool, bool)> = session.one(sql::LOOK, params![]).await?;
        Ok(found.map(|(is_wanted, has_events)| Found { is_wanted, has_events }).unwrap_or_default())
    }
}

step!(Look);
