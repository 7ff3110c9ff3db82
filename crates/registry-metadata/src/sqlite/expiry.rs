//! Tags that expire, because the image they lead to has a label that says after how long.

use std::time::Duration;

use registry_digest::Digest;
use registry_types::{RepositoryName, Tag};
use rusqlite::{Connection, params};

use super::{
    fault::Fault,
    reclaim::{Garbage, enqueue_earlier},
    repositories,
    statement::{all, execute, one, parsed, readable},
    tags,
    writer::Tx,
};
use crate::{
    Options,
    clock::millis,
    expiry::{DueTag, Expiring, ExpiringTag, after_ms, bounded_ms},
    sql::collecting as sql,
};

pub(super) fn unread(
    connection: &Connection,
    limit: usize,
) -> rusqlite::Result<Vec<(RepositoryName, Digest)>> {
    let all = params![0, "", i64::MAX];
    readable(connection, sql::UNREAD_LABELS.sqlite, all, limit, |row| Ok((parsed(row, 2)?, parsed(row, 1)?)))
}

/// They are not told of again for a while.
pub(super) fn postpone(
    tx: &Tx<'_>,
    repository: &RepositoryName,
    digest: &Digest,
    by: Duration,
) -> rusqlite::Result<()> {
    let Some(id) = repositories::id(tx.connection(), repository)? else { return Ok(()) };
    let row = params![millis(by), "label", id, digest.to_string()];
    execute(tx.connection(), sql::POSTPONE_BY.sqlite, row).map(drop)
}

/// What the labels say; they need not be read again.
pub(super) fn set(
    tx: &Tx<'_>,
    repository: &RepositoryName,
    digest: &Digest,
    after: Option<Duration>,
) -> Result<(), Fault> {
    let Some(id) = repositories::id(tx.connection(), repository)? else { return Ok(()) };
    let text = digest.to_string();
    execute(tx.connection(), sql::DEQUEUE.sqlite, params!["label", id, text])?;
    if let Some(after) = after {
        execute(tx.connection(), sql::SET_EXPIRY.sqlite, params![after_ms(after), id, text])?;
        let expiring = look(tx.connection(), tx.options, id, &text)?;
        if !expiring.due.is_empty() {
            enqueue_earlier(tx, Garbage::Expiry(id), digest, 0, "label")?;
        } else if let Some(again) = expiring.again {
            enqueue_earlier(tx, Garbage::Expiry(id), digest, again.in_ms, "label")?;
        }
    }
    Ok(())
}

/// The manifest is gone, and its labels need not be read any more.
pub(super) fn forget(tx: &Tx<'_>, repository: i64, digest: &Digest) -> rusqlite::Result<()> {
    execute(tx.connection(), sql::DEQUEUE.sqlite, params!["label", repository, digest.to_string()]).map(drop)
}

/// A tag was set: has somebody look when it expires, if it does.
pub(super) fn begin(tx: &Tx<'_>, repository: i64, digest: &Digest) -> rusqlite::Result<()> {
    let here = params![repository, digest.to_string()];
    let after: Option<Option<i64>> = one(tx.connection(), sql::EXPIRES_AFTER.sqlite, here, |row| row.get(0))?;
    match after.flatten() {
        Some(after_ms) => {
            enqueue_earlier(tx, Garbage::Expiry(repository), digest, bounded_ms(after_ms), "label")
        }
        None => Ok(()),
    }
}

/// What is to be done about the tags of a manifest.
pub(super) fn look(
    connection: &Connection,
    options: &Options,
    repository: i64,
    digest: &str,
) -> rusqlite::Result<Expiring> {
    const PAGE: i64 = 100;
    let rule = tags::Rule::of(connection, options, repository)?;
    let (mut expiring, mut after) = (Expiring::default(), (i64::MIN, String::new()));
    loop {
        let page = params![repository, digest, after.0, after.1, PAGE];
        let tags: Vec<ExpiringTag> = all(connection, sql::EXPIRING.sqlite, page, |row| {
            Ok(ExpiringTag {
                tag: parsed::<Tag>(row, 0)?,
                updated_at_ms: row.get(1)?,
                after_ms: row.get(2)?,
                now_ms: row.get(3)?,
            })
        })?;
        let Some(last) = tags.last() else { return Ok(expiring) };
        after = (last.updated_at_ms, last.tag.to_string());
        for tag in tags {
            if !expiring.see(tag, |tag| rule.is_immutable(tag)) {
                return Ok(expiring);
            }
        }
    }
}

/// Removes the tags whose time is over, and has the collector look again when the next one's is.
pub(super) fn expire(tx: &Tx<'_>, repository: i64, digest: &Digest) -> Result<(), Fault> {
    let expiring = look(tx.connection(), tx.options, repository, &digest.to_string())?;
    for DueTag { tag, .. } in &expiring.due {
        tags::expire(tx, repository, tag, "expired")?;
    }
    if let Some(again) = expiring.again {
        enqueue_earlier(tx, Garbage::Expiry(repository), digest, again.in_ms, "label")?;
    }
    Ok(())
}
