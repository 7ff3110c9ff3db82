//! Manifests: leases, deleting, the trash. Each database reads, promises and pushes them in its own way.

use registry_database::{Fault, Session, Statement, Text, params, signed};
use registry_digest::Digest;
use registry_events::Kind;
use registry_types::{Cause, Reference, RepositoryName, Tag};

use super::{
    Tx, all_parsed, blobs,
    events::Happened,
    reclaim::{dequeue, enqueue, enqueue_all, in_order},
    repositories, tags,
};
use crate::{
    MetadataError, REFERRING_MAX,
    collecting::{Garbage, Reason},
    sql::{
        collecting as collecting_sql, manifests as sql, postgres, reclaim as reclaim_sql,
        retention as retention_sql,
    },
};

/// The statement that finds a manifest without its bytes if they are many, and the name that it is found by.
pub(crate) fn within(reference: &Reference) -> (Statement, String) {
    match reference {
        Reference::Tag(tag) => (sql::BY_TAG_WITHIN, tag.to_string()),
        Reference::Digest(digest) => (sql::BY_DIGEST_WITHIN, digest.to_string()),
    }
}

/// Which referrers are asked for.
pub(crate) struct Referring<'a> {
    pub(crate) subject: &'a Digest,
    /// None for all types.
    pub(crate) artifact_type: Option<&'a str>,
    /// Strictly after this digest.
    pub(crate) after: Option<&'a Digest>,
    pub(crate) limit: usize,
}

/// PostgreSQL's statements of [`grant`], for [`Session::ready`].
pub(crate) const GRANT: [&str; 2] = [reclaim_sql::ENQUEUE.postgres, sql::GRANT.postgres];

/// Keeps a manifest for a lease, and has the collector look at it after that. Whether it is there.
pub(crate) async fn grant(
    tx: &Tx<'_, impl Session>,
    repository: i64,
    digest: &Digest,
    reason: Reason,
) -> Result<bool, Fault> {
    let (text, grant_ms) = (digest.to_string(), tx.options.grant_ms());
    tx.ready(&GRANT).await?;
    let ((), granted) = pipeline!(
        enqueue(tx, Garbage::Manifest(repository), digest, grant_ms, reason),
        tx.execute(sql::GRANT, params![grant_ms, repository, &text]),
    )?;
    Ok(granted > 0)
}

/// Grants a lease to those of some manifests that lost a tag, an index or their subject just now, in this transaction,
/// and to which nothing else refers.
pub(crate) async fn dereferenced(
    tx: &Tx<'_, impl Session>,
    repository: i64,
    digests: &[Digest],
    reason: Reason,
) -> Result<(), Fault> {
    if digests.is_empty() {
        return Ok(());
    }
    let (texts, grant_ms) = (in_order(digests), tx.options.grant_ms());
    let (key, texts): (_, Vec<&str>) =
        (Garbage::Manifest(repository).key(), texts.iter().map(String::as_str).collect());
    tx.ready(&[postgres::LOCK_QUEUED, postgres::LOCK_MANIFESTS, sql::GRANT_UNREFERENCED.postgres]).await?;
    let (.., granted) = pipeline!(
        tx.lock(postgres::LOCK_QUEUED, params![key.0, repository, &texts[..]]),
        tx.lock(postgres::LOCK_MANIFESTS, params![repository, &texts[..]]),
        tx.all::<String>(sql::GRANT_UNREFERENCED, params![grant_ms, repository, &texts[..]]),
    )?;
    let granted: Vec<&str> = texts.into_iter().filter(|text| granted.iter().any(|one| one == text)).collect();
    enqueue_all(tx, key, &granted, grant_ms, reason).await
}

/// Deletes a manifest and its tags, unless an index lists it.
pub(crate) async fn delete(
    tx: &Tx<'_, impl Session>,
    repository: &RepositoryName,
    digest: &Digest,
    cause: &Cause,
) -> Result<Vec<Tag>, Fault> {
    let unknown = || MetadataError::ManifestUnknown { digest: *digest };
    let id = repositories::lock_to_change(tx, repository).await?.ok_or_else(unknown)?;
    tx.events.name(id, repository);
    let text = digest.to_string();
    tx.ready(&[sql::LOCK.postgres, sql::REFERRING.postgres]).await?;
    let (is_here, by) = pipeline!(
        tx.exists(sql::LOCK, params![id, &text]),
        all_parsed(tx.session, sql::REFERRING, params![id, &text, signed(REFERRING_MAX)]),
    )?;
    if !is_here {
        return Err(unknown().into());
    }
    if !by.is_empty() {
        return Err(MetadataError::ManifestReferenced { digest: *digest, by }.into());
    }
    remove(tx, id, digest, cause).await
}

/// As [`delete`]; answers whether the manifest is gone, and leaves it where an index lists it.
pub(crate) async fn delete_unlisted(
    tx: &Tx<'_, impl Session>,
    repository: &RepositoryName,
    digest: &Digest,
    cause: &Cause,
) -> Result<bool, Fault> {
    let Some(id) = repositories::lock_to_change(tx, repository).await? else { return Ok(true) };
    let text = digest.to_string();
    if !tx.exists(sql::LOCK, params![id, &text]).await? {
        return Ok(true);
    }
    if tx.exists(sql::REFERRING, params![id, &text, 1]).await? {
        return Ok(false);
    }
    remove(tx, id, digest, cause).await?;
    Ok(true)
}

/// Moves a manifest and its tags to the trash, or removes them: one that is here, that no index lists, and that is locked,
/// as is its repository. What it referred to gets a lease: after its row is gone, so that it no longer counts as a
/// reference itself.
pub(crate) async fn remove(
    tx: &Tx<'_, impl Session>,
    id: i64,
    digest: &Digest,
    cause: &Cause,
) -> Result<Vec<Tag>, Fault> {
    trash(tx, id, digest, cause).await?;
    tx.events.note(|| Happened::to_manifest(Kind::ManifestDeleted, id, digest, cause));
    let tags = tags::remove_all(tx, id, digest, cause).await?;
    let References { blobs, children, referrers } = remove_rows(tx, id, &digest.to_string()).await?;
    tx.quota.remove(id, digest);
    for (blob, _) in blobs.iter().filter(|(_, is_here)| *is_here) {
        tx.quota.remove(id, blob);
    }
    repositories::unlist_if_empty(tx, id).await?;
    let blobs: Vec<Digest> = blobs.into_iter().map(|(blob, _)| blob).collect();
    blobs::dereferenced(tx, id, &blobs).await?;
    dereferenced(tx, id, &children, Reason::IndexDeleted).await?;
    dereferenced(tx, id, &referrers, Reason::SubjectDeleted).await?;
    Ok(tags)
}

/// What a manifest referred to, and what refers to it.
struct References {
    /// Each with whether it is here.
    blobs: Vec<(Digest, bool)>,
    children: Vec<Digest>,
    referrers: Vec<Digest>,
}

/// Removes the rows of a manifest: its references, itself, when it was pulled, that its labels are to be read.
async fn remove_rows(tx: &Tx<'_, impl Session>, id: i64, text: &str) -> Result<References, Fault> {
    let of_manifest = params![id, text];
    let statements = [
        sql::DELETE_BLOBS,
        sql::DELETE_CHILDREN,
        sql::DELETE,
        sql::ALL_REFERRERS,
        retention_sql::FORGET_PULLS,
    ];
    tx.ready(&statements.map(|statement| statement.postgres)).await?;
    let (blobs, children, _, referrers) = pipeline!(
        tx.all::<(Text<Digest>, Option<String>)>(sql::DELETE_BLOBS, of_manifest),
        all_parsed(tx.session, sql::DELETE_CHILDREN, of_manifest),
        tx.execute(sql::DELETE, of_manifest),
        all_parsed(tx.session, sql::ALL_REFERRERS, of_manifest),
    )?;
    pipeline!(tx.execute(retention_sql::FORGET_PULLS, of_manifest), dequeue(tx, Garbage::Label(id), text))?;
    let blobs = blobs.into_iter().map(|(blob, target)| (blob.0, target.is_some())).collect();
    Ok(References { blobs, children, referrers })
}

/// Keeps a manifest and the bytes of its blobs for a while after it is deleted. The repository is locked.
async fn trash(
    tx: &Tx<'_, impl Session>,
    repository: i64,
    digest: &Digest,
    cause: &Cause,
) -> Result<(), Fault> {
    let (text, window_ms) = (digest.to_string(), tx.undelete_window_ms());
    if window_ms == 0 {
        return Ok(());
    }
    let of_manifest = params![repository, &text];
    tx.ready(&[sql::LOCK_IS_TRASHED.postgres, sql::TRASH.postgres, sql::TRASH_BLOBS.postgres]).await?;
    // Locked: what a collector purges at this moment is not kept any more, and counted as new.
    let (is_trashed, size, blobs) = pipeline!(
        async { Ok(!tx.quota.is_kept() || tx.exists(sql::LOCK_IS_TRASHED, of_manifest).await?) },
        tx.one::<i64>(sql::TRASH, params![cause.actor(), window_ms, repository, &text]),
        all_parsed::<Digest>(tx.session, sql::TRASH_BLOBS, of_manifest),
    )?;
    if let Some(size) = size.filter(|_| !is_trashed) {
        tx.quota.hold_manifest(repository, digest, size);
    }
    for blob in &blobs {
        tx.quota.hold(repository, blob);
    }
    Ok(())
}

/// Removes a manifest from the trash, and says whose bytes were kept with it.
pub(crate) async fn purge(
    tx: &Tx<'_, impl Session>,
    repository: i64,
    digest: &str,
) -> Result<Vec<Digest>, Fault> {
    let row = params![repository, digest];
    let blobs: Vec<Digest> = all_parsed(tx.session, collecting_sql::PURGE_BLOBS, row).await?;
    if tx.execute(collecting_sql::PURGE_MANIFEST, row).await? > 0 {
        tx.quota.let_go(repository, &super::digest(digest)?);
    }
    for blob in &blobs {
        tx.quota.let_go(repository, blob);
    }
    Ok(blobs)
}
