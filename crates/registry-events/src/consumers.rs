//! What takes events.

use std::collections::BTreeSet;

use registry_database::{Fault, FromRow, IfReadable, Row, Session, params, signed};
use thiserror::Error;

use crate::{Event, sql};

/// How many consumers there may be.
pub const CONSUMERS_MAX: u64 = 10_000;

/// The longest name of a consumer, in bytes.
pub const CONSUMER_NAME_BYTES_MAX: usize = 128;

/// How many events are taken in one transaction at most.
pub const TAKEN_MAX: usize = 500;

/// Of how many events [`repositories`] says what they are about. While there are more, a consumer lags.
pub const LOOKED_AT_MAX: usize = 10_000;

/// Why a consumer was not added.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum AddConsumerError {
    /// There are as many as there may be.
    #[error("there are {CONSUMERS_MAX} consumers of events, and can not be more")]
    TooMany,
    /// The name can not be kept.
    #[error("the name of a consumer of events has 1 to {CONSUMER_NAME_BYTES_MAX} bytes")]
    Name,
}

/// Adds a consumer, which begins at the present end: it takes what gets its position from now on. Does nothing, if there is one of
/// this name. Locks the stream.
///
/// The tables are there: [`Database::use_owners`](registry_database::Database::use_owners) was called before.
///
/// After the commit, this process [wants](crate::Recorder::want) events; others do so within
/// [`KNOWN_WITHIN`](crate::KNOWN_WITHIN), if they watch and the database answers them.
///
/// # Errors
/// [`Fault::Refused`] with an [`AddConsumerError`], or another [`Fault`].
pub async fn add_consumer(session: &impl Session, name: &str) -> Result<(), Fault> {
    if name.is_empty() || name.len() > CONSUMER_NAME_BYTES_MAX {
        return Err(Fault::refused(AddConsumerError::Name));
    }
    session.execute(sql::BEGIN_STREAM, params![]).await?;
    session.one::<i64>(sql::LOCK_STREAM, params![]).await?;
    if session.one(sql::COUNT_CONSUMERS, params![]).await?.unwrap_or(0) >= CONSUMERS_MAX {
        return Err(Fault::refused(AddConsumerError::TooMany));
    }
    session.execute(sql::ADD_CONSUMER, params![name]).await.map(drop)
}

/// Removes a consumer. Says whether there was one.
///
/// # Errors
/// See [`Fault`].
pub async fn remove_consumer(session: &impl Session, name: &str) -> Result<bool, Fault> {
    Ok(session.execute(sql::REMOVE_CONSUMER, params![name]).await? > 0)
}

/// Takes the next events for a consumer: at most `limit`, and [`TAKEN_MAX`]. It has them when the transaction is committed, with
/// whatever else is written there; so each is taken once, by one node. Nothing, if there is no such consumer.
///
/// An event that can not be read, because a newer version wrote it, is passed over, with a warning, and counted as lost.
///
/// # Errors
/// See [`Fault`].
pub async fn take(session: &impl Session, consumer: &str, limit: usize) -> Result<Vec<Event>, Fault> {
    let limit = limit.min(TAKEN_MAX) as i64;
    let (locked, rows) = tokio::join!(
        biased;
        async { session.lock(sql::LOCK_CONSUMER, params![consumer]).await },
        async { session.all::<Untaken>(sql::UNTAKEN, params![consumer, limit]).await },
    );
    locked?;
    let rows = rows?;
    let Some(last) = rows.last().map(|row| row.position) else { return Ok(Vec::new()) };
    let count = rows.len();
    let events: Vec<Event> = rows.into_iter().filter_map(|row| row.event).collect();
    let lost = (count - events.len()) as i64;
    session.execute(sql::ADVANCE_CONSUMER, params![last, lost, consumer]).await?;
    Ok(events)
}

/// The names of the consumers that have something to take, of those from `first` on and before `end`, at most `limit`. A crate whose
/// consumers share the beginning of their names learns by one statement which of them to look after.
///
/// # Errors
/// See [`Fault`].
pub async fn behind(
    session: &impl Session,
    first: &str,
    end: &str,
    limit: usize,
) -> Result<Vec<String>, Fault> {
    session.all(sql::BEHIND, params![first, end, signed(limit)]).await
}

/// The repositories of which there are events that some consumer has not taken; none, if there are more than [`LOOKED_AT_MAX`] events.
/// What a consumer keeps of a repository that is gone, so that no more events of it come, is of no use when it is not among them.
///
/// # Errors
/// See [`Fault`].
pub async fn repositories(session: &impl Session) -> Result<Option<BTreeSet<i64>>, Fault> {
    let all: Vec<Option<i64>> = session.all(sql::REPOSITORIES, params![signed(LOOKED_AT_MAX + 1)]).await?;
    Ok((all.len() <= LOOKED_AT_MAX).then(|| all.into_iter().flatten().collect()))
}

/// An event, if it can be read, and its position.
struct Untaken {
    position: i64,
    event: Option<Event>,
}

impl FromRow for Untaken {
    fn from_row(row: &Row<'_>) -> Result<Untaken, Fault> {
        Ok(Untaken { position: row.get(0)?, event: IfReadable::from_row(row)?.0 })
    }
}
