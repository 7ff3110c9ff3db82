//! Tags that expire, because the image they lead to has a label that says after how long.

use std::time::Duration;

use async_trait::async_trait;
use registry_digest::Digest;
use registry_types::{RepositoryName, Tag};
use tokio_postgres::Row;

use super::{
    connection::{Connection, Parameters},
    fault::Fault,
    manifests,
    reclaim::{Garbage, dequeue, enqueue_earlier},
    repositories,
    row::{column, parsed, readable, signed},
    sql as own, tags,
    transaction::{Tx, Work},
};
use crate::{
    Options,
    clock::millis,
    expiry::{Expiring, ExpiringTag, after_ms, bounded_ms},
    sql::collecting as sql,
};

/// Page by page until there are some that can be read.
pub(super) async fn unread(
    connection: &Connection,
    limit: usize,
) -> Result<Vec<(RepositoryName, Digest)>, Fault> {
    let mut after = (0_i64, String::new());
    loop {
        let rows = connection.all(sql::UNREAD_LABELS.postgres, &[&after.0, &after.1, &signed(limit)]).await?;
        let unread = readable(&rows, |row: &Row| Ok((parsed(row, 2)?, parsed(row, 1)?)))?;
        match rows.last() {
            Some(last) if unread.is_empty() => after = (column(last, 0)?, column(last, 1)?),
            _ => return Ok(unread),
        }
    }
}

/// They are not told of again for a while.
pub(super) struct Postpone {
    pub(super) repository: RepositoryName,
    pub(super) digest: Digest,
    pub(super) by: Duration,
}

#[async_trait]
impl Work for Postpone {
    type Output = ();

    async fn run(&self, tx: &Tx<'_>) -> Result<(), Fault> {
        let Some(id) = repositories::id(tx, &self.repository).await? else { return Ok(()) };
        let row: Parameters<'_> = &[&millis(self.by), &"label", &id, &self.digest.to_string()];
        tx.execute(sql::POSTPONE_BY.postgres, row).await.map(drop)
    }
}

/// What the labels say; they need not be read again.
pub(super) struct Set {
    pub(super) repository: RepositoryName,
    pub(super) digest: Digest,
    pub(super) after: Option<Duration>,
}

#[async_trait]
impl Work for Set {
    type Output = ();

    async fn run(&self, tx: &Tx<'_>) -> Result<(), Fault> {
        let Some(id) = repositories::id(tx, &self.repository).await? else { return Ok(()) };
        let text = self.digest.to_string();
        dequeue(tx, Garbage::Label(id), &text).await?;
        let Some(after) = self.after else { return Ok(()) };
        let (kind, _) = Garbage::Expiry(id).key();
        tx.all(own::LOCK_QUEUED, &[&kind, &id, &vec![text.clone()]]).await?;
        // Whoever sets a tag to it at this moment either is waited for here, and the tag is seen; or waits, and sees the
        // label.
        tx.exists(own::LOCK_MANIFEST, &[&id, &text]).await?;
        tx.execute(sql::SET_EXPIRY.postgres, &[&after_ms(after), &id, &text]).await?;
        let expiring = look(tx, tx.options, id, &text).await?;
        match (expiring.due.is_empty(), expiring.again) {
            (true, None) => Ok(()),
            (true, Some(again)) => {
                enqueue_earlier(tx, Garbage::Expiry(id), &self.digest, again.in_ms, "label").await
            }
            (false, _) => enqueue_earlier(tx, Garbage::Expiry(id), &self.digest, 0, "label").await,
        }
    }
}

/// A tag was set: has somebody look when it expires, if it does.
pub(super) async fn begin(tx: &Tx<'_>, repository: i64, digest: &Digest) -> Result<(), Fault> {
    let row = tx.one(sql::EXPIRES_AFTER.postgres, &[&repository, &digest.to_string()]).await?;
    match row.map(|row| column::<Option<i64>>(&row, 0)).transpose()?.flatten() {
        Some(after_ms) => {
            enqueue_earlier(tx, Garbage::Expiry(repository), digest, bounded_ms(after_ms), "label").await
        }
        None => Ok(()),
    }
}

/// What is to be done about the tags of a manifest.
pub(super) async fn look(
    connection: &Connection,
    options: &Options,
    repository: i64,
    digest: &str,
) -> Result<Expiring, Fault> {
    const PAGE: i64 = 100;
    let rule = tags::Rule::of(connection, options, repository).await?;
    let (mut expiring, mut after) = (Expiring::default(), (i64::MIN, String::new()));
    loop {
        let page: Parameters<'_> = &[&repository, &digest, &after.0, &after.1, &PAGE];
        let rows = connection.all(sql::EXPIRING.postgres, page).await?;
        for row in &rows {
            let tag = ExpiringTag {
                tag: parsed::<Tag>(row, 0)?,
                updated_at_ms: column(row, 1)?,
                after_ms: column(row, 2)?,
                now_ms: column(row, 3)?,
            };
            after = (tag.updated_at_ms, tag.tag.to_string());
            if !expiring.see(tag, |tag| rule.is_immutable(tag)) {
                return Ok(expiring);
            }
        }
        if rows.is_empty() {
            return Ok(expiring);
        }
    }
}

/// Removes the tags whose time is over, and has the collector look again when the next one's is. The manifest goes if
/// nothing else refers to it.
pub(super) async fn expire(tx: &Tx<'_>, repository: i64, digest: &Digest) -> Result<(), Fault> {
    let expiring = look(tx, tx.options, repository, &digest.to_string()).await?;
    for due in &expiring.due {
        tags::remove_as_seen(tx, repository, digest, due, Some("expired")).await?;
    }
    if let Some(again) = expiring.again {
        enqueue_earlier(tx, Garbage::Expiry(repository), digest, again.in_ms, "label").await?;
    }
    manifests::dereferenced(tx, repository, &[*digest], "expired").await
}
