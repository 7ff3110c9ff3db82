//! Upload sessions, from their row to the blob.

use registry_database::sqlite::at_once;
use registry_digest::Algorithm;
use registry_types::{Location, RepositoryName, UploadId};
use rusqlite::{Connection, params};

use super::{
    blobs,
    claims::{Claims, Hold},
    fault::Fault,
    statement::{all, execute, exists, one, parsed, signed, unsigned},
    writer::Tx,
};
use crate::{
    COUNTED_UNTOUCHED_MAX, FinishUpload, MetadataError, NewUpload, UPLOADS_MAX, UploadStatus,
    clock::millis,
    collecting::Reason,
    logic::{reclaim, repositories},
    sql::{blobs as blob_sql, uploads as sql},
};

/// A session's row, for the one who claimed it.
pub(super) struct Session {
    pub(super) epoch: i64,
    pub(super) location: Location,
    pub(super) algorithm: Algorithm,
    pub(super) offset: u64,
    pub(super) state: Option<Vec<u8>>,
}

pub(super) fn start(tx: &Tx<'_>, new: &NewUpload) -> Result<(), Fault> {
    let repository = at_once(repositories::create(tx, &new.repository))?;
    if exists(tx.connection(), sql::ARE_MORE_THAN.sqlite, params![repository, signed(UPLOADS_MAX - 1)])? {
        return Err(MetadataError::TooManyUploads { limit: UPLOADS_MAX }.into());
    }
    let row = params![new.id.to_string(), repository, new.location.as_str(), new.algorithm.as_str()];
    execute(tx.connection(), sql::START.sqlite, row)?;
    Ok(())
}

pub(super) fn status(
    connection: &Connection,
    repository: &RepositoryName,
    id: &UploadId,
) -> rusqlite::Result<Option<UploadStatus>> {
    one(connection, sql::STATUS.sqlite, params![id.to_string(), repository.as_str()], |row| {
        Ok(UploadStatus { offset: unsigned(row, 0)?, algorithm: parsed(row, 1)?, started_at_ms: row.get(2)? })
    })
}

pub(super) fn claimed(
    connection: &Connection,
    repository: &RepositoryName,
    id: &UploadId,
) -> rusqlite::Result<Option<Session>> {
    one(connection, sql::CLAIMED.sqlite, params![id.to_string(), repository.as_str()], |row| {
        Ok(Session {
            epoch: row.get(0)?,
            location: parsed(row, 1)?,
            algorithm: parsed(row, 2)?,
            offset: unsigned(row, 3)?,
            state: row.get(4)?,
        })
    })
}

pub(super) fn save(tx: &Tx<'_>, id: &UploadId, epoch: i64, offset: u64, state: &[u8]) -> Result<(), Fault> {
    tx.quota.refuse_excess();
    let text = id.to_string();
    let saved = if tx.quota.is_kept() { saved(tx, &text)? } else { None };
    if execute(tx.connection(), sql::SAVE.sqlite, params![epoch, signed(offset), state, text])? > 0 {
        if let Some((repository, before)) = saved {
            tx.quota.add_upload(repository, signed(offset) - before);
        }
        return Ok(());
    }
    Err(match exists(tx.connection(), sql::EXISTS.sqlite, [text])? {
        true => MetadataError::UploadStale { id: *id }.into(),
        false => MetadataError::UploadUnknown { id: *id }.into(),
    })
}

/// The repository of a session, and how much it has saved.
fn saved(tx: &Tx<'_>, id: &str) -> rusqlite::Result<Option<(i64, i64)>> {
    one(tx.connection(), sql::SAVED.sqlite, [id], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// Removes a session's row. Whether it was there.
fn remove(tx: &Tx<'_>, id: &str) -> rusqlite::Result<bool> {
    let removed: Option<(i64, i64)> =
        one(tx.connection(), sql::DELETE.sqlite, [id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if let Some((repository, saved)) = removed {
        tx.quota.add_upload(repository, -saved);
    }
    Ok(removed.is_some())
}

/// The session becomes a blob: object and digest, or what is there of them already; the link with its lease; and the
/// session's row goes, all in this one transaction.
pub(super) fn finish(tx: &Tx<'_>, finish: &FinishUpload) -> Result<(), Fault> {
    let id = finish.id.to_string();
    let session = params![id, finish.repository.as_str()];
    let session = one(tx.connection(), sql::TO_FINISH.sqlite, session, |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, parsed::<Location>(row, 2)?))
    })?;
    let (repository, epoch, location) = session.ok_or(MetadataError::UploadUnknown { id: finish.id })?;
    if epoch > finish.epoch {
        return Err(MetadataError::UploadStale { id: finish.id }.into());
    }
    keep_object(tx, finish, &location)?;
    tx.quota.refuse_excess();
    blobs::link(tx, repository, &finish.digest)?;
    remove(tx, &id)?;
    Ok(())
}

/// Decides which object is the digest's: ours if it had none or a bad one, else the one that is there.
fn keep_object(tx: &Tx<'_>, finish: &FinishUpload, ours: &Location) -> Result<(), Fault> {
    let digest = finish.digest.to_string();
    let known = one(tx.connection(), blob_sql::OBJECT_TO_REPLACE.sqlite, [&digest], |row| {
        Ok((row.get::<_, i64>(0)?, parsed::<Location>(row, 1)?, row.get::<_, bool>(2)?))
    })?;
    let Some((object, theirs, is_bad)) = known else { return insert_object(tx, finish, ours, &digest) };
    if is_bad || finish.replaces.as_ref() == Some(&theirs) {
        let row = params![ours.as_str(), signed(finish.size_bytes), object];
        execute(tx.connection(), blob_sql::REPLACE_OBJECT.sqlite, row)?;
        // Somebody may be reading what is left of the old bytes.
        at_once(reclaim::give_up(tx, &theirs, tx.options.read_grace_ms(), Reason::Replaced))?;
    } else {
        // Nobody was ever told of ours.
        at_once(reclaim::give_up(tx, ours, 0, Reason::Duplicate))?;
    }
    Ok(())
}

fn insert_object(tx: &Tx<'_>, finish: &FinishUpload, ours: &Location, digest: &str) -> Result<(), Fault> {
    let row = params![ours.as_str(), signed(finish.size_bytes)];
    let object: Option<i64> = one(tx.connection(), blob_sql::INSERT_OBJECT.sqlite, row, |row| row.get(0))?;
    execute(tx.connection(), blob_sql::INSERT_DIGEST.sqlite, params![digest, object])?;
    Ok(())
}

/// Ends a session without a blob. Whether there was one.
pub(super) fn cancel(tx: &Tx<'_>, id: &UploadId, reason: Reason) -> Result<bool, Fault> {
    cancel_row(tx, &id.to_string(), reason)
}

/// As [`cancel`], of a session whose id need not be one.
pub(super) fn cancel_row(tx: &Tx<'_>, id: &str, reason: Reason) -> Result<bool, Fault> {
    execute(tx.connection(), sql::TO_RECLAIM.sqlite, params![reason.as_str(), id])?;
    Ok(remove(tx, id)?)
}

/// Ends the sessions that nobody touched, but for those that somebody works on in this process. The holds are to be
/// kept until the commit, so that nobody claims what is gone.
pub(super) fn expire(
    tx: &Tx<'_>,
    claims: &Claims,
    untouched_for_ms: i64,
    limit: usize,
) -> Result<Vec<Hold>, Fault> {
    let untouched = params![untouched_for_ms, signed(limit)];
    let mut ids: Vec<String> = all(tx.connection(), sql::UNTOUCHED.sqlite, untouched, |row| row.get(0))?;
    if tx.quota.is_kept() && ids.len() < limit {
        let counted = params![untouched_for_ms.min(millis(COUNTED_UNTOUCHED_MAX)), signed(limit)];
        let counted: Vec<String> =
            all(tx.connection(), sql::UNTOUCHED_COUNTED.sqlite, counted, |row| row.get(0))?;
        let more: Vec<String> = counted.into_iter().filter(|id| !ids.contains(id)).collect();
        ids.extend(more.into_iter().take(limit - ids.len()));
    }
    let mut holds = Vec::new();
    for id in ids {
        // No request can have claimed an id that is none.
        let Ok(parsed) = id.parse::<UploadId>() else {
            cancel_row(tx, &id, Reason::Expired)?;
            continue;
        };
        if let Ok(hold) = claims.claim(&parsed) {
            cancel(tx, &parsed, Reason::Expired)?;
            holds.push(hold);
        }
    }
    Ok(holds)
}
