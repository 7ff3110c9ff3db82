//! Tags that expire, because the image they lead to has a label that says after how long.

use std::time::Duration;

use registry_database::{Fault, FromRow, Row, Session, Text, params, signed};
use registry_digest::Digest;
use registry_types::{Cause, RepositoryName};

use super::{
    Keyed, Tx, manifests,
    reclaim::{dequeue, enqueue_earlier},
    repositories, tags,
};
use crate::{
    Options,
    clock::millis,
    collecting::{Garbage, Reason},
    expiry::{Expiring, ExpiringTag, after_ms, bounded_ms},
    sql::{collecting as sql, postgres},
};

/// Which actor the history names for what expires.
const ACTOR: &str = "expired";

/// Images whose labels are to be read: at most so many that can be told, and none only after the last.
pub(crate) async fn unread(
    session: &impl Session,
    limit: usize,
) -> Result<Vec<(RepositoryName, Digest)>, Fault> {
    let mut after = (0, String::new());
    loop {
        let page: Vec<Keyed<(i64, String), Unread>> =
            session.all(sql::UNREAD_LABELS, params![after.0, &after.1, signed(limit)]).await?;
        let Some(last) = page.last() else { return Ok(Vec::new()) };
        after = last.key.clone();
        let unread: Vec<_> = page.into_iter().filter_map(|row| row.value).map(|unread| unread.0).collect();
        if !unread.is_empty() {
            return Ok(unread);
        }
    }
}

struct Unread((RepositoryName, Digest));

impl FromRow for Unread {
    fn from_row(row: &Row<'_>) -> Result<Self, Fault> {
        Ok(Unread((row.parsed(2)?, row.parsed(1)?)))
    }
}

/// They are not told of again for a while.
pub(crate) async fn postpone(
    tx: &Tx<'_, impl Session>,
    repository: &RepositoryName,
    digest: &Digest,
    by: Duration,
) -> Result<(), Fault> {
    let Some(id) = repositories::id(tx.session, repository).await? else { return Ok(()) };
    let (kind, _) = Garbage::Label(id).key();
    tx.execute(sql::POSTPONE_BY, params![millis(by), kind, id, &digest.to_string()]).await.map(drop)
}

/// What the labels say; they need not be read again.
pub(crate) async fn set(
    tx: &Tx<'_, impl Session>,
    repository: &RepositoryName,
    digest: &Digest,
    after: Option<Duration>,
) -> Result<(), Fault> {
    let Some(id) = repositories::id(tx.session, repository).await? else { return Ok(()) };
    let text = digest.to_string();
    dequeue(tx, Garbage::Label(id), &text).await?;
    let Some(after) = after else { return Ok(()) };
    let (kind, _) = Garbage::Expiry(id).key();
    tx.lock(postgres::LOCK_QUEUED, params![kind, id, &[text.as_str()][..]]).await?;
    // A transaction that sets a tag to it at this moment either is waited for here, and the tag is seen; or it waits, and
    // sees the label.
    tx.lock(postgres::LOCK_MANIFEST, params![id, &text]).await?;
    tx.execute(sql::SET_EXPIRY, params![after_ms(after), id, &text]).await?;
    let expiring = expiring_tags(tx.session, tx.options, id, &text).await?;
    let in_ms = match expiring.due.is_empty() {
        true => expiring.again.map(|again| again.in_ms),
        false => Some(0),
    };
    match in_ms {
        Some(in_ms) => enqueue_earlier(tx, Garbage::Expiry(id), digest, in_ms, Reason::Label).await,
        None => Ok(()),
    }
}

/// A tag was set: has the collector look when it expires, if it does.
pub(crate) async fn begin(tx: &Tx<'_, impl Session>, repository: i64, digest: &Digest) -> Result<(), Fault> {
    let text = digest.to_string();
    let after: Option<Option<i64>> = tx.one(sql::EXPIRES_AFTER, params![repository, &text]).await?;
    match after.flatten() {
        Some(after_ms) => {
            let in_ms = bounded_ms(after_ms);
            enqueue_earlier(tx, Garbage::Expiry(repository), digest, in_ms, Reason::Label).await
        }
        None => Ok(()),
    }
}

/// What is to be done about the tags of a manifest.
pub(crate) async fn expiring_tags(
    session: &impl Session,
    options: &Options,
    repository: i64,
    digest: &str,
) -> Result<Expiring, Fault> {
    const PAGE: i64 = 100;
    let rule = tags::Rule::of(session, options, repository).await?;
    let (mut expiring, mut after) = (Expiring::default(), (i64::MIN, String::new()));
    loop {
        let page: Vec<ExpiringTag> =
            session.all(sql::EXPIRING, params![repository, digest, after.0, &after.1, PAGE]).await?;
        let Some(last) = page.last() else { return Ok(expiring) };
        after = (last.updated_at_ms, last.tag.to_string());
        for tag in page {
            if !expiring.see(tag, |tag| rule.is_immutable(tag)) {
                return Ok(expiring);
            }
        }
    }
}

impl FromRow for ExpiringTag {
    fn from_row(row: &Row<'_>) -> Result<Self, Fault> {
        let (Text(tag), updated_at_ms, after_ms, now_ms) = FromRow::from_row(row)?;
        Ok(ExpiringTag { tag, updated_at_ms, after_ms, now_ms })
    }
}

/// Removes the tags whose time is over, and has the collector look again when the next one's is. The manifest goes if
/// nothing else refers to it.
pub(crate) async fn expire(tx: &Tx<'_, impl Session>, repository: i64, digest: &Digest) -> Result<(), Fault> {
    let expiring = expiring_tags(tx.session, tx.options, repository, &digest.to_string()).await?;
    let cause = Cause::by(ACTOR);
    for due in &expiring.due {
        tags::remove_as_seen(tx, repository, digest, due, &cause).await?;
    }
    if let Some(again) = expiring.again {
        enqueue_earlier(tx, Garbage::Expiry(repository), digest, again.in_ms, Reason::Label).await?;
    }
    manifests::dereferenced(tx, repository, &[*digest], Reason::Expired).await
}
