//! What may have become garbage, and bytes that have.

use std::time::Duration;

use registry_digest::Digest;
use registry_types::Location;

use super::{
    connection::{Connection, Parameters},
    fault::Fault,
    row::{column, parsed, readable, signed},
    sql as own,
    transaction::Tx,
};
pub(super) use crate::collecting::Garbage;
use crate::{
    Reclaim,
    clock::millis,
    sql::{collecting as collecting_sql, reclaim as sql},
};

/// For how long a node has the bytes for itself that it is told to delete. What it did not delete by then is told again.
const TAKEN: Duration = Duration::from_secs(10 * 60);

/// Asks the collector to look at something, `in_ms` from now.
pub(super) async fn enqueue(
    tx: &Tx<'_>,
    garbage: Garbage,
    digest: &Digest,
    in_ms: i64,
    reason: &str,
) -> Result<(), Fault> {
    let (kind, repository) = garbage.key();
    tx.execute(sql::ENQUEUE.postgres, &[&kind, &repository, &digest.to_string(), &in_ms, &reason])
        .await
        .map(drop)
}

/// As [`enqueue`], unless it is down for an earlier time.
pub(super) async fn enqueue_earlier(
    tx: &Tx<'_>,
    garbage: Garbage,
    digest: &Digest,
    in_ms: i64,
    reason: &str,
) -> Result<(), Fault> {
    let (kind, repository) = garbage.key();
    let row: Parameters<'_> = &[&kind, &repository, &digest.to_string(), &in_ms, &reason];
    tx.execute(sql::ENQUEUE_EARLIER.postgres, row).await.map(drop)
}

/// Sets digests down for now, in the order of their locks.
pub(super) async fn enqueue_digests(tx: &Tx<'_>, digests: &[Digest], reason: &str) -> Result<(), Fault> {
    let ((kind, repository), digests) = (Garbage::Digest.key(), in_order(digests));
    if digests.is_empty() {
        return Ok(());
    }
    let row: Parameters<'_> = &[&kind, &repository, &digests, &0_i64, &reason];
    tx.execute(own::ENQUEUE_ALL, row).await.map(drop)
}

/// Removes an entry.
pub(super) async fn dequeue(tx: &Tx<'_>, garbage: Garbage, digest: &str) -> Result<(), Fault> {
    let (kind, repository) = garbage.key();
    tx.execute(collecting_sql::DEQUEUE.postgres, &[&kind, &repository, &digest]).await.map(drop)
}

/// Gives up bytes that no row leads to any more, `in_ms` from now.
pub(super) async fn give_up(tx: &Tx<'_>, location: &Location, in_ms: i64, reason: &str) -> Result<(), Fault> {
    tx.execute(sql::RECLAIM.postgres, &[&location.as_str(), &in_ms, &reason]).await.map(drop)
}

/// What can not be read is taken as well, so that it does not come before others again.
pub(super) async fn take_due(connection: &Connection, limit: usize) -> Result<Vec<Reclaim>, Fault> {
    loop {
        let taken = connection.all(own::TAKE_DUE, &[&signed(limit), &millis(TAKEN)]).await?;
        let due =
            readable(&taken, |row| Ok(Reclaim { location: parsed(row, 0)?, upload_state: column(row, 1)? }))?;
        if !due.is_empty() || taken.is_empty() {
            return Ok(due);
        }
    }
}

/// They are not told of again for a while.
pub(super) async fn postpone(
    connection: &Connection,
    location: &Location,
    by: Duration,
) -> Result<(), Fault> {
    connection.execute(sql::POSTPONE.postgres, &[&millis(by), &location.as_str()]).await.map(drop)
}

pub(super) async fn due_count(connection: &Connection, limit: usize) -> Result<u64, Fault> {
    Ok(connection.all(sql::DUE_EACH.postgres, &[&signed(limit)]).await?.len() as u64)
}

pub(super) async fn done(connection: &Connection, location: &Location) -> Result<(), Fault> {
    connection.execute(sql::DONE.postgres, &[&location.as_str()]).await.map(drop)
}

/// The texts of digests in the order of their rows' locks, each once.
pub(super) fn in_order<'a>(digests: impl IntoIterator<Item = &'a Digest>) -> Vec<String> {
    let mut texts: Vec<String> = digests.into_iter().map(Digest::to_string).collect();
    texts.sort_unstable();
    texts.dedup();
    texts
}
