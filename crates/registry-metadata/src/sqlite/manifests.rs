//! Manifests: reading, promising. Pushing is in `put`, how they go in `logic::manifests`.

use bytes::Bytes;
use registry_database::sqlite::{
    Session, at_once,
    statement::{one, parsed, signed, unreadable, unsigned},
};
use registry_digest::Digest;
use registry_types::{Descriptor, Reference, RepositoryName};
use rusqlite::{Connection, Row, ToSql, params};

use super::{fault::Fault, writer::Tx};
use crate::{
    FoundManifest, MetadataError, REFERRERS_BYTES_MAX, StoredManifest,
    collecting::Reason,
    logic::{
        manifests::{self, Referring},
        repositories,
    },
    sql::manifests as sql,
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
pub(super) async fn read_within(
    session: &Session<'_>,
    repository: &RepositoryName,
    reference: &Reference,
    bytes_max: usize,
) -> Result<Option<FoundManifest>, Fault> {
    let (statement, name) = manifests::within(reference);
    let wanted = params![signed(bytes_max), repository.as_str(), name];
    let found = one(session.connection(), statement.sqlite, wanted, |row| {
        Ok(FoundManifest {
            digest: parsed(row, 0)?,
            media_type: parsed(row, 1)?,
            size_bytes: unsigned(row, 2)?,
            bytes: row.get_ref(3)?.as_blob_or_null()?.map(Bytes::copy_from_slice),
        })
    });
    Ok(found?)
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

/// Grants a new lease to a manifest that is about to be promised. [`MetadataError::ManifestUnknown`] if it went in the
/// meantime: then nothing of this is kept.
pub(super) fn renew(
    tx: &Tx<'_>,
    repository: &RepositoryName,
    digest: &Digest,
) -> Result<StoredManifest, Fault> {
    let unknown = || MetadataError::ManifestUnknown { digest: *digest };
    let id = at_once(repositories::id(tx.session, repository))?.ok_or_else(unknown)?;
    if !at_once(manifests::grant(tx, id, digest, Reason::Lease))? {
        return Err(unknown().into());
    }
    let found = read(tx.connection(), repository, &Reference::Digest(*digest))?;
    found.ok_or_else(|| unknown().into())
}

pub(super) async fn referrers(
    session: &Session<'_>,
    repository: &RepositoryName,
    page: &Referring<'_>,
) -> Result<Vec<Descriptor>, Fault> {
    let (connection, name) = (session.connection(), repository.as_str());
    let (subject, limit) = (page.subject.to_string(), signed(page.limit));
    let after = page.after.map(Digest::to_string).unwrap_or_default();
    let descriptors = match page.artifact_type {
        None => descriptors(connection, sql::REFERRERS.sqlite, params![name, subject, after, limit]),
        Some(artifact_type) => {
            let page = params![name, subject, artifact_type, after, limit];
            descriptors(connection, sql::REFERRERS_OF_TYPE.sqlite, page)
        }
    };
    Ok(descriptors?)
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
