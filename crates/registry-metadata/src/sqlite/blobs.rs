//! Blobs: reading, promising, linking. How they go is in `logic::blobs`.

use registry_database::sqlite::{
    at_once,
    statement::{execute, exists, one, parsed, unsigned},
};
use registry_digest::Digest;
use registry_types::RepositoryName;
use rusqlite::{Connection, Row, params};

use super::{fault::Fault, writer::Tx};
use crate::{
    Blob,
    collecting::{Garbage, Reason},
    logic::{reclaim::enqueue, repositories},
    sql::blobs as sql,
};

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
    let Some(id) = at_once(repositories::id(tx.session, repository))? else { return Ok(None) };
    let granted = params![tx.options.grant_ms(), id, digest.to_string()];
    if execute(tx.connection(), sql::GRANT.sqlite, granted)? == 0 {
        return Ok(None);
    }
    at_once(enqueue(tx, Garbage::Blob(id), digest, tx.options.grant_ms(), Reason::Lease))?;
    Ok(read(tx.connection(), repository, digest)?)
}

/// Puts a blob whose digest is known into a repository, with a lease, and gives it to the manifests that wait for it.
pub(super) fn link(tx: &Tx<'_>, repository: i64, digest: &Digest) -> Result<(), Fault> {
    let text = digest.to_string();
    if tx.quota.is_kept() && !exists(tx.connection(), sql::IS_LINKED.sqlite, params![repository, text])? {
        tx.quota.hold(repository, digest);
    }
    execute(tx.connection(), sql::LINK.sqlite, params![repository, text, tx.options.grant_ms()])?;
    let waiting = execute(tx.connection(), sql::LINK_WAITING.sqlite, params![repository, text])?;
    tx.quota.add_blob(repository, digest, waiting);
    at_once(enqueue(tx, Garbage::Blob(repository), digest, tx.options.grant_ms(), Reason::Lease))
}

fn blob(row: &Row<'_>) -> rusqlite::Result<Blob> {
    Ok(Blob { location: parsed(row, 0)?, size_bytes: unsigned(row, 1)? })
}
