//! Deleted repositories: set aside, brought back, worked off.

use registry_digest::Digest;
use registry_types::RepositoryName;
use rusqlite::{Connection, params};

use super::{
    fault::Fault,
    manifests, quota,
    reclaim::{Garbage, enqueue},
    repositories,
    statement::{all, execute, one, parsed, signed, unreadable},
    tags, uploads,
    writer::Tx,
};
use crate::{
    Candidate, CandidateKind, Collected, DeletedRepository, EndedWindows, MetadataError, Verdict,
    repository_set::{former_name, name_aside},
    sql::{
        blobs as blob_sql, collecting as collecting_sql, manifests as manifest_sql, restore as sql,
        retention as retention_sql,
    },
};

/// Gives a repository a name that is none, under which all that is in it lies until it is worked off; unless it has an
/// immutable tag.
pub(super) fn set_aside(tx: &Tx<'_>, repository: &RepositoryName) -> Result<(), Fault> {
    let unknown = || MetadataError::RepositoryUnknown { name: repository.clone() };
    let id = repositories::id(tx.connection(), repository)?.ok_or_else(unknown)?;
    tags::refuse_if_any_is_immutable(tx, id)?;
    quota::repository_deleted(tx, id)?;
    let name = name_aside(id, repository);
    execute(tx.connection(), sql::SET_ASIDE.sqlite, params![name, tx.options.undelete_window_ms(), id])?;
    Ok(())
}

pub(super) fn deleted(connection: &Connection) -> rusqlite::Result<Vec<DeletedRepository>> {
    let rows: Vec<(i64, String, i64)> =
        all(connection, sql::DELETED.sqlite, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let repository = |(_, name, purge_at_ms): (i64, String, i64)| {
        Some(DeletedRepository { name: former_name(&name)?.parse().ok()?, purge_at_ms })
    };
    Ok(rows.into_iter().filter_map(repository).collect())
}

pub(super) fn bring_back(tx: &Tx<'_>, repository: &RepositoryName) -> Result<(), Fault> {
    if repositories::id(tx.connection(), repository)?.is_some() {
        return Err(MetadataError::RepositoryExists { name: repository.clone() }.into());
    }
    let rows: Vec<(i64, String)> =
        all(tx.connection(), sql::DELETED.sqlite, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let last = rows.into_iter().rfind(|(_, name)| former_name(name) == Some(repository.as_str()));
    let (id, _) = last.ok_or(MetadataError::RepositoryUnknown { name: repository.clone() })?;
    execute(tx.connection(), sql::BRING_BACK.sqlite, params![repository.as_str(), id])?;
    Ok(quota::repository_restored(tx, id)?)
}

/// The number and name of a repository whose time is over.
pub(super) fn due(connection: &Connection) -> rusqlite::Result<Option<(i64, String)>> {
    one(connection, sql::DUE.sqlite, [1], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// The name that a deleted repository had.
pub(super) fn name_of(aside: &str) -> &str {
    former_name(aside).unwrap_or(aside)
}

/// Removes up to `limit` rows of such a repository, and the repository with the last of them.
pub(super) fn work_off(tx: &Tx<'_>, id: i64, name: &str, limit: usize) -> Result<Vec<Collected>, Fault> {
    for step in [manifests, blobs, running_uploads, trash] {
        let done = step(tx, id, limit)?;
        if !done.is_empty() {
            return Ok(done);
        }
    }
    if history(tx, id, limit)? {
        return Ok(vec![gone(CandidateKind::History, name_of(name).to_owned())]);
    }
    execute(tx.connection(), sql::DELETE_REPOSITORY.sqlite, [id])?;
    Ok(vec![gone(CandidateKind::Repository, name_of(name).to_owned())])
}

pub(super) fn gone(kind: CandidateKind, digest: String) -> Collected {
    let reason = "repository deleted".to_owned();
    let candidate = Candidate { kind, repository: None, digest, reason };
    Collected { candidate, verdict: Verdict::Removed { bytes: 0 } }
}

/// A repository in which nothing was, or the history of its tags.
pub(super) fn empty(kind: CandidateKind, name: &str) -> Collected {
    let (digest, reason) = (name.to_owned(), "empty".to_owned());
    let candidate = Candidate { kind, repository: None, digest, reason };
    Collected { candidate, verdict: Verdict::Removed { bytes: 0 } }
}

/// The window of so many deleted things is over now: all of them, or those of one repository.
pub(super) fn end_windows(
    tx: &Tx<'_>,
    repository: Option<&RepositoryName>,
    limit: usize,
) -> Result<EndedWindows, Fault> {
    let limit = signed(limit);
    let Some(repository) = repository else {
        return Ok(EndedWindows {
            tags: execute(tx.connection(), sql::END_TAGS.sqlite, [limit])? as u64,
            manifests: execute(tx.connection(), sql::END_MANIFESTS.sqlite, [limit])? as u64,
            repositories: execute(tx.connection(), sql::END_REPOSITORIES.sqlite, [limit])? as u64,
        });
    };
    let mut ended = EndedWindows::default();
    if let Some(id) = repositories::id(tx.connection(), repository)? {
        ended.tags = execute(tx.connection(), sql::END_TAGS_OF.sqlite, params![id, limit])? as u64;
        ended.manifests = execute(tx.connection(), sql::END_MANIFESTS_OF.sqlite, params![id, limit])? as u64;
    }
    let aside: Vec<(i64, String)> =
        all(tx.connection(), sql::DELETED.sqlite, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    for (id, _) in aside.iter().filter(|(_, name)| former_name(name) == Some(repository.as_str())) {
        ended.repositories += execute(tx.connection(), sql::END_REPOSITORY.sqlite, [id])? as u64;
    }
    Ok(ended)
}

/// In any order: whoever lists a manifest goes as well.
fn manifests(tx: &Tx<'_>, id: i64, limit: usize) -> Result<Vec<Collected>, Fault> {
    let digests: Vec<String> =
        all(tx.connection(), sql::SOME_MANIFESTS.sqlite, params![id, signed(limit)], |row| row.get(0))?;
    for digest in &digests {
        let row = params![id, digest];
        execute(tx.connection(), sql::DELETE_TAGS.sqlite, row)?;
        execute(tx.connection(), sql::UNLINK_CHILD.sqlite, row)?;
        let _: Vec<String> = all(tx.connection(), manifest_sql::DELETE_BLOBS.sqlite, row, |row| row.get(0))?;
        let _: Vec<String> =
            all(tx.connection(), manifest_sql::DELETE_CHILDREN.sqlite, row, |row| row.get(0))?;
        execute(tx.connection(), manifest_sql::DELETE.sqlite, row)?;
        execute(tx.connection(), retention_sql::FORGET_PULLS.sqlite, row)?;
        execute(tx.connection(), collecting_sql::DEQUEUE.sqlite, params!["label", id, digest])?;
    }
    Ok(digests.into_iter().map(|digest| gone(CandidateKind::Manifest, digest)).collect())
}

fn blobs(tx: &Tx<'_>, id: i64, limit: usize) -> Result<Vec<Collected>, Fault> {
    let digests: Vec<Digest> =
        all(tx.connection(), sql::SOME_BLOBS.sqlite, params![id, signed(limit)], |row| parsed(row, 0))?;
    for digest in &digests {
        execute(tx.connection(), blob_sql::UNLINK.sqlite, params![id, digest.to_string()])?;
        enqueue(tx, Garbage::Digest, digest, 0, "repository deleted")?;
    }
    Ok(digests.into_iter().map(|digest| gone(CandidateKind::Blob, digest.to_string())).collect())
}

fn running_uploads(tx: &Tx<'_>, id: i64, limit: usize) -> Result<Vec<Collected>, Fault> {
    let ids: Vec<String> =
        all(tx.connection(), sql::SOME_UPLOADS.sqlite, params![id, signed(limit)], |row| row.get(0))?;
    for upload in &ids {
        uploads::cancel_row(tx, upload, "repository deleted")?;
    }
    Ok(ids.into_iter().map(|upload| gone(CandidateKind::Upload, upload)).collect())
}

fn trash(tx: &Tx<'_>, id: i64, limit: usize) -> Result<Vec<Collected>, Fault> {
    let tags: Vec<(String, String)> =
        all(tx.connection(), sql::SOME_TRASHED_TAGS.sqlite, params![id, signed(limit)], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    for (name, digest) in &tags {
        execute(tx.connection(), collecting_sql::PURGE_TAG.sqlite, params![id, name, digest])?;
    }
    let rest = params![id, signed(limit - tags.len())];
    let manifests: Vec<String> =
        all(tx.connection(), sql::SOME_TRASHED_MANIFESTS.sqlite, rest, |row| row.get(0))?;
    for digest in &manifests {
        let digest = digest.parse().map_err(|error| unreadable(0, error))?;
        for blob in &manifests::purge(tx, id, &digest)? {
            enqueue(tx, Garbage::Digest, blob, 0, "purged")?;
        }
    }
    let tags = tags.into_iter().map(|(_, digest)| gone(CandidateKind::TrashedTag, digest));
    Ok(tags.chain(manifests.into_iter().map(|digest| gone(CandidateKind::TrashedManifest, digest))).collect())
}

/// Removes the changes of its tags, so many at a time. Whether there were any.
pub(super) fn history(tx: &Tx<'_>, id: i64, limit: usize) -> Result<bool, Fault> {
    let some = params![id, signed(limit)];
    let rows = execute(tx.connection(), sql::DELETE_HISTORY.sqlite, some)?
        + execute(tx.connection(), sql::DELETE_USAGE.sqlite, some)?;
    Ok(rows > 0)
}
