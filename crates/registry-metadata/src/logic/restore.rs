//! What was deleted and can come back, and how tags changed. Each database restores in its own way.

use registry_database::{Fault, FromRow, Row, Session, Text, params, signed};
use registry_types::{RepositoryName, Tag};

use super::repositories;
use crate::{TagChange, Trashed, sql::restore as sql};

/// A page of the trash, or none if there is no such repository.
pub(crate) async fn page(
    session: &impl Session,
    repository: &RepositoryName,
    after: Option<&Trashed>,
    limit: usize,
) -> Result<Option<Vec<Trashed>>, Fault> {
    let Some(id) = repositories::id(session, repository).await? else { return Ok(None) };
    let after_digest = after.map(|after| after.digest.to_string()).unwrap_or_default();
    let (tag, manifest) = match after {
        None => (Some(""), ""),
        Some(Trashed { tag: Some(tag), .. }) => (Some(tag.as_str()), ""),
        Some(_) => (None, after_digest.as_str()),
    };
    let mut page: Vec<Trashed> = Vec::new();
    if let Some(tag) = tag {
        let tags: Vec<TrashedTag> =
            session.all(sql::TRASHED_TAGS, params![id, tag, &after_digest, signed(limit)]).await?;
        page.extend(tags.into_iter().map(|tag| tag.0));
    }
    let rest = params![id, manifest, signed(limit - page.len())];
    let manifests: Vec<TrashedManifest> = session.all(sql::TRASHED_MANIFESTS, rest).await?;
    page.extend(manifests.into_iter().map(|manifest| manifest.0));
    Ok(Some(page))
}

struct TrashedTag(Trashed);

impl FromRow for TrashedTag {
    fn from_row(row: &Row<'_>) -> Result<Self, Fault> {
        trashed(row, Some(row.parsed(0)?), 1).map(TrashedTag)
    }
}

struct TrashedManifest(Trashed);

impl FromRow for TrashedManifest {
    fn from_row(row: &Row<'_>) -> Result<Self, Fault> {
        trashed(row, None, 0).map(TrashedManifest)
    }
}

/// `first` is the column of the digest.
fn trashed(row: &Row<'_>, tag: Option<Tag>, first: usize) -> Result<Trashed, Fault> {
    Ok(Trashed {
        tag,
        digest: row.parsed(first)?,
        deleted_at_ms: row.get(first + 1)?,
        deleted_by: row.get(first + 2)?,
        purge_at_ms: row.get(first + 3)?,
    })
}

pub(crate) async fn history(
    session: &impl Session,
    repository: &RepositoryName,
    tag: &Tag,
    before: Option<i64>,
    limit: usize,
) -> Result<Vec<TagChange>, Fault> {
    let Some(id) = repositories::id(session, repository).await? else { return Ok(Vec::new()) };
    let page = params![id, tag.as_str(), before.unwrap_or(i64::MAX), signed(limit)];
    session.all(sql::HISTORY, page).await
}

impl FromRow for TagChange {
    fn from_row(row: &Row<'_>) -> Result<Self, Fault> {
        let (number, digest, at_ms, actor) = FromRow::from_row(row)?;
        let digest: Option<Text<_>> = digest;
        Ok(TagChange { number, digest: digest.map(|digest| digest.0), at_ms, actor })
    }
}
