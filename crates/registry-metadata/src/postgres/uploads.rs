//! Upload sessions, from their row to the blob.

use std::time::Duration;

use async_trait::async_trait;
use registry_types::{Location, RepositoryName, UploadId};

use super::{
    blobs,
    claims::CLAIM,
    connection::Connection,
    fault::Fault,
    reclaim, repositories,
    row::{column, parsed, signed, unsigned},
    sql as own,
    transaction::{Tx, Work},
};
use crate::{
    ClaimedUpload, FinishUpload, MetadataError, NewUpload, UploadStatus,
    clock::millis,
    sql::{blobs as blob_sql, uploads as sql},
};

/// Begins a session in a repository that is there; whether it is.
pub(super) async fn start(connection: &Connection, new: &NewUpload) -> Result<bool, Fault> {
    let (id, location, algorithm) = (new.id.to_string(), new.location.as_str(), new.algorithm.as_str());
    let started =
        connection.execute(own::START, &[&id, &location, &algorithm, &new.repository.as_str()]).await?;
    Ok(started > 0)
}

/// Begins a session in a repository that is new.
pub(super) struct Start(pub(super) NewUpload);

#[async_trait]
impl Work for Start {
    type Output = ();

    async fn run(&self, tx: &Tx<'_>) -> Result<(), Fault> {
        repositories::create(tx, &self.0.repository).await?;
        if start(tx, &self.0).await? { Ok(()) } else { Err(Fault::Again) }
    }
}

pub(super) async fn status(
    connection: &Connection,
    repository: &RepositoryName,
    id: &UploadId,
) -> Result<Option<UploadStatus>, Fault> {
    let row = connection.one(sql::STATUS, &[&id.to_string(), &repository.as_str()]).await?;
    let status = |row| {
        Ok(UploadStatus {
            offset: unsigned(row, 0)?,
            algorithm: parsed(row, 1)?,
            started_at_ms: column(row, 2)?,
        })
    };
    row.as_ref().map(status).transpose()
}

/// Claims a session that nobody has, or that this process had with `own_epoch`. None if there is none such.
pub(super) async fn claim(
    connection: &Connection,
    repository: &RepositoryName,
    id: &UploadId,
    own_epoch: i64,
) -> Result<Option<ClaimedUpload>, Fault> {
    let (claim_ms, id) = (millis(CLAIM), id.to_string());
    let row = connection.one(own::CLAIM, &[&claim_ms, &id, &repository.as_str(), &own_epoch]).await?;
    let claimed = |row| {
        Ok(ClaimedUpload {
            epoch: column(row, 0)?,
            location: parsed(row, 1)?,
            algorithm: parsed(row, 2)?,
            offset: unsigned(row, 3)?,
            state: column(row, 4)?,
        })
    };
    row.as_ref().map(claimed).transpose()
}

pub(super) async fn save(
    connection: &Connection,
    id: &UploadId,
    epoch: i64,
    offset: u64,
    state: &[u8],
) -> Result<(), Fault> {
    let text = id.to_string();
    if connection.execute(sql::SAVE, &[&epoch, &signed(offset), &state, &text]).await? > 0 {
        return Ok(());
    }
    Err(match connection.exists(sql::EXISTS, &[&text]).await? {
        true => MetadataError::UploadStale { id: *id }.into(),
        false => MetadataError::UploadUnknown { id: *id }.into(),
    })
}

/// Ends a session that nobody has, or that this process had with `own_epoch`. Whether there was such a one.
pub(super) async fn cancel(
    connection: &Connection,
    repository: &RepositoryName,
    id: &UploadId,
    own_epoch: i64,
) -> Result<bool, Fault> {
    connection.exists(own::CANCEL, &[&id.to_string(), &repository.as_str(), &own_epoch, &"cancelled"]).await
}

pub(super) async fn expire(
    connection: &Connection,
    untouched_for: Duration,
    limit: usize,
) -> Result<u64, Fault> {
    let row = connection.one(own::EXPIRE, &[&millis(untouched_for), &signed(limit), &"expired"]).await?;
    row.map_or(Ok(0), |row| unsigned(&row, 0))
}

/// The session becomes a blob: object and digest, or what is there of them already; the link with its lease; and the
/// session's row goes, all in this one transaction.
pub(super) struct Finish(pub(super) FinishUpload);

/// The object that a digest has, locked.
struct Known {
    object: i64,
    location: Location,
    is_bad: bool,
}

#[async_trait]
impl Work for Finish {
    type Output = ();

    async fn run(&self, tx: &Tx<'_>) -> Result<(), Fault> {
        let finish = &self.0;
        let (id, digest) = (finish.id.to_string(), finish.digest.to_string());
        tx.ready(&[own::LOCK_TO_FINISH, own::LOCK_OBJECT]).await?;
        let (session, known) = pipeline!(
            async { tx.one(own::LOCK_TO_FINISH, &[&id, &finish.repository.as_str()]).await },
            async { tx.one(own::LOCK_OBJECT, &[&digest]).await },
        )?;
        let session = session.ok_or(MetadataError::UploadUnknown { id: finish.id })?;
        if column::<i64>(&session, 1)? != finish.epoch {
            return Err(MetadataError::UploadStale { id: finish.id }.into());
        }
        let (repository, ours) = (column(&session, 0)?, parsed(&session, 2)?);
        let known = known.map(|row| {
            let is_bad = column::<i64>(&row, 2)? == 1;
            Ok::<_, Fault>(Known { object: column(&row, 0)?, location: parsed(&row, 1)?, is_bad })
        });
        let known = known.transpose()?;

        tx.ready(&blobs::LINK).await?;
        tx.ready(&[own::INSERT_OBJECT_AND_DIGEST, sql::DELETE]).await?;
        pipeline!(
            keep_object(tx, finish, &ours, known),
            blobs::link(tx, repository, &finish.digest),
            async { tx.execute(sql::DELETE, &[&id]).await },
        )?;
        Ok(())
    }
}

/// Decides which object is the digest's: ours if it had none or a bad one, else the one that is there.
async fn keep_object(
    tx: &Tx<'_>,
    finish: &FinishUpload,
    ours: &Location,
    known: Option<Known>,
) -> Result<(), Fault> {
    let size_bytes = signed(finish.size_bytes);
    let Some(Known { object, location: theirs, is_bad }) = known else {
        // Fails by the key if somebody else brought the digest meanwhile; then that one is known in the next run.
        let (digest, location) = (finish.digest.to_string(), ours.as_str());
        tx.execute(own::INSERT_OBJECT_AND_DIGEST, &[&location, &size_bytes, &digest]).await?;
        return Ok(());
    };
    if is_bad || finish.replaces.as_ref() == Some(&theirs) {
        tx.execute(blob_sql::REPLACE_OBJECT, &[&ours.as_str(), &size_bytes, &object]).await?;
        // Somebody may be reading what is left of the old bytes.
        reclaim::give_up(tx, &theirs, tx.options.read_grace_ms(), "replaced").await
    } else {
        // Nobody was ever told of ours.
        reclaim::give_up(tx, ours, 0, "duplicate").await
    }
}
