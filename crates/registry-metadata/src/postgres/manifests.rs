//! Manifests: reading, promising, deleting. Pushing is in `put`.

use std::pin::pin;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use registry_digest::Digest;
use registry_types::{Descriptor, Reference, RepositoryName, Tag};
use tokio_postgres::Row;

use super::{
    blobs,
    connection::{Connection, Parameters},
    fault::Fault,
    reclaim::{Garbage, dequeue, enqueue, in_order},
    repositories,
    row::{all_parsed, column, parsed, signed, unsigned},
    sql as own, tags,
    transaction::{Tx, Work},
};
use crate::{
    FoundManifest, MetadataError, REFERRERS_BYTES_MAX, REFERRING_MAX, StoredManifest,
    logic::pipeline,
    sql::{
        collecting as collecting_sql, manifests as sql, reclaim as reclaim_sql, retention as retention_sql,
    },
};

/// A manifest, and whether a client may be told of it without a write.
pub(super) struct Promised {
    pub(super) manifest: StoredManifest,
    pub(super) is_safe: bool,
}

pub(super) async fn read(
    connection: &Connection,
    repository: &RepositoryName,
    reference: &Reference,
) -> Result<Option<StoredManifest>, Fault> {
    let row = match reference {
        Reference::Tag(tag) => {
            connection.one(sql::BY_TAG.postgres, &[&repository.as_str(), &tag.as_str()]).await?
        }
        Reference::Digest(digest) => {
            connection.one(sql::BY_DIGEST.postgres, &[&repository.as_str(), &digest.to_string()]).await?
        }
    };
    row.map(|row| manifest(&row)).transpose()
}

/// As [`read`], without the bytes if there are more than `bytes_max`.
pub(super) async fn read_within(
    connection: &Connection,
    repository: &RepositoryName,
    reference: &Reference,
    bytes_max: usize,
) -> Result<Option<FoundManifest>, Fault> {
    let (statement, name) = match reference {
        Reference::Tag(tag) => (sql::BY_TAG_WITHIN.postgres, tag.to_string()),
        Reference::Digest(digest) => (sql::BY_DIGEST_WITHIN.postgres, digest.to_string()),
    };
    let row = connection.one(statement, &[&signed(bytes_max), &repository.as_str(), &name]).await?;
    let found = |row: Row| -> Result<FoundManifest, Fault> {
        Ok(FoundManifest {
            digest: parsed(&row, 0)?,
            media_type: parsed(&row, 1)?,
            size_bytes: unsigned(&row, 2)?,
            bytes: column::<Option<&[u8]>>(&row, 3)?.map(Bytes::copy_from_slice),
        })
    };
    row.map(found).transpose()
}

pub(super) async fn promise(
    connection: &Connection,
    repository: &RepositoryName,
    digest: &Digest,
    lease_ms: i64,
) -> Result<Option<Promised>, Fault> {
    let wanted: Parameters<'_> = &[&lease_ms, &repository.as_str(), &digest.to_string()];
    let row = connection.one(sql::PROMISE_BY_DIGEST.postgres, wanted).await?;
    row.map(|row| Ok(Promised { manifest: manifest(&row)?, is_safe: column::<i32>(&row, 3)? == 1 }))
        .transpose()
}

/// Grants a new lease to a manifest that is about to be promised. [`MetadataError::ManifestUnknown`] if it went in the
/// meantime.
pub(super) struct Renew {
    pub(super) repository: RepositoryName,
    pub(super) digest: Digest,
}

#[async_trait]
impl Work for Renew {
    type Output = StoredManifest;

    async fn run(&self, tx: &Tx<'_>) -> Result<StoredManifest, Fault> {
        let unknown = || MetadataError::ManifestUnknown { digest: self.digest };
        let id = repositories::id(tx, &self.repository).await?.ok_or_else(unknown)?;
        if !grant(tx, id, &self.digest, "lease").await? {
            return Err(unknown().into());
        }
        let found = read(tx, &self.repository, &Reference::Digest(self.digest)).await?;
        found.ok_or_else(|| unknown().into())
    }
}

/// The statements of [`grant`], for [`Connection::ready`].
pub(super) const GRANT: [&str; 2] = [reclaim_sql::ENQUEUE.postgres, sql::GRANT.postgres];

/// Keeps a manifest for a lease, and has the collector look at it after that. Whether it is there.
pub(super) async fn grant(
    tx: &Tx<'_>,
    repository: i64,
    digest: &Digest,
    reason: &str,
) -> Result<bool, Fault> {
    let (text, grant_ms) = (digest.to_string(), tx.options.grant_ms());
    tx.ready(&GRANT).await?;
    let ((), granted) =
        pipeline!(enqueue(tx, Garbage::Manifest(repository), digest, grant_ms, reason), async {
            tx.execute(sql::GRANT.postgres, &[&grant_ms, &repository, &text]).await
        },)?;
    Ok(granted > 0)
}

/// Grants a lease to those of some manifests that lost a tag, an index or their subject just now, in this transaction,
/// and to which nothing else refers.
pub(super) async fn dereferenced(
    tx: &Tx<'_>,
    repository: i64,
    digests: &[Digest],
    reason: &str,
) -> Result<(), Fault> {
    let (texts, grant_ms) = (in_order(digests), tx.options.grant_ms());
    if texts.is_empty() {
        return Ok(());
    }
    let (kind, _) = Garbage::Manifest(repository).key();
    tx.ready(&[own::LOCK_QUEUED, own::LOCK_MANIFESTS, own::GRANT_UNREFERENCED_MANIFESTS]).await?;
    let (_, _, granted) = pipeline!(
        async { tx.all(own::LOCK_QUEUED, &[&kind, &repository, &texts]).await },
        async { tx.all(own::LOCK_MANIFESTS, &[&repository, &texts]).await },
        async { tx.all(own::GRANT_UNREFERENCED_MANIFESTS, &[&grant_ms, &repository, &texts]).await },
    )?;
    let granted = in_order(&all_parsed::<Digest>(&granted)?);
    if !granted.is_empty() {
        tx.execute(own::ENQUEUE_ALL, &[&kind, &repository, &granted, &grant_ms, &reason]).await?;
    }
    Ok(())
}

pub(super) async fn referrers(
    connection: &Connection,
    repository: &RepositoryName,
    subject: &Digest,
    artifact_type: Option<&str>,
    after: Option<&Digest>,
    limit: usize,
) -> Result<Vec<Descriptor>, Fault> {
    let (name, subject, limit) = (repository.as_str(), subject.to_string(), signed(limit));
    let after = after.map(Digest::to_string).unwrap_or_default();
    match artifact_type {
        None => descriptors(connection, sql::REFERRERS.postgres, &[&name, &subject, &after, &limit]).await,
        Some(artifact_type) => {
            let page: Parameters<'_> = &[&name, &subject, &artifact_type, &after, &limit];
            descriptors(connection, sql::REFERRERS_OF_TYPE.postgres, page).await
        }
    }
}

/// Reads descriptors until their annotations are too much to be held at once.
async fn descriptors(
    connection: &Connection,
    sql: &'static str,
    page: Parameters<'_>,
) -> Result<Vec<Descriptor>, Fault> {
    let mut rows = pin!(connection.stream(sql, page).await?);
    let (mut descriptors, mut annotations_bytes) = (Vec::new(), 0);
    while annotations_bytes < REFERRERS_BYTES_MAX
        && let Some(row) = connection.answer(async { Ok(rows.next().await) }).await?
    {
        let row = row?;
        annotations_bytes += column::<Option<&str>>(&row, 4)?.map_or(0, str::len);
        descriptors.push(descriptor(&row)?);
    }
    Ok(descriptors)
}

/// Deletes a manifest and its tags.
pub(super) struct Delete {
    pub(super) repository: RepositoryName,
    pub(super) digest: Digest,
    pub(super) actor: Option<String>,
}

#[async_trait]
impl Work for Delete {
    type Output = Vec<Tag>;

    async fn run(&self, tx: &Tx<'_>) -> Result<Vec<Tag>, Fault> {
        let id = self.lock(tx, &self.digest.to_string()).await?;
        remove(tx, id, &self.digest, self.actor.as_deref()).await
    }
}

/// Moves a manifest and its tags to the trash, or removes them: one that is here, that no index lists, and that is locked,
/// as is its repository. What it referred to gets a lease: after its row is gone, so that it no longer counts as a
/// reference itself.
pub(super) async fn remove(
    tx: &Tx<'_>,
    id: i64,
    digest: &Digest,
    actor: Option<&str>,
) -> Result<Vec<Tag>, Fault> {
    let text = digest.to_string();
    trash(tx, id, digest, actor).await?;
    let of_manifest: Parameters<'_> = &[&id, &text];
    let tags = tags::remove_all(tx, id, digest, actor).await?;
    tx.ready(&[
        sql::DELETE_BLOBS.postgres,
        sql::DELETE_CHILDREN.postgres,
        sql::DELETE.postgres,
        sql::ALL_REFERRERS.postgres,
    ])
    .await?;
    let (blobs, children, _, referrers) = pipeline!(
        async { tx.all(sql::DELETE_BLOBS.postgres, of_manifest).await },
        async { tx.all(sql::DELETE_CHILDREN.postgres, of_manifest).await },
        async { tx.execute(sql::DELETE.postgres, of_manifest).await },
        async { tx.all(sql::ALL_REFERRERS.postgres, of_manifest).await },
    )?;
    tx.execute(retention_sql::FORGET_PULLS.postgres, of_manifest).await?;
    tx.quota.remove(id, digest);
    for blob in &blobs {
        if column::<Option<&str>>(blob, 1)?.is_some() {
            tx.quota.remove(id, &parsed(blob, 0)?);
        }
    }
    dequeue(tx, Garbage::Label(id), &text).await?;
    repositories::unlist_if_empty(tx, id).await?;
    blobs::dereferenced(tx, id, &all_parsed(&blobs)?).await?;
    dereferenced(tx, id, &all_parsed(&children)?, "index deleted").await?;
    dereferenced(tx, id, &all_parsed(&referrers)?, "subject deleted").await?;
    Ok(tags)
}

impl Delete {
    /// Locks repository and manifest, and refuses while an index lists the manifest. Returns the repository's number.
    async fn lock(&self, tx: &Tx<'_>, text: &str) -> Result<i64, Fault> {
        let digest = self.digest;
        let unknown = || MetadataError::ManifestUnknown { digest };
        let row = tx.one(own::LOCK_REPOSITORY, &[&self.repository.as_str()]).await?.ok_or_else(unknown)?;
        let id: i64 = column(&row, 0)?;
        tx.ready(&[own::LOCK_MANIFEST, sql::REFERRING.postgres]).await?;
        let (is_here, by) = pipeline!(async { tx.exists(own::LOCK_MANIFEST, &[&id, &text]).await }, async {
            tx.all(sql::REFERRING.postgres, &[&id, &text, &signed(REFERRING_MAX)]).await
        },)?;
        if !is_here {
            return Err(unknown().into());
        }
        if !by.is_empty() {
            return Err(MetadataError::ManifestReferenced { digest, by: all_parsed(&by)? }.into());
        }
        Ok(id)
    }
}

/// Keeps a manifest and the bytes of its blobs for a while after it is deleted. The repository is locked.
async fn trash(tx: &Tx<'_>, repository: i64, digest: &Digest, actor: Option<&str>) -> Result<(), Fault> {
    let (text, window_ms) = (digest.to_string(), tx.options.undelete_window_ms());
    if window_ms == 0 {
        return Ok(());
    }
    let trashed = tx.one(own::TRASH, &[&actor, &window_ms, &repository, &text]).await?;
    if let Some(row) = trashed
        && column::<i32>(&row, 1)? == 1
    {
        tx.quota.hold_manifest(repository, digest, column(&row, 0)?);
    }
    for blob in all_parsed::<Digest>(&tx.all(sql::TRASH_BLOBS.postgres, &[&repository, &text]).await?)? {
        tx.quota.hold(repository, &blob);
    }
    Ok(())
}

/// Removes a manifest from the trash, and says whose bytes were kept with it.
pub(super) async fn purge(tx: &Tx<'_>, repository: i64, digest: &str) -> Result<Vec<Digest>, Fault> {
    let row: Parameters<'_> = &[&repository, &digest];
    let blobs: Vec<Digest> = all_parsed(&tx.all(collecting_sql::PURGE_BLOBS.postgres, row).await?)?;
    if tx.execute(collecting_sql::PURGE_MANIFEST.postgres, row).await? > 0 {
        let digest = digest.parse().map_err(|error| Fault::Unreadable(Box::new(error)))?;
        tx.quota.let_go(repository, &digest);
    }
    for blob in &blobs {
        tx.quota.let_go(repository, blob);
    }
    Ok(blobs)
}

fn manifest(row: &Row) -> Result<StoredManifest, Fault> {
    Ok(StoredManifest {
        digest: parsed(row, 0)?,
        media_type: parsed(row, 1)?,
        bytes: Bytes::copy_from_slice(column(row, 2)?),
    })
}

fn descriptor(row: &Row) -> Result<Descriptor, Fault> {
    let mut descriptor = Descriptor::new(parsed(row, 1)?, parsed(row, 0)?, unsigned(row, 2)?);
    descriptor.artifact_type = column(row, 3)?;
    if let Some(annotations) = column::<Option<&str>>(row, 4)? {
        descriptor.annotations =
            serde_json::from_str(annotations).map_err(|error| Fault::Unreadable(error.into()))?;
    }
    Ok(descriptor)
}
