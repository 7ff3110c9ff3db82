//! Blobs: reading, promising, linking. How they go is in `logic::blobs`.

use async_trait::async_trait;
use registry_digest::Digest;
use registry_types::RepositoryName;
use tokio_postgres::Row;

use super::{
    connection::{Connection, Parameters},
    fault::Fault,
    row::{column, parsed, unsigned},
    sql as own,
    transaction::{Tx, Work},
};
use crate::{
    Blob, MetadataError,
    collecting::{Garbage, Reason},
    logic::{pipeline, reclaim::enqueue, repositories},
    sql::{blobs as sql, reclaim as reclaim_sql},
};

/// A blob, and whether a client may be told of it without a write.
pub(super) struct Promised {
    pub(super) blob: Blob,
    pub(super) is_safe: bool,
}

pub(super) async fn read(
    connection: &Connection,
    repository: &RepositoryName,
    digest: &Digest,
) -> Result<Option<Blob>, Fault> {
    let row = connection.one(sql::READ.postgres, &[&repository.as_str(), &digest.to_string()]).await?;
    row.map(|row| blob(&row)).transpose()
}

pub(super) async fn promise(
    connection: &Connection,
    repository: &RepositoryName,
    digest: &Digest,
    lease_ms: i64,
) -> Result<Option<Promised>, Fault> {
    let row = connection
        .one(sql::PROMISE.postgres, &[&lease_ms, &repository.as_str(), &digest.to_string()])
        .await?;
    row.map(|row| Ok(Promised { blob: blob(&row)?, is_safe: column::<i32>(&row, 2)? == 1 })).transpose()
}

/// Grants a new lease to a blob that is about to be promised. [`MetadataError::BlobUnknown`] if it went in the meantime.
pub(super) struct Renew {
    pub(super) repository: RepositoryName,
    pub(super) digest: Digest,
}

#[async_trait]
impl Work for Renew {
    type Output = Blob;

    async fn run(&self, tx: &Tx<'_>) -> Result<Blob, Fault> {
        let unknown = || MetadataError::BlobUnknown { digest: self.digest };
        let id = repositories::id(tx.session, &self.repository).await?.ok_or_else(unknown)?;
        let (text, grant_ms) = (self.digest.to_string(), tx.options.grant_ms());
        tx.ready(&[reclaim_sql::ENQUEUE.postgres, sql::GRANT.postgres, sql::READ.postgres]).await?;
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 3] = [&grant_ms, &id, &text];
        let ((), granted, blob) = pipeline!(
            enqueue(tx, Garbage::Blob(id), &self.digest, grant_ms, Reason::Lease),
            async { tx.execute(sql::GRANT.postgres, &parameters).await },
            read(tx, &self.repository, &self.digest),
        )?;
        // Hits no row if the blob went; nothing may be promised then.
        blob.filter(|_| granted > 0).ok_or_else(|| unknown().into())
    }
}

/// The statements of [`link`], for [`Connection::ready`].
pub(super) const LINK: [&str; 3] =
    [reclaim_sql::ENQUEUE.postgres, sql::LINK.postgres, sql::LINK_WAITING.postgres];

/// Puts a blob whose digest is known into a repository, with a lease, and gives it to the manifests that wait for it.
/// First the queue: there it meets whoever is about to wait for it.
pub(super) async fn link(tx: &Tx<'_>, repository: i64, digest: &Digest) -> Result<(), Fault> {
    let (text, grant_ms) = (digest.to_string(), tx.options.grant_ms());
    tx.ready(&LINK).await?;
    let is_counted = tx.quota.is_kept();
    if is_counted {
        tx.ready(&[own::LINK_COUNTED]).await?;
    }
    let (_, is_new, waiting) = pipeline!(
        enqueue(tx, Garbage::Blob(repository), digest, grant_ms, Reason::Lease),
        async {
            let row: Parameters<'_> = &[&repository, &text, &grant_ms];
            match is_counted {
                true => tx
                    .one(own::LINK_COUNTED, row)
                    .await?
                    .map_or(Ok(false), |row| Ok(column::<i32>(&row, 0)? == 1)),
                false => tx.execute(sql::LINK.postgres, row).await.map(|_| false),
            }
        },
        async { tx.execute(sql::LINK_WAITING.postgres, &[&repository, &text]).await },
    )?;
    if is_new {
        tx.quota.hold(repository, digest);
    }
    tx.quota.add_blob(repository, digest, usize::try_from(waiting).unwrap_or(usize::MAX));
    Ok(())
}

fn blob(row: &Row) -> Result<Blob, Fault> {
    Ok(Blob { location: parsed(row, 0)?, size_bytes: unsigned(row, 1)? })
}
