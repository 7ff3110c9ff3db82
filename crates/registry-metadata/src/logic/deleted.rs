//! Deleted repositories: set aside, brought back, worked off.

use registry_database::{Fault, Param, Session, params, signed};
use registry_digest::Digest;
use registry_events::Kind;
use registry_types::{Cause, RepositoryName};

use super::{
    Tx, all_parsed,
    events::Happened,
    manifests as manifests_of,
    namespaces::remove_with_last,
    quota,
    reclaim::{dequeue, enqueue_digests},
    repositories,
    steps::repository_goes,
    tags,
    tuned::Tuned,
};
use crate::{
    Candidate, CandidateKind, Collected, DeletedRepository, EndedWindows, Kept, MetadataError, Verdict,
    aside::{former_name, name_aside},
    collecting::{FAILED_AGAIN_MS, Garbage, Reason},
    sql::{
        blobs as blob_sql, collecting as collecting_sql, manifests as manifest_sql, postgres, restore as sql,
        retention as retention_sql, uploads as upload_sql,
    },
};

/// How many repositories whose time is over are looked for at once: other collectors may have the first ones.
const DUE_MAX: i64 = 16;

/// Gives a repository a name that is none, under which all that is in it lies until it is worked off. What is on its way
/// into it is waited for; what comes later finds no repository, or makes a new one. Refused if it has an immutable tag.
pub(crate) async fn set_aside(
    tx: &Tx<'_, impl Session>,
    repository: &RepositoryName,
    cause: &Cause,
) -> Result<(), Fault> {
    let unknown = || MetadataError::RepositoryUnknown { name: repository.clone() };
    let id = repositories::to_change(tx, repository).await?.ok_or_else(unknown)?;
    quota::repository_deleted(tx, id).await?;
    let (name, window_ms) = (name_aside(id, repository), tx.options.undelete_window_ms());
    tx.execute(sql::SET_ASIDE, params![&name, window_ms, id]).await?;
    // Now nothing is on its way into it any more.
    tags::refuse_if_any_is_immutable(tx, id).await?;
    tx.events.name(id, repository);
    tx.events.note(|| Happened::in_repository(Kind::RepositoryDeleted, id, cause));
    Ok(())
}

pub(crate) async fn deleted(session: &impl Session) -> Result<Vec<DeletedRepository>, Fault> {
    let rows: Vec<(i64, String, i64)> = session.all(sql::DELETED, &[]).await?;
    let repository = |(_, name, purge_at_ms): (i64, String, i64)| {
        Some(DeletedRepository { name: former_name(&name)?.parse().ok()?, purge_at_ms })
    };
    Ok(rows.into_iter().filter_map(repository).collect())
}

/// The numbers of the repositories of this name that were deleted, the last one at the end.
pub(super) async fn deleted_as(session: &impl Session, name: &RepositoryName) -> Result<Vec<i64>, Fault> {
    let rows: Vec<(i64, String)> = session.all(sql::DELETED, &[]).await?;
    let is_meant = |(_, aside): &(i64, String)| former_name(aside) == Some(name.as_str());
    Ok(rows.into_iter().filter(is_meant).map(|(id, _)| id).collect())
}

/// Restores the repository of this name that was deleted last. If the name is taken at this moment, this fails by its unique
/// key, and finds it taken in the next run.
pub(crate) async fn bring_back(
    tx: &Tx<'_, impl Session>,
    name: &RepositoryName,
    cause: &Cause,
) -> Result<(), Fault> {
    if repositories::id(tx.session, name).await?.is_some() {
        return Err(MetadataError::RepositoryExists { name: name.clone() }.into());
    }
    let last = deleted_as(tx.session, name).await?.pop();
    let id = last.ok_or_else(|| MetadataError::RepositoryUnknown { name: name.clone() })?;
    if tx.execute(sql::BRING_BACK, params![name.as_str(), id]).await? == 0 {
        return Err(Fault::Again);
    }
    tx.events.name(id, name);
    tx.events.note(|| Happened::in_repository(Kind::RepositoryRestored, id, cause));
    quota::repository_restored(tx, id).await
}

/// The window of so many deleted things is over now: all of them, or those of one repository.
pub(crate) async fn end_windows(
    tx: &Tx<'_, impl Session>,
    repository: Option<&RepositoryName>,
    limit: usize,
) -> Result<EndedWindows, Fault> {
    let limit = signed(limit);
    let Some(repository) = repository else {
        return Ok(EndedWindows {
            tags: tx.execute(sql::END_TAGS, params![limit]).await?,
            manifests: tx.execute(sql::END_MANIFESTS, params![limit]).await?,
            repositories: tx.execute(sql::END_REPOSITORIES, params![limit]).await?,
        });
    };
    let mut ended = EndedWindows::default();
    if let Some(id) = repositories::id(tx.session, repository).await? {
        ended.tags = tx.execute(sql::END_TAGS_OF, params![id, limit]).await?;
        ended.manifests = tx.execute(sql::END_MANIFESTS_OF, params![id, limit]).await?;
    }
    for id in deleted_as(tx.session, repository).await? {
        ended.repositories += tx.execute(sql::END_REPOSITORY, params![id]).await?;
    }
    Ok(ended)
}

/// The numbers of some repositories whose time is over.
pub(crate) async fn due(session: &impl Session) -> Result<Vec<i64>, Fault> {
    session.all(sql::DUE, params![DUE_MAX]).await
}

/// Removes up to `limit` rows of a repository whose time is over, and the repository with the last of them. Nothing if
/// another collector has it.
pub(crate) async fn remove_some(
    tx: &Tx<'_, impl Tuned>,
    id: i64,
    limit: usize,
) -> Result<Vec<Collected>, Fault> {
    let Some(aside) = lock_due(tx.session, id).await? else { return Ok(Vec::new()) };
    for step in 0..4 {
        let done = match step {
            0 => manifests(tx, id, limit).await?,
            1 => blobs(tx, id, limit).await?,
            2 => running_uploads(tx, id, limit).await?,
            _ => trash(tx, id, limit).await?,
        };
        if !done.is_empty() {
            return Ok(done);
        }
    }
    let name = former_name(&aside).unwrap_or(&aside).to_owned();
    if history(tx, id, limit).await? {
        return Ok(vec![gone(CandidateKind::History, name)]);
    }
    repository_goes(tx, id, &name).await?;
    tx.execute(sql::DELETE_REPOSITORY, params![id]).await?;
    remove_with_last(tx, &name).await?;
    Ok(vec![gone(CandidateKind::Repository, name)])
}

/// The name that a repository whose time is over lies under, unless another collector has locked it.
async fn lock_due(session: &impl Session, id: i64) -> Result<Option<String>, Fault> {
    session.one(sql::LOCK_DUE, params![id]).await
}

/// Has a repository wait, since it could not be worked off. None if it is not there any more.
pub(crate) async fn postpone(
    tx: &Tx<'_, impl Session>,
    id: i64,
    reason: &str,
) -> Result<Option<Collected>, Fault> {
    let Some(aside) = lock_due(tx.session, id).await? else { return Ok(None) };
    tx.execute(sql::POSTPONE, params![FAILED_AGAIN_MS, id]).await?;
    let verdict = Verdict::Kept(Kept::Failed { reason: reason.to_owned() });
    let name = former_name(&aside).unwrap_or(&aside).to_owned();
    Ok(Some(Collected { verdict, ..gone(CandidateKind::Repository, name) }))
}

fn gone(kind: CandidateKind, digest: String) -> Collected {
    let reason = Reason::RepositoryDeleted.as_str().to_owned();
    let candidate = Candidate { kind, repository: None, digest, reason };
    Collected { candidate, verdict: Verdict::Removed { bytes: 0 } }
}

async fn some(
    tx: &Tx<'_, impl Session>,
    statement: registry_database::Statement,
    id: i64,
    limit: usize,
) -> Result<Vec<String>, Fault> {
    tx.all(statement, params![id, signed(limit)]).await
}

/// In any order: what lists a manifest goes as well.
async fn manifests(tx: &Tx<'_, impl Session>, id: i64, limit: usize) -> Result<Vec<Collected>, Fault> {
    let digests = some(tx, sql::SOME_MANIFESTS, id, limit).await?;
    for digest in &digests {
        let row = params![id, digest];
        tx.execute(sql::DELETE_TAGS, row).await?;
        tx.execute(sql::UNLINK_CHILD, row).await?;
        tx.all::<String>(manifest_sql::DELETE_BLOBS, row).await?;
        tx.all::<String>(manifest_sql::DELETE_CHILDREN, row).await?;
        tx.execute(manifest_sql::DELETE, row).await?;
        tx.execute(retention_sql::FORGET_PULLS, row).await?;
        dequeue(tx, Garbage::Label(id), digest).await?;
    }
    Ok(digests.into_iter().map(|digest| gone(CandidateKind::Manifest, digest)).collect())
}

async fn blobs(tx: &Tx<'_, impl Session>, id: i64, limit: usize) -> Result<Vec<Collected>, Fault> {
    let digests: Vec<Digest> = all_parsed(tx.session, sql::SOME_BLOBS, params![id, signed(limit)]).await?;
    for digest in &digests {
        tx.execute(blob_sql::UNLINK, params![id, &digest.to_string()]).await?;
    }
    enqueue_digests(tx, &digests, Reason::RepositoryDeleted).await?;
    Ok(digests.into_iter().map(|digest| gone(CandidateKind::Blob, digest.to_string())).collect())
}

async fn running_uploads(tx: &Tx<'_, impl Session>, id: i64, limit: usize) -> Result<Vec<Collected>, Fault> {
    let mut ids = some(tx, sql::SOME_UPLOADS, id, limit).await?;
    ids.sort_unstable();
    // A session may be saved at this moment; what it saves is given back with its bytes.
    let locked: Vec<&str> = ids.iter().map(String::as_str).collect();
    tx.lock(postgres::LOCK_UPLOADS, params![&locked[..]]).await?;
    let reason = Reason::RepositoryDeleted.as_str();
    let given: Vec<[Param<'_>; 2]> = ids.iter().map(|upload| [reason.into(), upload.into()]).collect();
    tx.execute_many(upload_sql::TO_RECLAIM, &given).await?;
    // What they had saved was counted no more when the repository was deleted.
    let gone_ids: Vec<[Param<'_>; 1]> = ids.iter().map(|upload| [upload.into()]).collect();
    tx.execute_many(upload_sql::FORGET, &gone_ids).await?;
    Ok(ids.into_iter().map(|upload| gone(CandidateKind::Upload, upload)).collect())
}

async fn trash(tx: &Tx<'_, impl Session>, id: i64, limit: usize) -> Result<Vec<Collected>, Fault> {
    let mut done = Vec::new();
    let tags: Vec<(String, String)> = tx.all(sql::SOME_TRASHED_TAGS, params![id, signed(limit)]).await?;
    for (name, digest) in tags {
        tx.execute(collecting_sql::PURGE_TAG, params![id, &name, &digest]).await?;
        done.push(gone(CandidateKind::TrashedTag, digest));
    }
    let mut blobs: Vec<Digest> = Vec::new();
    for digest in some(tx, sql::SOME_TRASHED_MANIFESTS, id, limit - done.len()).await? {
        blobs.extend(manifests_of::purge(tx, id, &digest).await?);
        done.push(gone(CandidateKind::TrashedManifest, digest));
    }
    enqueue_digests(tx, &blobs, Reason::Purged).await?;
    Ok(done)
}

/// Removes the changes of its tags, so many at a time. Whether there were any.
pub(crate) async fn history(tx: &Tx<'_, impl Session>, id: i64, limit: usize) -> Result<bool, Fault> {
    let some = params![id, signed(limit)];
    let rows = tx.execute(sql::DELETE_HISTORY, some).await? + tx.execute(sql::DELETE_USAGE, some).await?;
    Ok(rows > 0)
}
