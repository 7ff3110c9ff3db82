//! What was deleted and comes back.

use bytes::Bytes;
use registry_database::sqlite::at_once;
use registry_digest::Digest;
use registry_types::{Cause, Manifest, MediaType, Reference, RepositoryName, Tag};
use rusqlite::params;

use super::{
    blobs,
    fault::Fault,
    statement::{all, execute, exists, one, parsed},
    tags,
    writer::Tx,
};
use crate::{
    MetadataError, PutManifest, Restored,
    collecting::Reason,
    error::is_refused_manifest,
    logic::{manifests, reclaim::enqueue_digests, repositories},
    push::Put,
    sql::{collecting as collecting_sql, manifests as manifest_sql, restore as sql, tags as tag_sql},
};

/// How many manifests are restored at once: an index has no more children.
const RESTORED_MAX: usize = registry_types::MANIFEST_DESCRIPTORS_MAX;

/// How far what is restored may lie from what was asked for: indexes of indexes, referrers of referrers.
const DEPTH_MAX: usize = 16;

pub(super) async fn restore(
    tx: &Tx<'_>,
    repository: &RepositoryName,
    reference: &Reference,
    cause: &Cause,
) -> Result<Restored, Fault> {
    match reference {
        Reference::Tag(tag) => restore_tag(tx, repository, tag, cause),
        Reference::Digest(digest) => {
            let id = at_once(repositories::id(tx.session, repository))?;
            let id = id.ok_or(MetadataError::ManifestUnknown { digest: *digest })?;
            let mut restored = Restored::default();
            manifest(tx, id, repository, digest, &mut restored, 0)?;
            free_tags(tx, id, digest, cause, &mut restored)?;
            Ok(restored)
        }
    }
}

/// Sets a tag to what it led to when it was deleted last.
fn restore_tag(
    tx: &Tx<'_>,
    repository: &RepositoryName,
    tag: &Tag,
    cause: &Cause,
) -> Result<Restored, Fault> {
    let unknown = || MetadataError::TagUnknown { tag: tag.clone() };
    let id = at_once(repositories::id(tx.session, repository))?.ok_or_else(unknown)?;
    let led_to: Vec<(Digest, i64)> =
        all(tx.connection(), sql::TAG_LED_TO.sqlite, params![id, tag.as_str()], |row| {
            Ok((parsed(row, 0)?, row.get(1)?))
        })?;
    let last = led_to.iter().max_by_key(|(_, deleted_at)| *deleted_at);
    let (digest, _) = last.copied().ok_or_else(unknown)?;
    let now: Option<Digest> =
        one(tx.connection(), tag_sql::DIGEST.sqlite, params![id, tag.as_str()], |row| parsed(row, 0))?;
    if let Some(now) = now {
        return Err(MetadataError::TagTaken { tag: tag.clone(), digest: now }.into());
    }
    let mut restored = Restored::default();
    if !exists(tx.connection(), manifest_sql::EXISTS.sqlite, params![id, digest.to_string()])? {
        manifest(tx, id, repository, &digest, &mut restored, 0)?;
    }
    set(tx, id, tag, &digest, cause, &mut restored)?;
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
    let id = at_once(repositories::id(tx.session, repository))?;
    let id = id.ok_or(MetadataError::ManifestUnknown { digest: *digest })?;
    let mut restored = Restored::default();
    if !exists(tx.connection(), manifest_sql::EXISTS.sqlite, params![id, digest.to_string()])? {
        manifest(tx, id, repository, digest, &mut restored, 0)?;
    }
    set(tx, id, tag, digest, cause, &mut restored)?;
    Ok(restored)
}

fn set(
    tx: &Tx<'_>,
    repository: i64,
    tag: &Tag,
    digest: &Digest,
    cause: &Cause,
    restored: &mut Restored,
) -> Result<(), Fault> {
    tags::set(tx, repository, tag, digest, cause)?;
    let row = params![repository, tag.as_str(), digest.to_string()];
    execute(tx.connection(), collecting_sql::PURGE_TAG.sqlite, row)?;
    restored.tags.push(tag.clone());
    Ok(())
}

/// The tags that were deleted when they led to a manifest, if nobody has set them since.
fn free_tags(
    tx: &Tx<'_>,
    repository: i64,
    digest: &Digest,
    cause: &Cause,
    restored: &mut Restored,
) -> Result<(), Fault> {
    let of_manifest = params![repository, digest.to_string()];
    let tags: Vec<Tag> = all(tx.connection(), sql::TAGS_OF.sqlite, of_manifest, |row| parsed(row, 0))?;
    for tag in tags {
        if !exists(tx.connection(), tag_sql::DIGEST.sqlite, params![repository, tag.as_str()])? {
            set(tx, repository, &tag, digest, cause, restored)?;
        }
    }
    Ok(())
}

/// Restores a manifest that is in the trash, and of what belongs to it whatever is there too: first what it refers to, then
/// itself, then what refers to it.
fn manifest(
    tx: &Tx<'_>,
    id: i64,
    repository: &RepositoryName,
    digest: &Digest,
    restored: &mut Restored,
    depth: usize,
) -> Result<(), Fault> {
    let row = params![id, digest.to_string()];
    // Of those that wait for what they list only that list is in memory.
    let children: Vec<Digest> =
        document(tx, id, digest)?.child_manifests().map(|child| child.digest).collect();
    for child in &children {
        restore_if_trashed(tx, id, repository, child, restored, depth + 1)?;
    }
    // It may have been pushed again in the meantime.
    if !exists(tx.connection(), manifest_sql::EXISTS.sqlite, row)? {
        bring_back(tx, id, repository, digest, &document(tx, id, digest)?)?;
        restored.manifests.push(*digest);
    }
    let blobs = at_once(manifests::purge(tx, id, &digest.to_string()))?;
    at_once(enqueue_digests(tx, &blobs, Reason::Restored))?;
    let referrers: Vec<Digest> =
        all(tx.connection(), sql::TRASHED_REFERRERS.sqlite, row, |row| parsed(row, 0))?;
    for referrer in &referrers {
        restore_if_trashed(tx, id, repository, referrer, restored, depth + 1)?;
    }
    Ok(())
}

fn document(tx: &Tx<'_>, id: i64, digest: &Digest) -> Result<Manifest, Fault> {
    let row = params![id, digest.to_string()];
    let trashed = one(tx.connection(), sql::TRASHED_MANIFEST.sqlite, row, |row| {
        Ok((parsed::<MediaType>(row, 0)?, Bytes::copy_from_slice(row.get_ref(1)?.as_blob()?)))
    })?;
    let (media_type, bytes) = trashed.ok_or(MetadataError::ManifestUnknown { digest: *digest })?;
    let parsed = Manifest::parse(Some(&media_type), bytes);
    Ok(parsed.map_err(|reason| MetadataError::ManifestRefused { digest: *digest, reason })?)
}

fn restore_if_trashed(
    tx: &Tx<'_>,
    id: i64,
    repository: &RepositoryName,
    digest: &Digest,
    restored: &mut Restored,
    depth: usize,
) -> Result<(), Fault> {
    let row = params![id, digest.to_string()];
    let is_trashed = exists(tx.connection(), sql::TRASHED_MANIFEST.sqlite, row)?;
    let is_here = exists(tx.connection(), manifest_sql::EXISTS.sqlite, row)?;
    if !is_trashed || is_here || depth >= DEPTH_MAX || restored.manifests.len() >= RESTORED_MAX {
        return Ok(());
    }
    match manifest(tx, id, repository, digest, restored, depth) {
        // It was looked at before anything was written, so nothing of it is here.
        Err(Fault::Refused(error)) if is_refused_manifest(&*error) => {
            tracing::warn!(%error, "left a manifest of {repository} in the trash: {error}");
            Ok(())
        }
        restored => restored,
    }
}

fn bring_back(
    tx: &Tx<'_>,
    id: i64,
    repository: &RepositoryName,
    digest: &Digest,
    document: &Manifest,
) -> Result<(), Fault> {
    let row = params![id, digest.to_string()];
    let blobs: Vec<Digest> = all(tx.connection(), sql::TRASHED_BLOBS.sqlite, row, |row| parsed(row, 0))?;
    for blob in &blobs {
        blobs::link(tx, id, blob)?;
    }
    execute(
        tx.connection(),
        sql::RESTORE_MANIFEST.sqlite,
        params![tx.options.grant_ms(), id, digest.to_string()],
    )?;
    let put = PutManifest {
        repository,
        digest: *digest,
        manifest: document,
        tags: &[],
        required: &[],
        required_children: &[],
        cause: &Cause::UNKNOWN,
    };
    Put::new(&put).link(tx, id)?;
    at_once(manifests::grant(tx, id, digest, Reason::Restored)).map(drop)
}
