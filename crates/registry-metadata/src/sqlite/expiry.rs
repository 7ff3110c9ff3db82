//! Tags that expire, because the image they lead to has a label that says after how long.

use std::time::Duration;

use bytes::Bytes;
use registry_digest::Digest;
use registry_types::{RepositoryName, Tag};
use rusqlite::{Connection, params};

use super::{
    fault::Fault,
    reclaim::{Garbage, enqueue_earlier},
    repositories,
    statement::{all, execute, one, parsed, signed},
    tags,
    writer::Tx,
};
use crate::{StoredManifest, clock::millis, sql::collecting as sql};

/// A tag, when it expires, and the time now.
type Expiry = (Tag, i64, i64);

pub(super) fn unread(
    connection: &Connection,
    limit: usize,
) -> rusqlite::Result<Vec<(RepositoryName, StoredManifest)>> {
    all(connection, sql::UNREAD_LABELS, [signed(limit)], |row| {
        let bytes = Bytes::copy_from_slice(row.get_ref(3)?.as_blob()?);
        let manifest = StoredManifest { digest: parsed(row, 1)?, media_type: parsed(row, 2)?, bytes };
        Ok((parsed(row, 0)?, manifest))
    })
}

/// What the labels say; they need not be read again.
pub(super) fn set(
    tx: &Tx<'_>,
    repository: &RepositoryName,
    digest: &Digest,
    after: Option<Duration>,
) -> Result<(), Fault> {
    let Some(id) = repositories::id(tx.connection, repository)? else { return Ok(()) };
    let text = digest.to_string();
    execute(tx.connection, sql::DEQUEUE, params!["label", id, text])?;
    if let Some(after) = after {
        execute(tx.connection, sql::SET_EXPIRY, params![millis(after), id, text])?;
        if let Some((_, at_ms, now_ms)) = expiries(tx.connection, id, &text)?.first() {
            enqueue_earlier(tx, Garbage::Expiry(id), digest, at_ms - now_ms, "label")?;
        }
    }
    Ok(())
}

/// The manifest is gone, and its labels need not be read any more.
pub(super) fn forget(tx: &Tx<'_>, repository: i64, digest: &Digest) -> rusqlite::Result<()> {
    execute(tx.connection, sql::DEQUEUE, params!["label", repository, digest.to_string()]).map(drop)
}

/// A tag was set: has somebody look when it expires, if it does.
pub(super) fn begin(tx: &Tx<'_>, repository: i64, digest: &Digest) -> rusqlite::Result<()> {
    let here = params![repository, digest.to_string()];
    let after: Option<Option<i64>> = one(tx.connection, sql::EXPIRES_AFTER, here, |row| row.get(0))?;
    match after.flatten() {
        Some(after_ms) => enqueue_earlier(tx, Garbage::Expiry(repository), digest, after_ms, "label"),
        None => Ok(()),
    }
}

/// When the next tag of a manifest expires, or expired, and the time now.
pub(super) fn next(
    connection: &Connection,
    repository: i64,
    digest: &str,
) -> rusqlite::Result<Option<(i64, i64)>> {
    let first = expiries(connection, repository, digest)?.into_iter().next();
    Ok(first.map(|(_, at_ms, now_ms)| (at_ms, now_ms)))
}

/// Removes the tags whose time is over, and has somebody look when the next one's is.
pub(super) fn expire(tx: &Tx<'_>, repository: i64, digest: &Digest) -> rusqlite::Result<()> {
    for (tag, at_ms, now_ms) in expiries(tx.connection, repository, &digest.to_string())? {
        if at_ms > now_ms {
            return enqueue_earlier(tx, Garbage::Expiry(repository), digest, at_ms - now_ms, "label");
        }
        tags::expire(tx, repository, &tag, digest, "expired")?;
    }
    Ok(())
}

fn expiries(connection: &Connection, repository: i64, digest: &str) -> rusqlite::Result<Vec<Expiry>> {
    all(connection, sql::EXPIRIES, params![repository, digest], |row| {
        Ok((parsed(row, 0)?, row.get(1)?, row.get(2)?))
    })
}
