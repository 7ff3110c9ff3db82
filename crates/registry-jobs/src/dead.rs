//! Jobs that are not tried any more, until a person looks at them.

use std::time::Duration;

use registry_database::{Fault, FromRow, Row, Session, Step, clock::millis, params, signed, step};

use crate::sql;

/// How long dead jobs are kept.
pub const DEAD_KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How many dead jobs of a kind are kept.
pub const DEAD_MAX: usize = 10_000;

/// How many dead jobs are listed at once.
pub const LISTED_MAX: usize = 1_000;

/// How long it is remembered of a lane that it failed.
const LANES_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// A job that is not tried any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadJob {
    /// Its number.
    pub id: i64,
    /// Its lane.
    pub lane: String,
    /// What the handler was told.
    pub subject: String,
    /// When it was asked for, in milliseconds since 1970 UTC.
    pub created_at_ms: i64,
    /// When it was given up.
    pub ended_at_ms: i64,
    /// Why.
    pub error: String,
}

/// A place in a list of dead jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeadPosition {
    /// When the job was given up, in milliseconds since 1970 UTC.
    pub ended_at_ms: i64,
    /// Its number.
    pub id: i64,
}

impl DeadJob {
    /// Its place.
    pub fn position(&self) -> DeadPosition {
        DeadPosition { ended_at_ms: self.ended_at_ms, id: self.id }
    }
}

impl FromRow for DeadJob {
    fn from_row(row: &Row<'_>) -> Result<DeadJob, Fault> {
        Ok(DeadJob {
            id: row.get(0)?,
            lane: row.get(1)?,
            subject: row.get(2)?,
            created_at_ms: row.get(3)?,
            ended_at_ms: row.get(4)?,
            error: row.get::<Option<String>>(5)?.unwrap_or_default(),
        })
    }
}

/// Dead jobs of a kind, the one that ended last first; those that come after `before`, if there is one. At most `limit`, and
/// [`LISTED_MAX`].
///
/// # Errors
/// See [`Fault`].
pub async fn list_dead(
    session: &impl Session,
    kind: &str,
    before: Option<DeadPosition>,
    limit: usize,
) -> Result<Vec<DeadJob>, Fault> {
    let DeadPosition { ended_at_ms, id } =
        before.unwrap_or(DeadPosition { ended_at_ms: i64::MAX, id: i64::MAX });
    let limit = signed(limit.min(LISTED_MAX));
    session.all(sql::DEAD, params![kind, ended_at_ms, id, limit]).await
}

/// Has a dead job tried again, as if it were new. Says whether there is one of this number.
///
/// # Errors
/// See [`Fault`].
pub async fn replay(session: &impl Session, id: i64) -> Result<bool, Fault> {
    Ok(session.execute(sql::REPLAY, params![id]).await? > 0)
}

/// Removes a dead job. Says whether there was one of this number.
///
/// # Errors
/// See [`Fault`].
pub async fn discard(session: &impl Session, id: i64) -> Result<bool, Fault> {
    Ok(session.execute(sql::DISCARD, params![id]).await? > 0)
}

/// Removes dead jobs of a kind that are too old, or too many: up to 1,000 of each. Says how many.
pub(crate) struct Prune;

impl Step for Prune {
    type Of = &'static str;
    type Output = u64;

    async fn run<S: Session>(&self, session: &S, kind: &&'static str) -> Result<u64, Fault> {
        session.execute(sql::PRUNE_LANES, params![*kind, millis(LANES_KEPT)]).await?;
        let old = session.execute(sql::PRUNE_OLD, params![*kind, millis(DEAD_KEPT)]).await?;
        Ok(old + session.execute(sql::PRUNE_MANY, params![*kind, signed(DEAD_MAX)]).await?)
    }
}

step!(Prune);
