//! Tags that expire, because the image they lead to has a label that says after how long.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use registry_digest::Digest;
use registry_types::{RepositoryName, Tag};
use tokio_postgres::Row;

use super::{
    connection::Connection,
    fault::Fault,
    manifests,
    reclaim::{Garbage, dequeue, enqueue_earlier},
    repositories,
    row::{column, parsed, signed},
    sql as own, tags,
    transaction::{Tx, Work},
};
use crate::{StoredManifest, clock::millis, sql::collecting as sql};

/// A tag, when it expires, and the time now.
type Expiry = (Tag, i64, i64);

pub(super) async fn unread(
    connection: &Connection,
    limit: usize,
) -> Result<Vec<(RepositoryName, StoredManifest)>, Fault> {
    let unread = |row: &Row| {
        let bytes = Bytes::copy_from_slice(column(row, 3)?);
        let manifest = StoredManifest { digest: parsed(row, 1)?, media_type: parsed(row, 2)?, bytes };
        Ok((parsed(row, 0)?, manifest))
    };
    connection.all(sql::UNREAD_LABELS, &[&signed(limit)]).await?.iter().map(unread).collect()
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
        tx.execute(sql::SET_EXPIRY, &[&millis(after), &id, &text]).await?;
        match expiries(tx, id, &text).await?.first() {
            Some((_, at_ms, now_ms)) => {
                enqueue_earlier(tx, Garbage::Expiry(id), &self.digest, at_ms - now_ms, "label").await
            }
            None => Ok(()),
        }
    }
}

/// A tag was set: has somebody look when it expires, if it does.
pub(super) async fn begin(tx: &Tx<'_>, repository: i64, digest: &Digest) -> Result<(), Fault> {
    let row = tx.one(sql::EXPIRES_AFTER, &[&repository, &digest.to_string()]).await?;
    match row.map(|row| column::<Option<i64>>(&row, 0)).transpose()?.flatten() {
        Some(after_ms) => enqueue_earlier(tx, Garbage::Expiry(repository), digest, after_ms, "label").await,
        None => Ok(()),
    }
}

/// When the next tag of a manifest expires, or expired, and the time now.
pub(super) async fn next(
    connection: &Connection,
    repository: i64,
    digest: &str,
) -> Result<Option<(i64, i64)>, Fault> {
    let first = expiries(connection, repository, digest).await?.into_iter().next();
    Ok(first.map(|(_, at_ms, now_ms)| (at_ms, now_ms)))
}

/// Removes the tags whose time is over, and has somebody look when the next one's is. The manifest goes if nothing else
/// refers to it.
pub(super) async fn expire(tx: &Tx<'_>, repository: i64, digest: &Digest) -> Result<(), Fault> {
    for (tag, at_ms, now_ms) in expiries(tx, repository, &digest.to_string()).await? {
        if at_ms > now_ms {
            enqueue_earlier(tx, Garbage::Expiry(repository), digest, at_ms - now_ms, "label").await?;
            break;
        }
        tags::expire(tx, repository, &tag, digest, "expired").await?;
    }
    manifests::dereferenced(tx, repository, &[*digest], "expired").await
}

async fn expiries(connection: &Connection, repository: i64, digest: &str) -> Result<Vec<Expiry>, Fault> {
    let expiry = |row: &Row| Ok((parsed(row, 0)?, column(row, 1)?, column(row, 2)?));
    connection.all(sql::EXPIRIES, &[&repository, &digest]).await?.iter().map(expiry).collect()
}
