//! What is to be done.

use registry_database::{Fault, FromRow, Row, Session, params, signed};
use thiserror::Error;

use crate::sql;

/// The longest name of a kind or a lane, in bytes.
pub const NAME_BYTES_MAX: usize = 128;

/// The longest subject, in bytes. A job names what it is about; what is large has a table of its own.
pub const SUBJECT_BYTES_MAX: usize = 16 * 1024;

/// How much of an error is kept, in bytes.
pub const ERROR_BYTES_MAX: usize = 1024;

/// How many jobs of a lane are [discarded](discard_lane) in one transaction.
pub const DISCARDED_MAX: usize = 1_000;

/// Work that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewJob<'a> {
    /// What kind of work: which [`Handler`](crate::Handler) does it. 1 to [`NAME_BYTES_MAX`] bytes.
    pub kind: &'a str,
    /// What it waits for others in: the receiver. 1 to [`NAME_BYTES_MAX`] bytes.
    pub lane: &'a str,
    /// What the handler needs to know. At most [`SUBJECT_BYTES_MAX`] bytes.
    pub subject: &'a str,
}

/// Work as a handler sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its number.
    pub id: i64,
    /// What kind of work.
    pub kind: String,
    /// What it waits for others in.
    pub lane: String,
    /// What the handler needs to know.
    pub subject: String,
    /// When it was asked for, in milliseconds since 1970 UTC by the database's clock.
    pub created_at_ms: i64,
    /// How many attempts have failed before this one.
    pub attempts: u32,
}

/// Why a job was not taken.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum EnqueueError {
    /// The name of its kind or its lane can not be kept.
    #[error("the kind and the lane of a job have 1 to {NAME_BYTES_MAX} bytes")]
    Name,
    /// Its subject is too long.
    #[error("the subject of a job has at most {SUBJECT_BYTES_MAX} bytes")]
    Subject,
}

impl NewJob<'_> {
    fn check(&self) -> Result<(), Fault> {
        let is_name = |name: &str| (1..=NAME_BYTES_MAX).contains(&name.len());
        if !is_name(self.kind) || !is_name(self.lane) {
            return Err(Fault::refused(EnqueueError::Name));
        }
        match self.subject.len() <= SUBJECT_BYTES_MAX {
            true => Ok(()),
            false => Err(Fault::refused(EnqueueError::Subject)),
        }
    }
}

/// Asks for jobs, in the order given: each is done, or dead, if and only if the transaction is committed. Then
/// [`Jobs::wake`](crate::Jobs::wake) has this process look at once. The tables are there:
/// [`Database::use_owners`](registry_database::Database::use_owners) was called before.
///
/// # Errors
/// [`Fault::Refused`] with an [`EnqueueError`], or another [`Fault`].
pub async fn enqueue(session: &impl Session, jobs: &[NewJob<'_>]) -> Result<(), Fault> {
    jobs.iter().try_for_each(NewJob::check)?;
    let rows: Vec<_> =
        jobs.iter().map(|job| [job.kind.into(), job.lane.into(), job.subject.into()]).collect();
    session.execute_many(sql::ENQUEUE, &rows).await.map(drop)
}

/// How many jobs wait in a lane, those that failed and are to be tried again with them; counted up to `at_most`.
///
/// # Errors
/// See [`Fault`].
pub async fn depth(session: &impl Session, kind: &str, lane: &str, at_most: u64) -> Result<u64, Fault> {
    Ok(session.one(sql::DEPTH, params![kind, lane, signed(at_most)]).await?.unwrap_or(0))
}

/// Removes up to [`DISCARDED_MAX`] jobs that wait in a lane, of which nothing is to be done any more. Says how many. One that a node
/// works on at this moment is done to its end.
///
/// # Errors
/// See [`Fault`].
pub async fn discard_lane(session: &impl Session, kind: &str, lane: &str) -> Result<u64, Fault> {
    session.execute(sql::DISCARD_LANE, params![kind, lane]).await
}

/// Has the jobs of a lane that failed tried again now, and not when they are due: what they failed for is over. Says how many.
///
/// # Errors
/// See [`Fault`].
pub async fn hasten_lane(session: &impl Session, kind: &str, lane: &str) -> Result<u64, Fault> {
    session.execute(sql::HASTEN_LANE, params![kind, lane]).await
}

/// What a lane's statements say of a job.
pub(crate) struct Found {
    id: i64,
    subject: String,
    created_at_ms: i64,
    attempts: u64,
}

impl Found {
    pub(crate) fn in_lane(self, kind: &str, lane: &str) -> Job {
        Job {
            id: self.id,
            kind: kind.to_owned(),
            lane: lane.to_owned(),
            subject: self.subject,
            created_at_ms: self.created_at_ms,
            attempts: u32::try_from(self.attempts).unwrap_or(u32::MAX),
        }
    }
}

impl FromRow for Found {
    fn from_row(row: &Row<'_>) -> Result<Found, Fault> {
        Ok(Found { id: row.get(0)?, subject: row.get(1)?, created_at_ms: row.get(2)?, attempts: row.get(3)? })
    }
}
