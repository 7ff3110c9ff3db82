//! What was deleted and comes back.

use std::pin::Pin;

use bytes::Bytes;
use registry_digest::Digest;
use registry_types::{Cause, Manifest, MediaType, Reference, RepositoryName, Tag};

use super::{
    blobs,
    connection::Parameters,
    fault::Fault,
    row::{all_parsed, column, parsed},
    sql as own, tags,
    transaction::Tx,
};
use crate::{
    MetadataError, PutManifest, Restored,
    collecting::Reason,
    error::is_refused_manifest,
    logic::{expiry, manifests, reclaim::enqueue_digests, repositories, tags::lock},
    push::Put,
    sql::{collecting as collecting_sql, manifests as manifest_sql, restore as sql},
};

/// How many manifests are restored at once: an index has no more children.
const RESTORED_MAX: usize = registry_types::MANIFEST_DESCRIPTORS_MAX;

/// How far what is restored may lie from what was asked for: indexes of indexes, referrers of referrers.
const DEPTH_MAX: usize = 16;

/// Restores a tag, or a manifest with its tags.
pub(super) async fn restore(
    tx: &Tx<'_>,
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
pub(super) async fn set_tag(
    tx: &Tx<'_>,
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
    restoring.set(tag, digest, &mut restored).await?;
    Ok(restored)
}

/// A repository in which something is restored: locked, so that nothing of it is deleted or restored beside.
struct Restoring<'a> {
    tx: &'a Tx<'a>,
    id: i64,
    repository: &'a RepositoryName,
    cause: &'a Cause,
}

impl<'a> Restoring<'a> {
    async fn begin(
        tx: &'a Tx<'a>,
        repository: &'a RepositoryName,
        cause: &'a Cause,
    ) -> Result<Option<Restoring<'a>>, Fault> {
        let id = repositories::lock(tx.session, repository).await?;
        Ok(id.map(|id| Restoring { tx, id, repository, cause }))
    }

    async fn is_here(&self, digest: &Digest) -> Result<bool, Fault> {
        self.tx.exists(manifest_sql::EXISTS.postgres, &[&self.id, &digest.to_string()]).await
    }

    /// Sets a tag to what it led to when it was deleted last.
    async fn tag(&self, tag: &Tag, restored: &mut Restored) -> Result<(), Fault> {
        let mut led_to: Option<(i64, Digest)> = None;
        for row in self.tx.all(sql::TAG_LED_TO.postgres, &[&self.id, &tag.as_str()]).await? {
            let (digest, deleted_at) = (parsed(&row, 0)?, column(&row, 1)?);
            if led_to.is_none_or(|(last, _)| deleted_at >= last) {
                led_to = Some((deleted_at, digest));
            }
        }
        let (_, digest) = led_to.ok_or_else(|| MetadataError::TagUnknown { tag: tag.clone() })?;
        if let Some(now) = lock(self.tx.session, self.repository, tag).await? {
            return Err(MetadataError::TagTaken { tag: tag.clone(), digest: now }.into());
        }
        if !self.is_here(&digest).await? {
            self.manifest(&digest, restored, 0).await?;
        }
        self.set(tag, &digest, restored).await
    }

    async fn set(&self, tag: &Tag, digest: &Digest, restored: &mut Restored) -> Result<(), Fault> {
        let old = lock(self.tx.session, self.repository, tag).await?;
        let change = tags::Change {
            repository: self.id,
            name: self.repository,
            tag,
            old: old.as_ref(),
            cause: self.cause,
        };
        self.tx.ready(&tags::SET).await?;
        tags::set(self.tx, change, digest).await?;
        expiry::begin(self.tx, self.id, digest).await?;
        if let Some(old) = old.filter(|old| old != digest) {
            manifests::dereferenced(self.tx, self.id, &[old], Reason::TagMoved).await?;
        }
        let trashed: Parameters<'_> = &[&self.id, &tag.as_str(), &digest.to_string()];
        self.tx.execute(collecting_sql::PURGE_TAG.postgres, trashed).await?;
        restored.tags.push(tag.clone());
        Ok(())
    }

    /// The tags that were deleted when they led to a manifest, if nobody has set them since.
    async fn free_tags(&self, digest: &Digest, restored: &mut Restored) -> Result<(), Fault> {
        let tags = self.tx.all(sql::TAGS_OF.postgres, &[&self.id, &digest.to_string()]).await?;
        for tag in all_parsed::<Tag>(&tags)? {
            if lock(self.tx.session, self.repository, &tag).await?.is_none() {
                self.set(&tag, digest, restored).await?;
            }
        }
        Ok(())
    }

    /// Restores a manifest that is in the trash, and of what belongs to it whatever is there too: first what it refers to,
    /// then itself, then what refers to it.
    fn manifest<'b>(
        &'b self,
        digest: &'b Digest,
        restored: &'b mut Restored,
        depth: usize,
    ) -> Pin<Box<dyn Future<Output = Result<(), Fault>> + Send + 'b>> {
        Box::pin(async move {
            let text = digest.to_string();
            let row: Parameters<'_> = &[&self.id, &text];
            // Of those that wait for what they list only that list is in memory.
            let document = self.document(digest, &text).await?;
            let children: Vec<Digest> = document.child_manifests().map(|child| child.digest).collect();
            drop(document);
            for child in &children {
                self.restore_if_trashed(child, restored, depth + 1).await?;
            }
            // Otherwise it was pushed again in the meantime.
            if !self.is_here(digest).await? {
                let document = self.document(digest, &text).await?;
                self.bring_back(digest, &text, &document).await?;
                restored.manifests.push(*digest);
            }
            let blobs = manifests::purge(self.tx, self.id, &text).await?;
            enqueue_digests(self.tx, &blobs, Reason::Restored).await?;
            let referrers = self.tx.all(sql::TRASHED_REFERRERS.postgres, row).await?;
            for referrer in all_parsed::<Digest>(&referrers)? {
                self.restore_if_trashed(&referrer, restored, depth + 1).await?;
            }
            Ok(())
        })
    }

    /// What is in the trash, locked.
    async fn document(&self, digest: &Digest, text: &str) -> Result<Manifest, Fault> {
        let trashed = self.tx.one(own::LOCK_TRASHED_MANIFEST, &[&self.id, &text]).await?;
        let trashed = trashed.ok_or(MetadataError::ManifestUnknown { digest: *digest })?;
        let media_type: MediaType = parsed(&trashed, 0)?;
        let bytes = Bytes::copy_from_slice(column(&trashed, 1)?);
        let parsed = Manifest::parse(Some(&media_type), bytes);
        Ok(parsed.map_err(|reason| MetadataError::ManifestRefused { digest: *digest, reason })?)
    }

    async fn restore_if_trashed(
        &self,
        digest: &Digest,
        restored: &mut Restored,
        depth: usize,
    ) -> Result<(), Fault> {
        let is_trashed =
            self.tx.exists(sql::TRASHED_MANIFEST.postgres, &[&self.id, &digest.to_string()]).await?;
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
        let blobs = self.tx.all(sql::TRASHED_BLOBS.postgres, &[&self.id, &text]).await?;
        for blob in all_parsed::<Digest>(&blobs)? {
            blobs::link(self.tx, self.id, &blob).await?;
        }
        let grant_ms = self.tx.options.grant_ms();
        self.tx.execute(sql::RESTORE_MANIFEST.postgres, &[&grant_ms, &self.id, &text]).await?;
        let put = PutManifest {
            repository: self.repository,
            digest: *digest,
            manifest: document,
            tags: &[],
            required: &[],
            required_children: &[],
            cause: &Cause::UNKNOWN,
        };
        Put::new(&put).link_again(self.tx, self.id).await?;
        manifests::grant(self.tx, self.id, digest, Reason::Restored).await.map(drop)
    }
}
