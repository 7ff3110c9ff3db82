//! Blobs: how they go. Each database reads, promises and links them in its own way.

use registry_database::{Fault, FromRow, Row, Session, params, signed};
use registry_digest::Digest;
use registry_types::{Location, RepositoryName};

use super::{
    Tx, all_parsed, quota,
    reclaim::{enqueue, enqueue_all, in_order},
    repositories,
    tuned::Tuned,
};
use crate::{
    Blob, MetadataError, REFERRING_MAX,
    collecting::{Garbage, Reason},
    sql::{blobs as sql, postgres},
};

impl FromRow for Blob {
    fn from_row(row: &Row<'_>) -> Result<Self, Fault> {
        Ok(Blob { location: row.parsed(0)?, size_bytes: row.get(1)? })
    }
}

pub(crate) async fn object(session: &impl Session, digest: &Digest) -> Result<Option<Blob>, Fault> {
    session.one(sql::OBJECT, params![&digest.to_string()]).await
}

/// Hides an object, if there is one.
pub(crate) async fn mark_bad(session: &impl Session, location: &Location) -> Result<(), Fault> {
    session.execute(sql::MARK_BAD, params![location.as_str()]).await.map(drop)
}

/// Grants a lease to those of some blobs that lost a reference just now, in this transaction, and have none left.
pub(crate) async fn dereferenced(
    tx: &Tx<'_, impl Session>,
    repository: i64,
    digests: &[Digest],
) -> Result<(), Fault> {
    if digests.is_empty() {
        return Ok(());
    }
    let (texts, grant_ms, key) = (in_order(digests), tx.options.grant_ms(), Garbage::Blob(repository).key());
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    tx.ready(&[postgres::LOCK_QUEUED, postgres::LOCK_BLOBS, sql::GRANT_UNREFERENCED.postgres]).await?;
    // Each statement begins when the one before has its locks, and sees what was committed until then.
    let (.., granted) = pipeline!(
        tx.lock(postgres::LOCK_QUEUED, params![key.0, repository, &texts[..]]),
        tx.lock(postgres::LOCK_BLOBS, params![repository, &texts[..]]),
        tx.all::<String>(sql::GRANT_UNREFERENCED, params![grant_ms, repository, &texts[..]]),
    )?;
    let granted: Vec<&str> = texts.into_iter().filter(|text| granted.iter().any(|one| one == text)).collect();
    enqueue_all(tx, key, &granted, grant_ms, Reason::Dereferenced).await
}

/// Puts a blob of one repository into another one; whether it is there.
pub(crate) async fn mount(
    tx: &Tx<'_, impl Tuned>,
    from: &RepositoryName,
    to: &RepositoryName,
    digest: &Digest,
) -> Result<bool, Fault> {
    let there: Option<Blob> = tx.one(sql::READ, params![from.as_str(), &digest.to_string()]).await?;
    if there.is_none() {
        return Ok(false);
    }
    tx.quota.refuse_excess();
    let to = repositories::create(tx, to).await?;
    Tuned::link_blob(tx, to, digest).await?;
    Ok(true)
}

/// Removes a blob from a repository.
pub(crate) async fn delete(
    tx: &Tx<'_, impl Session>,
    repository: &RepositoryName,
    digest: &Digest,
) -> Result<(), Fault> {
    let unknown = || MetadataError::BlobUnknown { digest: *digest };
    let id = repositories::to_change(tx, repository).await?.ok_or_else(unknown)?;
    let text = digest.to_string();
    tx.ready(&[sql::LOCK.postgres, sql::REFERRING.postgres]).await?;
    let (is_linked, by) = pipeline!(
        tx.exists(sql::LOCK, params![id, &text]),
        all_parsed(tx.session, sql::REFERRING, params![id, &text, signed(REFERRING_MAX)]),
    )?;
    if !is_linked {
        return Err(unknown().into());
    }
    if !by.is_empty() {
        return Err(MetadataError::BlobReferenced { digest: *digest, by }.into());
    }
    quota::stay(tx, &[id]).await?;
    tx.execute(sql::UNLINK, params![id, &text]).await?;
    tx.quota.let_go(id, digest);
    enqueue(tx, Garbage::Digest, digest, 0, Reason::Deleted).await
}
