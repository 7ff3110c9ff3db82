//! Manifests: reading, promising. Pushing is in `put`, how they go in `logic::manifests`.

use std::pin::pin;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use registry_digest::Digest;
use registry_types::{Descriptor, Reference, RepositoryName};
use tokio_postgres::Row;

use super::{
    connection::{Connection, Parameters},
    fault::Fault,
    row::{column, parsed, signed, unsigned},
    transaction::{Tx, Work},
};
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
    let (statement, name) = manifests::within(reference);
    let row = connection.one(statement.postgres, &[&signed(bytes_max), &repository.as_str(), &name]).await?;
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
        let id = repositories::id(tx.session, &self.repository).await?.ok_or_else(unknown)?;
        if !manifests::grant(tx, id, &self.digest, Reason::Lease).await? {
            return Err(unknown().into());
        }
        let found = read(tx, &self.repository, &Reference::Digest(self.digest)).await?;
        found.ok_or_else(|| unknown().into())
    }
}

pub(super) async fn referrers(
    connection: &Connection,
    repository: &RepositoryName,
    page: &Referring<'_>,
) -> Result<Vec<Descriptor>, Fault> {
    let (name, subject, limit) = (repository.as_str(), page.subject.to_string(), signed(page.limit));
    let after = page.after.map(Digest::to_string).unwrap_or_default();
    match page.artifact_type {
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
