//! Blobs: reading, promising, mounting, deleting, and the leases that keep what nobody refers to yet.

use registry_digest::Digest;
use registry_types::{Location, RepositoryName};
use rusqlite::{Connection, Row, params};

use super::{
    fault::Fault,
    reclaim::{Garbage, enqueue},
    repositories,
    statement::{all, execute, exists, one, parsed, readable, signed, unsigned},
    writer::Tx,
};
use crate::{Blob, MetadataError, REFERRING_MAX, sql::blobs as sql};

/// A blob, and whether a client may be told of it without a write.
pub(super) struct Promised {
    pub(super) blob: Blob,
    pub(super) is_safe: bool,
}

pub(super) fn read(
    connection: &Connection,
    repository: &RepositoryName,
    digest: &Digest,
) -> rusqlite::Result<Option<Blob>> {
    one(connection, sql::READ.sqlite, params![repository.as_str(), digest.to_string()], blob)
}

pub(super) fn promise(
    connection: &Connection,
    repository: &RepositoryName,
    digest: &Digest,
    lease_ms: i64,
) -> rusqlite::Result<Option<Promised>> {
    one(connection, sql::PROMISE.sqlite, params![lease_ms, repository.as_str(), digest.to_string()], |row| {
        Ok(Promised { blob: blob(row)?, is_safe: row.get(2)? })
    })
}

/// Grants a new lease to a blob that is about to be promised. None if it went in the meantime.
pub(super) fn renew(
    tx: &Tx<'_>,
    repository: &RepositoryName,
    digest: &Digest,
) -> Result<Option<Blob>, Fault> {
    let Some(id) = repositories::id(tx.connection(), repository)? else { return Ok(None) };
    let granted = params![tx.options.grant_ms(), id, digest.to_string()];
    if execute(tx.connection(), sql::GRANT.sqlite, granted)? == 0 {
        return Ok(None);
    }
    enqueue(tx, Garbage::Blob(id), digest, tx.options.grant_ms(), "lease")?;
    Ok(read(tx.connection(), repository, digest)?)
}

/// Grants a lease to a blob that lost a reference, if that was its last one.
pub(super) fn dereferenced(tx: &Tx<'_>, repository: i64, digest: &Digest) -> rusqlite::Result<()> {
    let granted = params![tx.options.grant_ms(), repository, digest.to_string()];
    if execute(tx.connection(), sql::GRANT_UNREFERENCED.sqlite, granted)? > 0 {
        enqueue(tx, Garbage::Blob(repository), digest, tx.options.grant_ms(), "dereferenced")?;
    }
    Ok(())
}

/// Puts a blob whose digest is known into a repository, with a lease, and gives it to the manifests that wait for it.
pub(super) fn link(tx: &Tx<'_>, repository: i64, digest: &Digest) -> rusqlite::Result<()> {
    let text = digest.to_string();
    if tx.quota.is_kept() && !exists(tx.connection(), sql::IS_LINKED.sqlite, params![repository, text])? {
        tx.quota.hold(repository, digest);
    }
    execute(tx.connection(), sql::LINK.sqlite, params![repository, text, tx.options.grant_ms()])?;
    let waiting = execute(tx.connection(), sql::LINK_WAITING.sqlite, params![repository, text])?;
    tx.quota.add_blob(repository, digest, waiting);
    enqueue(tx, Garbage::Blob(repository), digest, tx.options.grant_ms(), "lease")
}

pub(super) fn object(connection: &Connection, digest: &Digest) -> rusqlite::Result<Option<Blob>> {
    one(connection, sql::OBJECT.sqlite, [digest.to_string()], blob)
}

pub(super) fn mark_bad(tx: &Tx<'_>, location: &Location) -> rusqlite::Result<()> {
    execute(tx.connection(), sql::MARK_BAD.sqlite, [location.as_str()]).map(drop)
}

pub(super) fn repositories_with(
    connection: &Connection,
    digest: &Digest,
    limit: usize,
) -> rusqlite::Result<Vec<RepositoryName>> {
    readable(connection, sql::REPOSITORIES.sqlite, params![digest.to_string(), signed(limit)], limit, |row| {
        parsed(row, 0)
    })
}

pub(super) fn mount(
    tx: &Tx<'_>,
    from: &RepositoryName,
    to: &RepositoryName,
    digest: &Digest,
) -> Result<bool, Fault> {
    if read(tx.connection(), from, digest)?.is_none() {
        return Ok(false);
    }
    tx.quota.refuse_excess();
    let to = repositories::create(tx, to)?;
    link(tx, to, digest)?;
    Ok(true)
}

pub(super) fn delete(tx: &Tx<'_>, repository: &RepositoryName, digest: &Digest) -> Result<(), Fault> {
    let unknown = || MetadataError::BlobUnknown { digest: *digest };
    let id = repositories::id(tx.connection(), repository)?.ok_or_else(unknown)?;
    let text = digest.to_string();
    if !exists(tx.connection(), sql::IS_LINKED.sqlite, params![id, text])? {
        return Err(unknown().into());
    }
    let referring = params![id, text, signed(REFERRING_MAX)];
    let by: Vec<Digest> = all(tx.connection(), sql::REFERRING.sqlite, referring, |row| parsed(row, 0))?;
    if !by.is_empty() {
        return Err(MetadataError::BlobReferenced { digest: *digest, by }.into());
    }
    execute(tx.connection(), sql::UNLINK.sqlite, params![id, text])?;
    tx.quota.let_go(id, digest);
    Ok(enqueue(tx, Garbage::Digest, digest, 0, "deleted")?)
}

fn blob(row: &Row<'_>) -> rusqlite::Result<Blob> {
    Ok(Blob { location: parsed(row, 0)?, size_bytes: unsigned(row, 1)? })
}
