//! What was deleted and comes back.

use bytes::Bytes;
use registry_database::{Fault, FromRow, Row, Text, params};
use registry_digest::Digest;
use registry_events::Kind;
use registry_types::{Cause, Manifest, MediaType, Reference, RepositoryName, Tag};

use super::{
    Tx, all_parsed, manifests,
    reclaim::enqueue_digests,
    repositories, tags,
    tuned::{SetTag, Tuned},
};
use crate::{
    MetadataError, PutManifest, Restored,
    collecting::Reason,
    error::is_refused_manifest,
    push::Put,
    sql::{collecting as collecting_sql, manifests as manifest_sql, restore as sql},
};

/// How many manifests are restored at once: an index has no more children.
const RESTORED_MAX: usize = registry_types::MANIFEST_DESCRIPTORS_MAX;

/// How far what is restored may lie from what was asked for: indexes of indexes, referrers of referrers.
const DEPTH_MAX: usize = 16;

/// Restores a tag, or a manifest with its tags.
pub(crate) async fn restore(
    tx: &Tx<'_, impl Tuned>,
    repository: &RepositoryName,
    reference: &Reference,
    cause: &Cause,
) -> Result<Restored, Fault> {
    let unknown = || match reference {
        Reference::Tag(tag) => MetadataError::TagUnknown { tag: tag.clone() },
        Reference::Digest(digest) => MetadataError::ManifestUnknown { digest: *digest },
    };
    let restoring = Restoring::begin(tx, repository, cause).await?.ok_or_else(unknown)?;
    let mut restored = Restored::default();
    match reference {
        Reference::Tag(tag) => restoring.tag(tag, &mut restored).await?,
        Reference::Digest(digest) => {
            restoring.manifest(digest, &mut restored, 0).await?;
            restoring.free_tags(digest, &mut restored).await?;
        }
    }
    Ok(restored)
}

/// Makes a tag lead to what is here, or can be restored.
pub(crate) async fn set_tag(
    tx: &Tx<'_, impl Tuned>,
    repository: &RepositoryName,
    tag: &Tag,
    digest: &Digest,
    cause: &Cause,
) -> Result<Restored, Fault> {
    let unknown = || MetadataError::ManifestUnknown { digest: *digest };
    let restoring = Restoring::begin(tx, repository, cause).await?.ok_or_else(unknown)?;
    let mut restored = Restored::default();
    if !restoring.is_here(digest).await? {
        restoring.manifest(digest, &mut restored, 0).await?;
    }
    restoring.set(Kind::TagReverted, tag, digest, &mut restored).await?;
    Ok(restored)
}

/// A repository in which something is restored: locked, so that nothing of it is deleted or restored beside.
struct Restoring<'a, S> {
    tx: &'a Tx<'a, S>,
    id: i64,
    repository: &'a RepositoryName,
    cause: &'a Cause,
}

impl<'a, S: Tuned> Restoring<'a, S> {
    async fn begin(
        tx: &'a Tx<'a, S>,
        repository: &'a RepositoryName,
        cause: &'a Cause,
    ) -> Result<Option<Restoring<'a, S>>, Fault> {
        let Some(id) = repositories::lock_to_change(tx, repository).await? else { return Ok(None) };
        tx.events.name(id, repository);
        Ok(Some(Restoring { tx, id, repository, cause }))
    }

    async fn is_here(&self, digest: &Digest) -> Result<bool, Fault> {
        self.tx.exists(manifest_sql::EXISTS, params![self.id, &digest.to_string()]).await
    }

    /// Sets a tag to what it led to when it was deleted last.
    async fn tag(&self, tag: &Tag, restored: &mut Restored) -> Result<(), Fault> {
        let led_to: Vec<(Text<Digest>, i64)> =
            self.tx.all(sql::TAG_LED_TO, params![self.id, tag.as_str()]).await?;
        let last = led_to.into_iter().max_by_key(|(_, deleted_at)| *deleted_at);
        let (Text(digest), _) = last.ok_or_else(|| MetadataError::TagUnknown { tag: tag.clone() })?;
        if let Some(now) = tags::lock(self.tx.session, self.repository, tag).await? {
            return Err(MetadataError::TagTaken { tag: tag.clone(), digest: now }.into());
        }
        if !self.is_here(&digest).await? {
            self.manifest(&digest, restored, 0).await?;
        }
        self.set(Kind::TagRestored, tag, &digest, restored).await
    }

    async fn set(
        &self,
        kind: Kind,
        tag: &Tag,
        digest: &Digest,
        restored: &mut Restored,
    ) -> Result<(), Fault> {
        let Restoring { tx, id, repository, cause } = *self;
        let set = SetTag { repository: id, name: repository, tag, digest, cause };
        let before = S::set_tag(tx, &set).await?;
        tags::note_set(tx, kind, id, (tag, digest), before.as_ref(), cause);
        let trashed = digest.to_string();
        tx.execute(collecting_sql::PURGE_TAG, params![id, tag.as_str(), &trashed]).await?;
        restored.tags.push(tag.clone());
        Ok(())
    }

    /// The tags that were deleted when they led to a manifest, if no client has set them since.
    async fn free_tags(&self, digest: &Digest, restored: &mut Restored) -> Result<(), Fault> {
        let text = digest.to_string();
        let deleted: Vec<Tag> = all_parsed(self.tx.session, sql::TAGS_OF, params![self.id, &text]).await?;
        for tag in deleted {
            if tags::lock(self.tx.session, self.repository, &tag).await?.is_none() {
                self.set(Kind::TagRestored, &tag, digest, restored).await?;
            }
        }
        Ok(())
    }

    /// Restores a manifest that is in the trash, and of what belongs to it whatever is there too: first what it refers to,
    /// then itself, then what refers to it.
    async fn manifest(&self, digest: &Digest, restored: &mut Restored, depth: usize) -> Result<(), Fault> {
        let text = digest.to_string();
        // Of those that wait for what they list only that list is in memory.
        let document = self.document(digest, &text).await?;
        let children: Vec<Digest> = document.child_manifests().map(|child| child.digest).collect();
        drop(document);
        for child in &children {
            Box::pin(self.restore_if_trashed(child, restored, depth + 1)).await?;
        }
        // Otherwise it was pushed again in the meantime.
        if !self.is_here(digest).await? {
            let document = self.document(digest, &text).await?;
            self.bring_back(digest, &text, &document).await?;
            restored.manifests.push(*digest);
        }
        let blobs = manifests::purge(self.tx, self.id, &text).await?;
        enqueue_digests(self.tx, &blobs, Reason::Restored).await?;
        let row = params![self.id, &text];
        let referrers: Vec<Digest> = all_parsed(self.tx.session, sql::TRASHED_REFERRERS, row).await?;
        for referrer in &referrers {
            Box::pin(self.restore_if_trashed(referrer, restored, depth + 1)).await?;
        }
        Ok(())
    }

    /// What is in the trash, locked.
    async fn document(&self, digest: &Digest, text: &str) -> Result<Manifest, Fault> {
        let trashed: Option<Trashed> =
            self.tx.one(sql::LOCK_TRASHED_MANIFEST, params![self.id, text]).await?;
        let Trashed { media_type, bytes } =
            trashed.ok_or(MetadataError::ManifestUnknown { digest: *digest })?;
        let parsed = Manifest::parse(Some(&media_type), bytes);
        Ok(parsed.map_err(|reason| MetadataError::ManifestRefused { digest: *digest, reason })?)
    }

    async fn restore_if_trashed(
        &self,
        digest: &Digest,
        restored: &mut Restored,
        depth: usize,
    ) -> Result<(), Fault> {
        let is_trashed = self.tx.exists(sql::TRASHED_MANIFEST, params![self.id, &digest.to_string()]).await?;
        let is_within = depth < DEPTH_MAX && restored.manifests.len() < RESTORED_MAX;
        if !is_trashed || !is_within || self.is_here(digest).await? {
            return Ok(());
        }
        match self.manifest(digest, restored, depth).await {
            // It was looked at before anything was written, so nothing of it is here.
            Err(Fault::Refused(error)) if is_refused_manifest(&*error) => {
                let repository = self.repository;
                tracing::warn!(%error, "left a manifest of {repository} in the trash: {error}");
                Ok(())
            }
            restored => restored,
        }
    }

    async fn bring_back(&self, digest: &Digest, text: &str, document: &Manifest) -> Result<(), Fault> {
        let Restoring { tx, id, repository, cause } = *self;
        let blobs: Vec<Digest> = all_parsed(tx.session, sql::TRASHED_BLOBS, params![id, text]).await?;
        for blob in &blobs {
            S::link_blob(tx, id, blob).await?;
        }
        tx.execute(sql::RESTORE_MANIFEST, params![tx.options.grant_ms(), id, text]).await?;
        let put = Put::new(&PutManifest {
            repository,
            digest: *digest,
            manifest: document,
            tags: &[],
            required: &[],
            required_children: &[],
            cause,
        });
        S::link_manifest(tx, id, &put).await?;
        tx.events.note(|| put.happened(Kind::ManifestRestored, id));
        manifests::grant(tx, id, digest, Reason::Restored).await.map(drop)
    }
}

/// A manifest in the trash.
struct Trashed {
    media_type: MediaType,
    bytes: Bytes,
}

impl FromRow for Trashed {
    fn from_row(row: &Row<'_>) -> Result<Self, Fault> {
        Ok(Trashed { media_type: row.parsed(0)?, bytes: Bytes::copy_from_slice(row.bytes(1)?) })
    }
}
