//! What may have become garbage, and bytes that have.

use std::time::Duration;

use registry_database::{Fault, Session, params, signed};
use registry_digest::Digest;
use registry_types::Location;

use super::Tx;
use crate::{
    clock::millis,
    collecting::{Garbage, Reason},
    sql::{collecting as collecting_sql, reclaim as sql},
};

/// Asks the collector to look at something, `in_ms` from now.
pub(crate) async fn enqueue(
    tx: &Tx<'_, impl Session>,
    garbage: Garbage,
    digest: &Digest,
    in_ms: i64,
    reason: Reason,
) -> Result<(), Fault> {
    let (kind, repository) = garbage.key();
    let digest = digest.to_string();
    let row = params![kind, repository, &digest, in_ms, reason.as_str()];
    tx.execute(sql::ENQUEUE, row).await.map(drop)
}

/// As [`enqueue`], unless it is down for an earlier time.
pub(crate) async fn enqueue_earlier(
    tx: &Tx<'_, impl Session>,
    garbage: Garbage,
    digest: &Digest,
    in_ms: i64,
    reason: Reason,
) -> Result<(), Fault> {
    let (kind, repository) = garbage.key();
    let digest = digest.to_string();
    let row = params![kind, repository, &digest, in_ms, reason.as_str()];
    tx.execute(sql::ENQUEUE_EARLIER, row).await.map(drop)
}

/// As [`enqueue`], of several, which are in the order of their locks.
pub(crate) async fn enqueue_all(
    tx: &Tx<'_, impl Session>,
    (kind, repository): (&str, i64),
    digests: &[&str],
    in_ms: i64,
    reason: Reason,
) -> Result<(), Fault> {
    if digests.is_empty() {
        return Ok(());
    }
    let row = params![kind, repository, in_ms, reason.as_str(), digests];
    tx.execute(sql::ENQUEUE_ALL, row).await.map(drop)
}

/// Asks the collector to look at digests now.
pub(crate) async fn enqueue_digests(
    tx: &Tx<'_, impl Session>,
    digests: &[Digest],
    reason: Reason,
) -> Result<(), Fault> {
    let texts = in_order(digests);
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    enqueue_all(tx, Garbage::Digest.key(), &texts, 0, reason).await
}

/// Removes an entry.
pub(crate) async fn dequeue(tx: &Tx<'_, impl Session>, garbage: Garbage, digest: &str) -> Result<(), Fault> {
    let (kind, repository) = garbage.key();
    tx.execute(collecting_sql::DEQUEUE, params![kind, repository, digest]).await.map(drop)
}

/// When bytes may be deleted that another registry still has: not before its content is ours.
pub(crate) const NEVER_MS: i64 = i64::MAX;

/// Gives up bytes that no row leads to any more, `in_ms` from now; those of another registry only once its content is ours.
pub(crate) async fn give_up(
    tx: &Tx<'_, impl Session>,
    location: &Location,
    in_ms: i64,
    reason: Reason,
) -> Result<(), Fault> {
    let is_ours = location.as_str().starts_with(Location::PREFIX);
    if is_ours || super::adoption::state(tx.session).await?.is_none_or(|it| it.finished_at_ms.is_some()) {
        return tx.execute(sql::RECLAIM, params![location.as_str(), in_ms, reason.as_str()]).await.map(drop);
    }
    tx.execute(sql::RECLAIM_AT, params![location.as_str(), NEVER_MS, reason.as_str()]).await.map(drop)
}

/// They are not told of again for a while.
pub(crate) async fn postpone(session: &impl Session, location: &Location, by: Duration) -> Result<(), Fault> {
    session.execute(sql::POSTPONE, params![millis(by), location.as_str()]).await.map(drop)
}

pub(crate) async fn due_count(session: &impl Session, limit: usize) -> Result<u64, Fault> {
    let each: Vec<i64> = session.all(sql::DUE_EACH, params![signed(limit)]).await?;
    Ok(each.len() as u64)
}

pub(crate) async fn done(session: &impl Session, location: &Location) -> Result<(), Fault> {
    session.execute(sql::DONE, params![location.as_str()]).await.map(drop)
}

/// The texts of digests in the order of their rows' locks, each once.
pub(crate) fn in_order<'a>(digests: impl IntoIterator<Item = &'a Digest>) -> Vec<String> {
    let mut texts: Vec<String> = digests.into_iter().map(Digest::to_string).collect();
    texts.sort_unstable();
    texts.dedup();
    texts
}
