//! Deleted repositories: set aside, brought back, worked off.

use async_trait::async_trait;
use registry_digest::Digest;
use registry_types::RepositoryName;

use super::{
    connection::Connection,
    fault::Fault,
    manifests, quota,
    reclaim::{Garbage, dequeue, enqueue_digests},
    repositories,
    row::{all_parsed, column, signed},
    sql as own, tags,
    transaction::{Tx, Work},
};
use crate::{
    Candidate, CandidateKind, Collected, DeletedRepository, EndedWindows, Kept, MetadataError, Verdict,
    repository_set::{former_name, name_aside},
    sql::{
        blobs as blob_sql, collecting as collecting_sql, manifests as manifest_sql, restore as sql,
        retention as retention_sql,
    },
};

/// How many repositories whose time is over are looked for at once: other collectors may have the first ones.
const DUE_MAX: i64 = 16;

/// Gives a repository a name that is none, under which all that is in it lies until it is worked off. What is on its way
/// into it is waited for; what comes later finds no repository, or makes a new one. Refused if it has an immutable tag.
pub(super) struct SetAside(pub(super) RepositoryName);

#[async_trait]
impl Work for SetAside {
    type Output = ();

    async fn run(&self, tx: &Tx<'_>) -> Result<(), Fault> {
        let unknown = || MetadataError::RepositoryUnknown { name: self.0.clone() };
        let id = repositories::id(tx, &self.0).await?.ok_or_else(unknown)?;
        quota::repository_deleted(tx, id).await?;
        let (name, window_ms) = (name_aside(id, &self.0), tx.options.undelete_window_ms());
        tx.execute(sql::SET_ASIDE.postgres, &[&name, &window_ms, &id]).await?;
        // Now nothing is on its way into it any more.
        tags::refuse_if_any_is_immutable(tx, id).await
    }
}

pub(super) async fn deleted(connection: &Connection) -> Result<Vec<DeletedRepository>, Fault> {
    let mut repositories = Vec::new();
    for row in connection.all(sql::DELETED.postgres, &[]).await? {
        let (name, purge_at_ms): (String, i64) = (column(&row, 1)?, column(&row, 2)?);
        if let Some(name) = former_name(&name).and_then(|name| name.parse().ok()) {
            repositories.push(DeletedRepository { name, purge_at_ms });
        }
    }
    Ok(repositories)
}

pub(super) struct BringBack(pub(super) RepositoryName);

#[async_trait]
impl Work for BringBack {
    type Output = ();

    /// If the name is taken at this moment, this fails by its unique key, and finds it taken in the next run.
    async fn run(&self, tx: &Tx<'_>) -> Result<(), Fault> {
        let name = &self.0;
        if repositories::id(tx, name).await?.is_some() {
            return Err(MetadataError::RepositoryExists { name: name.clone() }.into());
        }
        let mut last = None;
        for row in tx.all(sql::DELETED.postgres, &[]).await? {
            let aside: String = column(&row, 1)?;
            if former_name(&aside) == Some(name.as_str()) {
                last = Some(column::<i64>(&row, 0)?);
            }
        }
        let id = last.ok_or_else(|| MetadataError::RepositoryUnknown { name: name.clone() })?;
        match tx.execute(sql::BRING_BACK.postgres, &[&name.as_str(), &id]).await? {
            0 => Err(Fault::Again),
            _ => quota::repository_restored(tx, id).await,
        }
    }
}

/// The numbers of some repositories whose time is over.
pub(super) async fn due(connection: &Connection) -> Result<Vec<i64>, Fault> {
    connection.all(sql::DUE.postgres, &[&DUE_MAX]).await?.iter().map(|row| column(row, 0)).collect()
}

/// Removes up to `limit` rows of a repository whose time is over, and the repository with the last of them. Nothing if
/// another collector has it.
pub(super) struct WorkOff {
    pub(super) id: i64,
    pub(super) limit: usize,
}

#[async_trait]
impl Work for WorkOff {
    type Output = Vec<Collected>;

    async fn run(&self, tx: &Tx<'_>) -> Result<Vec<Collected>, Fault> {
        let (id, limit) = (self.id, self.limit);
        let Some(due) = tx.one(own::LOCK_DUE_REPOSITORY, &[&id]).await? else { return Ok(Vec::new()) };
        let name: String = column(&due, 0)?;
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
        let name = former_name(&name).unwrap_or(&name).to_owned();
        if history(tx, id, limit).await? {
            return Ok(vec![gone(CandidateKind::History, name)]);
        }
        tx.execute(sql::DELETE_REPOSITORY.postgres, &[&id]).await?;
        Ok(vec![gone(CandidateKind::Repository, name)])
    }
}

/// Has a repository wait, since it could not be worked off. None if it is not there any more.
pub(super) struct Postpone {
    pub(super) id: i64,
    pub(super) by_ms: i64,
    pub(super) reason: String,
}

#[async_trait]
impl Work for Postpone {
    type Output = Option<Collected>;

    async fn run(&self, tx: &Tx<'_>) -> Result<Option<Collected>, Fault> {
        let Some(due) = tx.one(own::LOCK_DUE_REPOSITORY, &[&self.id]).await? else { return Ok(None) };
        let name: String = column(&due, 0)?;
        tx.execute(sql::POSTPONE.postgres, &[&self.by_ms, &self.id]).await?;
        let verdict = Verdict::Kept(Kept::Failed { reason: self.reason.clone() });
        let name = former_name(&name).unwrap_or(&name).to_owned();
        Ok(Some(Collected { verdict, ..gone(CandidateKind::Repository, name) }))
    }
}

fn gone(kind: CandidateKind, digest: String) -> Collected {
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
pub(super) struct EndWindows {
    pub(super) repository: Option<RepositoryName>,
    pub(super) limit: usize,
}

#[async_trait]
impl Work for EndWindows {
    type Output = EndedWindows;

    async fn run(&self, tx: &Tx<'_>) -> Result<EndedWindows, Fault> {
        let limit = signed(self.limit);
        let Some(repository) = &self.repository else {
            return Ok(EndedWindows {
                tags: tx.execute(sql::END_TAGS.postgres, &[&limit]).await?,
                manifests: tx.execute(sql::END_MANIFESTS.postgres, &[&limit]).await?,
                repositories: tx.execute(sql::END_REPOSITORIES.postgres, &[&limit]).await?,
            });
        };
        let mut ended = EndedWindows::default();
        if let Some(id) = repositories::id(tx, repository).await? {
            ended.tags = tx.execute(sql::END_TAGS_OF.postgres, &[&id, &limit]).await?;
            ended.manifests = tx.execute(sql::END_MANIFESTS_OF.postgres, &[&id, &limit]).await?;
        }
        for row in tx.all(sql::DELETED.postgres, &[]).await? {
            if former_name(column(&row, 1)?) == Some(repository.as_str()) {
                let id: i64 = column(&row, 0)?;
                ended.repositories += tx.execute(sql::END_REPOSITORY.postgres, &[&id]).await?;
            }
        }
        Ok(ended)
    }
}

async fn texts(tx: &Tx<'_>, sql: &'static str, id: i64, limit: usize) -> Result<Vec<String>, Fault> {
    tx.all(sql, &[&id, &signed(limit)]).await?.iter().map(|row| column(row, 0)).collect()
}

/// In any order: whoever lists a manifest goes as well.
async fn manifests(tx: &Tx<'_>, id: i64, limit: usize) -> Result<Vec<Collected>, Fault> {
    let digests = texts(tx, sql::SOME_MANIFESTS.postgres, id, limit).await?;
    for digest in &digests {
        let row: super::connection::Parameters<'_> = &[&id, digest];
        tx.execute(sql::DELETE_TAGS.postgres, row).await?;
        tx.execute(sql::UNLINK_CHILD.postgres, row).await?;
        tx.all(manifest_sql::DELETE_BLOBS.postgres, row).await?;
        tx.all(manifest_sql::DELETE_CHILDREN.postgres, row).await?;
        tx.execute(manifest_sql::DELETE.postgres, row).await?;
        tx.execute(retention_sql::FORGET_PULLS.postgres, row).await?;
        dequeue(tx, Garbage::Label(id), digest).await?;
    }
    Ok(digests.into_iter().map(|digest| gone(CandidateKind::Manifest, digest)).collect())
}

async fn blobs(tx: &Tx<'_>, id: i64, limit: usize) -> Result<Vec<Collected>, Fault> {
    let digests: Vec<Digest> = all_parsed(&tx.all(sql::SOME_BLOBS.postgres, &[&id, &signed(limit)]).await?)?;
    for digest in &digests {
        tx.execute(blob_sql::UNLINK.postgres, &[&id, &digest.to_string()]).await?;
    }
    enqueue_digests(tx, &digests, "repository deleted").await?;
    Ok(digests.into_iter().map(|digest| gone(CandidateKind::Blob, digest.to_string())).collect())
}

async fn running_uploads(tx: &Tx<'_>, id: i64, limit: usize) -> Result<Vec<Collected>, Fault> {
    let ids = texts(tx, sql::SOME_UPLOADS.postgres, id, limit).await?;
    if !ids.is_empty() {
        tx.execute(own::CANCEL_OF_REPOSITORY, &[&ids, &"repository deleted"]).await?;
    }
    Ok(ids.into_iter().map(|upload| gone(CandidateKind::Upload, upload)).collect())
}

async fn trash(tx: &Tx<'_>, id: i64, limit: usize) -> Result<Vec<Collected>, Fault> {
    let mut done = Vec::new();
    for row in tx.all(sql::SOME_TRASHED_TAGS.postgres, &[&id, &signed(limit)]).await? {
        let (name, digest): (String, String) = (column(&row, 0)?, column(&row, 1)?);
        tx.execute(collecting_sql::PURGE_TAG.postgres, &[&id, &name, &digest]).await?;
        done.push(gone(CandidateKind::TrashedTag, digest));
    }
    let mut blobs: Vec<Digest> = Vec::new();
    for digest in texts(tx, sql::SOME_TRASHED_MANIFESTS.postgres, id, limit - done.len()).await? {
        blobs.extend(manifests::purge(tx, id, &digest).await?);
        done.push(gone(CandidateKind::TrashedManifest, digest.clone()));
    }
    enqueue_digests(tx, &blobs, "purged").await?;
    Ok(done)
}

/// Removes the changes of its tags, so many at a time. Whether there were any.
pub(super) async fn history(tx: &Tx<'_>, id: i64, limit: usize) -> Result<bool, Fault> {
    let limit = signed(limit);
    let some: super::connection::Parameters<'_> = &[&id, &limit];
    let rows = tx.execute(sql::DELETE_HISTORY.postgres, some).await?
        + tx.execute(sql::DELETE_USAGE.postgres, some).await?;
    Ok(rows > 0)
}
