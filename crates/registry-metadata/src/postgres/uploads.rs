//! Upload sessions, from their row to the blob.

use std::time::Duration;

use async_trait::async_trait;
use registry_types::{Location, RepositoryName, UploadId};
use tokio_postgres::Row;

use super::{
    blobs,
    claims::CLAIM,
    connection::{Connection, Parameters},
    fault::{Fault, Remedy},
    row::{column, parsed, signed, unsigned},
    sql as own,
    transaction::{Tx, Work},
};
use crate::{
    COUNTED_UNTOUCHED_MAX, ClaimedUpload, FinishUpload, MetadataError, NewUpload, UPLOADS_MAX, UploadStatus,
    clock::millis,
    collecting::Reason,
    logic::{pipeline, quota, reclaim, repositories},
    sql::{blobs as blob_sql, uploads as sql},
};

/// Begins a session in a repository that is there and has room for one; whether it is so.
pub(super) async fn start(connection: &Connection, new: &NewUpload) -> Result<bool, Fault> {
    let (id, location, algorithm) = (new.id.to_string(), new.location.as_str(), new.algorithm.as_str());
    let row: Parameters<'_> =
        &[&id, &location, &algorithm, &new.repository.as_str(), &signed(UPLOADS_MAX - 1)];
    let started = connection.execute(own::START, row).await?;
    Ok(started > 0)
}

/// As [`start`], outside of a transaction: a repository that goes at this moment because nothing is in it is not there.
pub(super) async fn start_at_once(connection: &Connection, new: &NewUpload) -> Result<bool, Fault> {
    match start(connection, new).await {
        Err(fault) if fault.remedy() == Remedy::Rerun => Ok(false),
        started => started,
    }
}

/// Begins a session in a repository that is new, or says that it has too many.
pub(super) struct Start(pub(super) NewUpload);

#[async_trait]
impl Work for Start {
    type Output = ();

    async fn run(&self, tx: &Tx<'_>) -> Result<(), Fault> {
        let id = repositories::create(tx, &self.0.repository).await?;
        if tx.exists(sql::ARE_MORE_THAN.postgres, &[&id, &signed(UPLOADS_MAX - 1)]).await? {
            return Err(MetadataError::TooManyUploads { limit: UPLOADS_MAX }.into());
        }
        if start(tx, &self.0).await? { Ok(()) } else { Err(Fault::Again) }
    }
}

pub(super) async fn status(
    connection: &Connection,
    repository: &RepositoryName,
    id: &UploadId,
) -> Result<Option<UploadStatus>, Fault> {
    let row = connection.one(sql::STATUS.postgres, &[&id.to_string(), &repository.as_str()]).await?;
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

/// Saves a session, in one statement, if no later claim has saved it. Whether it did; [`not_saved`] says why not.
pub(super) async fn save(
    connection: &Connection,
    id: &UploadId,
    epoch: i64,
    offset: u64,
    state: &[u8],
) -> Result<bool, Fault> {
    let row: Parameters<'_> = &[&epoch, &signed(offset), &state, &id.to_string()];
    Ok(connection.execute(sql::SAVE.postgres, row).await? > 0)
}

pub(super) async fn not_saved(connection: &Connection, id: &UploadId) -> Result<MetadataError, Fault> {
    Ok(match connection.exists(sql::EXISTS.postgres, &[&id.to_string()]).await? {
        true => MetadataError::UploadStale { id: *id },
        false => MetadataError::UploadUnknown { id: *id },
    })
}

/// Saves, where quotas are counted.
pub(super) struct Save {
    pub(super) id: UploadId,
    pub(super) epoch: i64,
    pub(super) offset: u64,
    pub(super) state: Vec<u8>,
}

#[async_trait]
impl Work for Save {
    type Output = ();

    async fn run(&self, tx: &Tx<'_>) -> Result<(), Fault> {
        tx.quota.refuse_excess();
        let saved = tx.one(own::LOCK_SAVED, &[&self.id.to_string()]).await?;
        if !save(tx, &self.id, self.epoch, self.offset, &self.state).await? {
            return Err(not_saved(tx, &self.id).await?.into());
        }
        if let Some(row) = saved {
            tx.quota.add_upload(column(&row, 0)?, signed(self.offset) - column::<i64>(&row, 1)?);
        }
        Ok(())
    }
}

/// Ends a session that nobody has, or that this process had with `own_epoch`. Whether there was such a one.
pub(super) async fn cancel(
    connection: &Connection,
    repository: &RepositoryName,
    id: &UploadId,
    own_epoch: i64,
) -> Result<bool, Fault> {
    Ok(cancelled(connection, repository, id, own_epoch).await?.is_some())
}

async fn cancelled(
    connection: &Connection,
    repository: &RepositoryName,
    id: &UploadId,
    own_epoch: i64,
) -> Result<Option<Row>, Fault> {
    connection
        .one(own::CANCEL, &[&id.to_string(), &repository.as_str(), &own_epoch, &Reason::Cancelled.as_str()])
        .await
}

/// Cancels, where quotas are counted.
pub(super) struct Cancel {
    pub(super) repository: RepositoryName,
    pub(super) id: UploadId,
    pub(super) own_epoch: i64,
}

#[async_trait]
impl Work for Cancel {
    type Output = bool;

    async fn run(&self, tx: &Tx<'_>) -> Result<bool, Fault> {
        tx.one(own::LOCK_SAVED, &[&self.id.to_string()]).await?;
        let gone = cancelled(tx, &self.repository, &self.id, self.own_epoch).await?;
        uncount(tx, gone.as_slice())?;
        Ok(gone.is_some())
    }
}

pub(super) async fn expire(
    connection: &Connection,
    untouched_for: Duration,
    limit: usize,
) -> Result<u64, Fault> {
    Ok(expired(connection, own::EXPIRE, untouched_for, limit).await?.len() as u64)
}

async fn expired(
    connection: &Connection,
    sql: &'static str,
    untouched_for: Duration,
    limit: usize,
) -> Result<Vec<Row>, Fault> {
    connection.all(sql, &[&millis(untouched_for), &signed(limit), &Reason::Expired.as_str()]).await
}

/// Ends sessions, where quotas are counted.
pub(super) struct Expire {
    pub(super) untouched_for: Duration,
    pub(super) limit: usize,
}

#[async_trait]
impl Work for Expire {
    type Output = u64;

    async fn run(&self, tx: &Tx<'_>) -> Result<u64, Fault> {
        let mut gone = expired(tx, own::EXPIRE, self.untouched_for, self.limit).await?;
        if gone.len() < self.limit {
            let (untouched_for, rest) =
                (self.untouched_for.min(COUNTED_UNTOUCHED_MAX), self.limit - gone.len());
            gone.extend(expired(tx, own::EXPIRE_COUNTED, untouched_for, rest).await?);
        }
        let repositories = gone.iter().map(|row| column(row, 0)).collect::<Result<Vec<i64>, Fault>>()?;
        quota::stay(tx, &repositories).await?;
        uncount(tx, &gone)?;
        Ok(gone.len() as u64)
    }
}

/// These sessions are gone, with what they had saved.
fn uncount(tx: &Tx<'_>, gone: &[Row]) -> Result<(), Fault> {
    for row in gone {
        tx.quota.add_upload(column(row, 0)?, -column::<i64>(row, 1)?);
    }
    Ok(())
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
        tx.quota.refuse_excess();
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
        tx.ready(&[own::INSERT_OBJECT_AND_DIGEST, sql::DELETE.postgres]).await?;
        let (_, _, gone) = pipeline!(
            keep_object(tx, finish, &ours, known),
            blobs::link(tx, repository, &finish.digest),
            async { tx.all(sql::DELETE.postgres, &[&id]).await },
        )?;
        uncount(tx, &gone)
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
        tx.execute(blob_sql::REPLACE_OBJECT.postgres, &[&ours.as_str(), &size_bytes, &object]).await?;
        // Somebody may be reading what is left of the old bytes.
        reclaim::give_up(tx, &theirs, tx.options.read_grace_ms(), Reason::Replaced).await
    } else {
        // Nobody was ever told of ours.
        reclaim::give_up(tx, ours, 0, Reason::Duplicate).await
    }
}
