//! Taking over the content of another registry, whose bytes stay where they are. While it is not
//! [finished](finish), that registry is right: what is adopted changes only here.

use registry_database::{Fault, FromRow, Row, Session, Text, params, signed};
use registry_digest::Digest;
use registry_types::{Cause, RepositoryName, Tag};

use super::{
    Tx, all_readable, manifests, namespaces,
    page::Page,
    reclaim, tags,
    tuned::{SetTag, Tuned},
};
use crate::{
    AdoptedBlob, AdoptedTag, AdoptionState, MetadataError,
    adoption::{ACTOR, ToAdopt},
    collecting::Reason,
    sql::{adoption as sql, repositories as repository_sql},
};

impl FromRow for AdoptionState {
    fn from_row(row: &Row<'_>) -> Result<Self, Fault> {
        Ok(AdoptionState { began_at_ms: row.get(0)?, ran_at_ms: row.get(1)?, finished_at_ms: row.get(2)? })
    }
}

impl FromRow for AdoptedTag {
    fn from_row(row: &Row<'_>) -> Result<Self, Fault> {
        Ok(AdoptedTag { tag: row.parsed(0)?, digest: row.parsed(1)?, updated_at_ms: row.get(2)? })
    }
}

pub(crate) async fn state(session: &impl Session) -> Result<Option<AdoptionState>, Fault> {
    session.one(sql::STATE, &[]).await
}

/// Begins the first import; a later one finds what is there.
pub(crate) async fn begin(tx: &Tx<'_, impl Session>) -> Result<AdoptionState, Fault> {
    tx.execute(sql::BEGIN, &[]).await?;
    tx.execute(sql::EXPECT_PROGRAM, &[]).await?;
    unfinished(tx.session).await
}

async fn unfinished(session: &impl Session) -> Result<AdoptionState, Fault> {
    match state(session).await? {
        Some(state) if state.finished_at_ms.is_none() => Ok(state),
        _ => Err(MetadataError::AdoptionFinished.into()),
    }
}

/// Notes that a run that began at that time came to its end.
pub(crate) async fn ran(tx: &Tx<'_, impl Session>, began_at_ms: i64) -> Result<(), Fault> {
    unfinished(tx.session).await?;
    tx.execute(sql::RAN, params![began_at_ms]).await.map(drop)
}

/// Takes a part of a repository over. Answers which manifests could not go, because an index lists them.
pub(crate) async fn adopt(tx: &Tx<'_, impl Tuned>, what: &ToAdopt) -> Result<Vec<Digest>, Fault> {
    tx.take_over();
    unfinished(tx.session).await?;
    let (adoption, cause) = (&what.adoption, Cause::by(ACTOR));
    let name = &adoption.repository;
    let id = repository(tx, name).await?;
    for blob in &adoption.blobs {
        take_blob(tx, id, blob).await?;
    }
    for (put, pushed_at_ms) in &what.puts {
        Tuned::put_manifest(tx, put).await?;
        let digest = put.digest.to_string();
        tx.execute(sql::PUSHED_AT, params![*pushed_at_ms, id, &digest]).await?;
    }
    for AdoptedTag { tag, digest, updated_at_ms } in &adoption.tags {
        let set = SetTag { repository: id, name, tag, digest, cause: &cause };
        Tuned::set_tag(tx, &set).await?;
        tags::date(tx, id, tag, *updated_at_ms).await?;
    }
    for tag in &adoption.gone_tags {
        remove_tag(tx, id, tag, &cause).await?;
    }
    remove_manifests(tx, name, &adoption.gone_manifests, &cause).await
}

/// The number of a repository that is adopted from now on. One that clients have pushed to here is refused.
async fn repository(tx: &Tx<'_, impl Session>, name: &RepositoryName) -> Result<i64, Fault> {
    let found: Option<(i64, Option<i64>)> = tx.one(sql::REPOSITORY, params![name.as_str()]).await?;
    let id = match found {
        Some((id, Some(_))) => return Ok(id),
        Some((id, None)) if tx.exists(repository_sql::HAS_CONTENT, params![id]).await? => {
            return Err(MetadataError::RepositoryExists { name: name.clone() }.into());
        }
        Some((id, None)) => id,
        None => namespaces::make(tx, name).await?,
    };
    tx.execute(sql::ADOPT, params![id]).await?;
    Ok(id)
}

/// Puts a blob into the repository. Its key may have been given up since an earlier run: that is taken back.
async fn take_blob(tx: &Tx<'_, impl Tuned>, repository: i64, blob: &AdoptedBlob) -> Result<(), Fault> {
    let (digest, location) = (blob.digest.to_string(), blob.location.as_str());
    let size_bytes = i64::try_from(blob.size_bytes).unwrap_or(i64::MAX);
    tx.execute(sql::TAKE_OBJECT, params![location, size_bytes, &digest]).await?;
    tx.execute(sql::TAKE_DIGEST, params![&digest, location]).await?;
    reclaim::done(tx.session, &blob.location).await?;
    Tuned::link_blob(tx, repository, &blob.digest).await
}

async fn remove_tag(
    tx: &Tx<'_, impl Session>,
    repository: i64,
    tag: &Tag,
    cause: &Cause,
) -> Result<(), Fault> {
    match tags::remove(tx, repository, tag, cause).await? {
        Some(digest) => manifests::dereferenced(tx, repository, &[digest], Reason::TagDeleted).await,
        None => Ok(()),
    }
}

/// Removes manifests, an index before what it lists.
async fn remove_manifests(
    tx: &Tx<'_, impl Session>,
    name: &RepositoryName,
    gone: &[Digest],
    cause: &Cause,
) -> Result<Vec<Digest>, Fault> {
    let mut rest = gone.to_vec();
    loop {
        let before = rest.len();
        let mut kept = Vec::new();
        for digest in rest {
            match manifests::delete_unlisted(tx, name, &digest, cause).await? {
                true => {}
                false => kept.push(digest),
            }
        }
        if kept.len() == before || kept.is_empty() {
            return Ok(kept);
        }
        rest = kept;
    }
}

/// Repositories that are adopted, strictly after a name.
pub(crate) async fn page(
    session: &impl Session,
    after: &str,
    limit: usize,
) -> Result<Vec<RepositoryName>, Fault> {
    Page::of(sql::PAGE).first_readable(session, after, limit).await
}

pub(crate) async fn tags_of(
    session: &impl Session,
    name: &RepositoryName,
    after: &str,
    limit: usize,
) -> Result<Vec<AdoptedTag>, Fault> {
    all_readable(session, sql::TAGS, params![name.as_str(), after, signed(limit)]).await
}

pub(crate) async fn manifests_of(
    session: &impl Session,
    name: &RepositoryName,
    after: &str,
    limit: usize,
) -> Result<Vec<Digest>, Fault> {
    let rows: Vec<Text<Digest>> =
        all_readable(session, sql::MANIFESTS, params![name.as_str(), after, signed(limit)]).await?;
    Ok(rows.into_iter().map(|row| row.0).collect())
}

pub(crate) async fn blobs_of(
    session: &impl Session,
    name: &RepositoryName,
    after: &str,
    limit: usize,
) -> Result<Vec<Digest>, Fault> {
    let rows: Vec<Text<Digest>> =
        all_readable(session, sql::BLOBS, params![name.as_str(), after, signed(limit)]).await?;
    Ok(rows.into_iter().map(|row| row.0).collect())
}

/// From now on the content is this registry's: no further run takes anything over.
pub(crate) async fn finish(tx: &Tx<'_, impl Session>) -> Result<(), Fault> {
    if state(tx.session).await?.is_none() {
        return Err(MetadataError::AdoptionFinished.into());
    }
    tx.execute(sql::FINISH, &[]).await.map(drop)
}

/// Has no bytes of another registry deleted that lie below a folder, whose name ends in a slash.
pub(crate) async fn keep_bytes(tx: &Tx<'_, impl Session>, folder: &str) -> Result<(), Fault> {
    // The next character after the slash ends the range of all keys below the folder.
    let end = format!("{}0", folder.trim_end_matches('/'));
    tx.execute(sql::KEEP_BYTES, params![folder, &end]).await.map(drop)
}

/// Opens so many repositories to clients; whether there may be more. After the last one, bytes that were given up may be
/// deleted.
pub(crate) async fn release(tx: &Tx<'_, impl Session>, limit: usize) -> Result<bool, Fault> {
    if state(tx.session).await?.is_none_or(|state| state.finished_at_ms.is_none()) {
        return Ok(false);
    }
    let released = tx.execute(sql::RELEASE, params![signed(limit)]).await?;
    if released > 0 {
        return Ok(true);
    }
    tx.execute(sql::LET_RECLAIM, params![tx.options.read_grace_ms(), reclaim::NEVER_MS]).await?;
    Ok(false)
}
