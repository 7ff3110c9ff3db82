//! Images and when they were pulled.

use registry_database::{Fault, FromRow, Param, Row, Session, params, signed};
use registry_digest::Digest;
use registry_types::{Cause, RepositoryName, Tag};

use super::{Keyed, Tx, manifests, repositories, tags};
use crate::{
    Image, ImagePage, ImagePosition, Options, PULLS_APART, Pull,
    clock::millis,
    collecting::Reason,
    retention::{Position, TaggedRow, UntaggedRow},
    sql::{manifests as manifest_sql, retention as sql},
};

pub(crate) async fn page(
    session: &impl Session,
    options: &Options,
    repository: &RepositoryName,
    after: Option<&ImagePosition>,
    limit: usize,
) -> Result<ImagePage, Fault> {
    let times: Option<(i64, Option<i64>)> = session.one(sql::TIMES, &[]).await?;
    let (now_ms, pulls_since) = times.unwrap_or_default();
    let first = Position::first();
    let (images, next) = match after.map_or(&first, |after| &after.0) {
        Position::Tags(after) => {
            let page = params![repository.as_str(), after, signed(limit)];
            let rows: Vec<Keyed<String, TaggedRow>> = session.all(sql::TAGGED_AFTER, page).await?;
            let next = ImagePosition::after_tags(rows.last().map(|row| row.key.clone()), rows.len() == limit);
            let image = |row: Keyed<_, TaggedRow>| Some(row.value?.image(options, repository));
            (rows.into_iter().filter_map(image).collect(), next)
        }
        Position::Manifests(after) => {
            let page = params![repository.as_str(), after, signed(limit)];
            let rows: Vec<Keyed<String, UntaggedRow>> = session.all(sql::UNTAGGED_AFTER, page).await?;
            let last = rows.last().map(|row| row.key.clone());
            let next = ImagePosition::after_manifests(last, rows.len() == limit);
            let image = |row: Keyed<_, UntaggedRow>| row.value?.image(options);
            (rows.into_iter().filter_map(image).collect(), next)
        }
    };
    Ok(ImagePage { images, next, now_ms, pulls_since_ms: pulls_since.unwrap_or(now_ms) })
}

/// Deletes an image that is as it was told.
pub(crate) async fn expire(
    tx: &Tx<'_, impl Session>,
    repository: &RepositoryName,
    image: &Image,
    cause: &Cause,
) -> Result<bool, Fault> {
    match (&image.hold, &image.tag) {
        (Some(_), _) => Ok(false),
        (None, Some(tag)) => expire_tag(tx, repository, image, tag, cause).await,
        (None, None) => expire_manifest(tx, repository, image, cause).await,
    }
}

/// Locks the tag, then looks in a new statement: a transaction that sets it is waited for, and seen.
async fn expire_tag(
    tx: &Tx<'_, impl Session>,
    repository: &RepositoryName,
    image: &Image,
    tag: &Tag,
    cause: &Cause,
) -> Result<bool, Fault> {
    let Some(id) = repositories::to_change(tx, repository).await? else { return Ok(false) };
    tx.events.name(id, repository);
    if tags::lock(tx.session, repository, tag).await?.is_none() {
        return Ok(false);
    }
    let now: Option<TaggedRow> = tx.one(sql::TAGGED, params![id, tag.as_str()]).await?;
    if now.map(|row| row.image(tx.options, repository)).as_ref() != Some(image) {
        return Ok(false);
    }
    tags::remove(tx, id, tag, cause).await?;
    manifests::dereferenced(tx, id, &[image.digest], Reason::Expired).await?;
    Ok(true)
}

/// Locks repository and manifest, as every deletion does, then looks in a new statement.
async fn expire_manifest(
    tx: &Tx<'_, impl Session>,
    repository: &RepositoryName,
    image: &Image,
    cause: &Cause,
) -> Result<bool, Fault> {
    let Some(id) = repositories::lock_to_change(tx, repository).await? else { return Ok(false) };
    tx.events.name(id, repository);
    let digest = image.digest.to_string();
    if !tx.exists(manifest_sql::LOCK, params![id, &digest]).await? {
        return Ok(false);
    }
    let now: Option<UntaggedRow> = tx.one(sql::UNTAGGED, params![id, &digest]).await?;
    if now.and_then(|row| row.image(tx.options)).as_ref() != Some(image) {
        return Ok(false);
    }
    manifests::remove(tx, id, &image.digest, cause).await?;
    Ok(true)
}

/// Notes pulls, in the order in which all transactions lock them.
pub(crate) async fn record(tx: &Tx<'_, impl Session>, pulls: &[Pull]) -> Result<(), Fault> {
    let mut pulls: Vec<&Pull> = pulls.iter().collect();
    pulls.sort_unstable();
    pulls.dedup();
    let digests: Vec<String> = pulls.iter().map(|pull| pull.digest.to_string()).collect();
    let rows: Vec<[Param<'_>; 3]> = pulls
        .iter()
        .zip(&digests)
        .map(|(pull, digest)| [pull.repository.as_str().into(), digest.into(), millis(PULLS_APART).into()])
        .collect();
    tx.execute(sql::BEGIN_PULLS, &[]).await?;
    tx.execute_many(sql::RECORD_PULL, &rows).await.map(drop)
}

impl FromRow for TaggedRow {
    fn from_row(row: &Row<'_>) -> Result<Self, Fault> {
        Ok(TaggedRow {
            tag: row.parsed(0)?,
            digest: row.parsed::<Digest>(1)?,
            created_at_ms: row.get(2)?,
            updated_at_ms: row.get(3)?,
            pulled: [row.get(4)?, row.get(5)?],
            is_companion: row.get(6)?,
        })
    }
}

impl FromRow for UntaggedRow {
    fn from_row(row: &Row<'_>) -> Result<Self, Fault> {
        Ok(UntaggedRow {
            digest: row.parsed(0)?,
            created_at_ms: row.get(1)?,
            lease_until_ms: row.get(2)?,
            now_ms: row.get(3)?,
            pulled: [row.get(4)?, row.get(5)?],
            is_referenced: row.get(6)?,
        })
    }
}
