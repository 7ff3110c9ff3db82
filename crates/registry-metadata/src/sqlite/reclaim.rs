//! What may have become garbage, and bytes that have.

use std::time::Duration;

use registry_digest::Digest;
use registry_types::Location;
use rusqlite::{Connection, params};

use super::{
    statement::{all, execute, parsed, readable, signed},
    writer::Tx,
};
pub(super) use crate::collecting::Garbage;
use crate::{Reclaim, clock::millis, sql::reclaim as sql};

/// Asks the collector to look at something, `in_ms` from now.
pub(super) fn enqueue(
    tx: &Tx<'_>,
    garbage: Garbage,
    digest: &Digest,
    in_ms: i64,
    reason: &str,
) -> rusqlite::Result<()> {
    let (kind, repository) = garbage.key();
    let row = params![kind, repository, digest.to_string(), in_ms, reason];
    execute(tx.connection(), sql::ENQUEUE.sqlite, row).map(drop)
}

/// As [`enqueue`], unless it is down for an earlier time.
pub(super) fn enqueue_earlier(
    tx: &Tx<'_>,
    garbage: Garbage,
    digest: &Digest,
    in_ms: i64,
    reason: &str,
) -> rusqlite::Result<()> {
    let (kind, repository) = garbage.key();
    let row = params![kind, repository, digest.to_string(), in_ms, reason];
    execute(tx.connection(), sql::ENQUEUE_EARLIER.sqlite, row).map(drop)
}

/// Gives up bytes that no row leads to any more, `in_ms` from now.
pub(super) fn give_up(tx: &Tx<'_>, location: &Location, in_ms: i64, reason: &str) -> rusqlite::Result<()> {
    execute(tx.connection(), sql::RECLAIM.sqlite, params![location.as_str(), in_ms, reason]).map(drop)
}

pub(super) fn due(connection: &Connection, limit: usize) -> rusqlite::Result<Vec<Reclaim>> {
    readable(connection, sql::DUE.sqlite, [i64::MAX], limit, |row| {
        Ok(Reclaim { location: parsed(row, 0)?, upload_state: row.get(1)? })
    })
}

/// They are not told of again for a while.
pub(super) fn postpone(tx: &Tx<'_>, location: &Location, by: Duration) -> rusqlite::Result<()> {
    execute(tx.connection(), sql::POSTPONE.sqlite, params![millis(by), location.as_str()]).map(drop)
}

pub(super) fn due_count(connection: &Connection, limit: usize) -> rusqlite::Result<u64> {
    Ok(all(connection, sql::DUE_EACH.sqlite, [signed(limit)], |_| Ok(()))?.len() as u64)
}

pub(super) fn done(tx: &Tx<'_>, location: &Location) -> rusqlite::Result<()> {
    execute(tx.connection(), sql::DONE.sqlite, [location.as_str()]).map(drop)
}
