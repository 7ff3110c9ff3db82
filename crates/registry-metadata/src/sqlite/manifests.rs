//! Manifests: reading, promising, deleting. Pushing is in `put`.

use bytes::Bytes;
use registry_digest::Digest;
use registry_types::{Descriptor, Reference, RepositoryName, Tag};
use rusqlite::{Connection, Row, ToSql, params};

use super::{
    blobs, expiry,
    fault::Fault,
    reclaim::{Garbage, enqueue},
    repositories,
    statement::{all, execute, exists, one, parsed, signed, unreadable, unsigned},
    tags,
    writer::Tx,
};
use crate::{
    FoundManifest, MetadataError, REFERRERS_BYTES_MAX, REFERRING_MAX, StoredManifest,
    sql::{
        collecting as collecting_sql, manifests as sql, repositories as repository_sql,
        retention as retention_sql,
    },
};

/// A manifest, and whether a client may be told of it without a write.
pub(super) struct Promised {
    pub(super) manifest: StoredManifest,
    pub(super) is_safe: bool,
}

pub(super) fn read(
    connection: &Connection,
    repository: &RepositoryName,
    reference: &Reference,
) -> rusqlite::Result<Option<StoredManifest>> {
    match reference {
        Reference::Tag(tag) => {
            one(connection, sql::BY_TAG.sqlite, params![repository.as_str(), tag.as_str()], manifest)
        }
        Reference::Digest(digest) => {
            one(connection, sql::BY_DIGEST.sqlite, params![repository.as_str(), digest.to_string()], manifest)
        }
    }
}

/// As [`read`], without the bytes if there are more than `bytes_max`.
pub(super) fn read_within(
    connection: &Connection,
    repository: &RepositoryName,
    reference: &Reference,
    bytes_max: usize,
) -> rusqlite::Result<Option<FoundManifest>> {
    let (statement, name) = match reference {
        Reference::Tag(tag) => (sql::BY_TAG_WITHIN.sqlite, tag.to_string()),
        Reference::Digest(digest) => (sql::BY_DIGEST_WITHIN.sqlite, digest.to_string()),
    };
    one(connection, statement, params![signed(bytes_max), repository.as_str(), name], |row| {
        Ok(FoundManifest {
            digest: parsed(row, 0)?,
            media_type: parsed(row, 1)?,
            size_bytes: unsigned(row, 2)?,
            bytes: row.get_ref(3)?.as_blob_or_null()?.map(Bytes::copy_from_slice),
        })
    })
}

pub(super) fn promise(
    connection: &Connection,
    repository: &RepositoryName,
    digest: &Digest,
    lease_ms: i64,
) -> rusqlite::Result<Option<Promised>> {
    let wanted = params![lease_ms, repository.as_str(), digest.to_string()];
    one(connection, sql::PROMISE_BY_DIGEST.sqlite, wanted, |row| {
        Ok(Promised { manifest: manifest(row)?, is_safe: row.get(3)? })
    })
}

/// Grants a new lease to a manifest that is about to be promised. None if it went in the meantime.
pub(super) fn renew(
    tx: &Tx<'_>,
    repository: &RepositoryName,
    digest: &Digest,
) -> Result<Option<StoredManifest>, Fault> {
    let Some(id) = repositories::id(tx.connection(), repository)? else { return Ok(None) };
    grant(tx, id, digest, "lease")?;
    Ok(read(tx.connection(), repository, &Reference::Digest(*digest))?)
}

/// Keeps a manifest for a lease, and has the collector look at it after that.
pub(super) fn grant(tx: &Tx<'_>, repository: i64, digest: &Digest, reason: &str) -> rusqlite::Result<()> {
    let granted = params![tx.options.grant_ms(), repository, digest.to_string()];
    if execute(tx.connection(), sql::GRANT.sqlite, granted)? > 0 {
        enqueue(tx, Garbage::Manifest(repository), digest, tx.options.grant_ms(), reason)?;
    }
    Ok(())
}

/// Grants a lease to a manifest that lost a tag, an index or its subject, if nothing else refers to it.
pub(super) fn dereferenced(
    tx: &Tx<'_>,
    repository: i64,
    digest: &Digest,
    reason: &str,
) -> rusqlite::Result<()> {
    let granted = params![tx.options.grant_ms(), repository, digest.to_string()];
    if execute(tx.connection(), sql::GRANT_UNREFERENCED.sqlite, granted)? > 0 {
        enqueue(tx, Garbage::Manifest(repository), digest, tx.options.grant_ms(), reason)?;
    }
    Ok(())
}

pub(super) fn referrers(
    connection: &Connection,
    repository: &RepositoryName,
    subject: &Digest,
    artifact_type: Option<&str>,
    after: Option<&Digest>,
    limit: usize,
) -> rusqlite::Result<Vec<Descriptor>> {
    let (name, subject, limit) = (repository.as_str(), subject.to_string(), signed(limit));
    let after = after.map(Digest::to_string).unwrap_or_default();
    match artifact_type {
        None => descriptors(connection, sql::REFERRERS.sqlite, params![name, subject, after, limit]),
        Some(artifact_type) => {
            let page = params![name, subject, artifact_type, after, limit];
            descriptors(connection, sql::REFERRERS_OF_TYPE.sqlite, page)
        }
    }
}

/// Reads descriptors until their annotations are too much to be held at once.
fn descriptors(connection: &Connection, sql: &str, page: &[&dyn ToSql]) -> rusqlite::Result<Vec<Descriptor>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(page)?;
    let (mut descriptors, mut annotations_bytes) = (Vec::new(), 0);
    while annotations_bytes < REFERRERS_BYTES_MAX
        && let Some(row) = rows.next()?
    {
        annotations_bytes += row.get_ref(4)?.as_str_or_null()?.map_or(0, str::len);
        descriptors.push(descriptor(row)?);
    }
    Ok(descriptors)
}

/// Moves a manifest and its tags to the trash, or removes them. What it referred to gets a lease: after its row is gone,
/// so that it no longer counts as a reference itself.
pub(super) fn delete(
    tx: &Tx<'_>,
    repository: &RepositoryName,
    digest: &Digest,
    actor: Option<&str>,
) -> Result<Vec<Tag>, Fault> {
    let unknown = || MetadataError::ManifestUnknown { digest: *digest };
    let id = repositories::id(tx.connection(), repository)?.ok_or_else(unknown)?;
    if !exists(tx.connection(), sql::EXISTS.sqlite, params![id, digest.to_string()])? {
        return Err(unknown().into());
    }
    refuse_if_listed(tx, id, digest)?;
    remove(tx, id, digest, actor)
}

/// As [`delete`], of a manifest that is here and that no index lists.
pub(super) fn remove(tx: &Tx<'_>, id: i64, digest: &Digest, actor: Option<&str>) -> Result<Vec<Tag>, Fault> {
    let row = params![id, digest.to_string()];
    trash(tx, id, digest, actor)?;
    let tags = tags::remove_all(tx, id, digest, actor)?;
    let blobs: Vec<(Digest, bool)> = all(tx.connection(), sql::DELETE_BLOBS.sqlite, row, |row| {
        Ok((parsed(row, 0)?, row.get_ref(1)?.as_str_or_null()?.is_some()))
    })?;
    let mut children: Vec<Digest> =
        all(tx.connection(), sql::DELETE_CHILDREN.sqlite, row, |row| parsed(row, 0))?;
    execute(tx.connection(), sql::DELETE.sqlite, row)?;
    execute(tx.connection(), retention_sql::FORGET_PULLS.sqlite, row)?;
    expiry::forget(tx, id, digest)?;
    execute(tx.connection(), repository_sql::UNLIST.sqlite, params![tx.options.lease_ms(), id])?;

    tx.quota.remove(id, digest);
    for (blob, _) in blobs.iter().filter(|(_, is_here)| *is_here) {
        tx.quota.remove(id, blob);
    }
    let mut blobs: Vec<Digest> = blobs.into_iter().map(|(blob, _)| blob).collect();
    blobs.sort_unstable();
    for blob in &blobs {
        blobs::dereferenced(tx, id, blob)?;
    }
    children.sort_unstable();
    for child in &children {
        dereferenced(tx, id, child, "index deleted")?;
    }
    let referrers: Vec<Digest> = all(tx.connection(), sql::ALL_REFERRERS.sqlite, row, |row| parsed(row, 0))?;
    for referrer in &referrers {
        dereferenced(tx, id, referrer, "subject deleted")?;
    }
    Ok(tags)
}

fn refuse_if_listed(tx: &Tx<'_>, repository: i64, digest: &Digest) -> Result<(), Fault> {
    let referring = params![repository, digest.to_string(), signed(REFERRING_MAX)];
    let by: Vec<Digest> = all(tx.connection(), sql::REFERRING.sqlite, referring, |row| parsed(row, 0))?;
    if by.is_empty() {
        return Ok(());
    }
    Err(MetadataError::ManifestReferenced { digest: *digest, by }.into())
}

/// Keeps a manifest and the bytes of its blobs for a while after it is deleted.
fn trash(tx: &Tx<'_>, repository: i64, digest: &Digest, actor: Option<&str>) -> rusqlite::Result<()> {
    let window_ms = tx.options.undelete_window_ms();
    if window_ms > 0 {
        let text = digest.to_string();
        let is_counted = tx.quota.is_kept()
            && !exists(tx.connection(), sql::IS_TRASHED.sqlite, params![repository, text])?;
        let row = params![actor, window_ms, repository, text];
        let size: Option<i64> = one(tx.connection(), sql::TRASH.sqlite, row, |row| row.get(0))?;
        if let Some(size) = size.filter(|_| is_counted) {
            tx.quota.hold_manifest(repository, digest, size);
        }
        let blobs: Vec<Digest> =
            all(tx.connection(), sql::TRASH_BLOBS.sqlite, params![repository, text], |row| parsed(row, 0))?;
        for blob in &blobs {
            tx.quota.hold(repository, blob);
        }
    }
    Ok(())
}

/// Removes a manifest from the trash, and says whose bytes were kept with it.
pub(super) fn purge(tx: &Tx<'_>, repository: i64, digest: &Digest) -> rusqlite::Result<Vec<Digest>> {
    let row = params![repository, digest.to_string()];
    let blobs: Vec<Digest> =
        all(tx.connection(), collecting_sql::PURGE_BLOBS.sqlite, row, |row| parsed(row, 0))?;
    if execute(tx.connection(), collecting_sql::PURGE_MANIFEST.sqlite, row)? > 0 {
        tx.quota.let_go(repository, digest);
    }
    for blob in &blobs {
        tx.quota.let_go(repository, blob);
    }
    Ok(blobs)
}

fn manifest(row: &Row<'_>) -> rusqlite::Result<StoredManifest> {
    let bytes = row.get_ref(2)?.as_blob()?;
    Ok(StoredManifest {
        digest: parsed(row, 0)?,
        media_type: parsed(row, 1)?,
        bytes: Bytes::copy_from_slice(bytes),
    })
}

fn descriptor(row: &Row<'_>) -> rusqlite::Result<Descriptor> {
    let mut descriptor = Descriptor::new(parsed(row, 1)?, parsed(row, 0)?, unsigned(row, 2)?);
    descriptor.artifact_type = row.get(3)?;
    if let Some(annotations) = row.get_ref(4)?.as_str_or_null()? {
        descriptor.annotations = serde_json::from_str(annotations).map_err(|error| unreadable(4, error))?;
    }
    Ok(descriptor)
}
