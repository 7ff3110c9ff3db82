//! What is run on a [`Database`](registry_database::Database).

use registry_database::{Database, Error, Fault, Session, Step, params, step};

use crate::{SCHEMA, recorder::State, sql};

/// What is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Whether there is a consumer.
    pub(crate) is_wanted: bool,
    /// Whether there is an event.
    pub(crate) has_events: bool,
}

/// Whether the tables of events are there: they are made with the first consumer, if their owner is [on
/// demand](registry_database::Owners::on_demand). They never go, so the database is not asked any more when it had them once.
pub(crate) async fn is_there(database: &Database, state: &State) -> Result<bool, Error> {
    const OPERATION: &str = "look for the tables of events";
    if state.has_tables() {
        return Ok(true);
    }
    let found = database.has_owner(SCHEMA.owner).await;
    let has_tables =
        found.map_err(|error| Error::Unavailable { operation: OPERATION, source: error.into() })?;
    if has_tables {
        state.saw_tables();
    }
    Ok(has_tables)
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
