//! What is run on a [`Database`](registry_database::Database).

use registry_database::{Database, Error, Fault, Session, Step, params, step};

use crate::{SCHEMA, sql};

/// What is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Whether there is a consumer.
    pub(crate) is_wanted: bool,
    /// Whether there is an event.
    pub(crate) has_events: bool,
}

/// Whether the tables of events are there: they are made with the first consumer, if their owner is [on
/// demand](registry_database::Owners::on_demand).
pub(crate) async fn is_there(database: &Database) -> Result<bool, Error> {
    const OPERATION: &str = "look for the tables of events";
    let found = database.has_owner(SCHEMA.owner).await;
    found.map_err(|error| Error::Unavailable { operation: OPERATION, source: error.into() })
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
