//! What goes, and when.

use std::time::Duration;

use registry_database::{Fault, Session, Step, clock::millis, params, step};

use crate::sql;

/// How many events are kept for consumers that lag.
pub const EVENTS_KEPT_MAX: i64 = 1_000_000;

/// How long events are kept for consumers that lag.
pub const EVENTS_AGE_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How many events go in one transaction. A statement has the number as well.
pub const PRUNED_MAX: usize = 1_000;

/// What is kept for consumers that lag. A consumer that has not come as far as what is kept is moved on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How many events. [`EVENTS_KEPT_MAX`].
    pub kept_max: i64,
    /// How long. [`EVENTS_AGE_MAX`].
    pub age_max: Duration,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { kept_max: EVENTS_KEPT_MAX, age_max: EVENTS_AGE_MAX }
    }
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// How many events went. [`PRUNED_MAX`], if there may be more.
    pub events: u64,
    /// The consumers that lost some of them, by their names, and how many.
    pub lost: Vec<(String, u64)>,
}

/// Removes up to [`PRUNED_MAX`] of the oldest events: those that all consumers have taken, and those beyond the [`Bounds`]. Consumers
/// that have not taken the latter are moved on, and told how many they lost. Without consumers all events go.
#[derive(Clone, Copy, Debug)]
pub struct Prune;

impl Step for Prune {
    type Of = Bounds;
    type Output = Pruned;

    async fn run<S: Session>(&self, session: &S, bounds: &Bounds) -> Result<Pruned, Fault> {
        let last = session.one::<i64>(sql::LOCK_STREAM, params![]).await?;
        let taken = session.one::<Option<i64>>(sql::TAKEN_BY_ALL, params![]).await?.flatten();
        let (Some(last), Some(taken)) = (last, taken) else {
            let events = session.execute(sql::EMPTY, params![]).await?;
            return Ok(Pruned { events, lost: Vec::new() });
        };
        let up_to = taken.max(last.saturating_sub(bounds.kept_max));
        let given = params![PRUNED_MAX as i64, up_to, millis(bounds.age_max)];
        let found = session.one::<Option<i64>>(sql::LAST_TO_PRUNE, given).await?.flatten();
        let Some(up_to) = found else { return Ok(Pruned::default()) };
        let lost = if up_to > taken { skip(session, up_to).await? } else { Vec::new() };
        Ok(Pruned { events: session.execute(sql::PRUNE, params![up_to]).await?, lost })
    }
}

/// Moves the consumers that lag on to a position.
async fn skip(session: &impl Session, up_to: i64) -> Result<Vec<(String, u64)>, Fault> {
    let lagging: Vec<(String, u64)> = session.all(sql::LAGGING, params![up_to]).await?;
    let rows: Vec<_> = lagging.iter().map(|(name, by)| [(*by as i64).into(), name.into()]).collect();
    session.execute_many(sql::SKIP, &rows).await?;
    Ok(lagging)
}

/// Whether an event can go.
pub(crate) struct IsPrunable;

impl Step for IsPrunable {
    type Of = Bounds;
    type Output = bool;

    async fn run<S: Session>(&self, session: &S, bounds: &Bounds) -> Result<bool, Fault> {
        session.exists(sql::IS_PRUNABLE, params![millis(bounds.age_max), bounds.kept_max]).await
    }
}

step!(Prune, IsPrunable);
