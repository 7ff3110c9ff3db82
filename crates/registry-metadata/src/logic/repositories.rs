//! Repositories and their catalog.

use registry_database::{Fault, Session, Text, params, signed};
use registry_digest::Digest;
use registry_types::{NameRange, RepositoryName, Viewer};

use super::{Tx, all_readable, namespaces, page::Page};
use crate::{
    MetadataError,
    sql::{adoption as adoption_sql, postgres, repositories as sql},
};

/// The store of bytes that the database belongs to.
pub(crate) async fn store_id(session: &impl Session) -> Result<Option<String>, Fault> {
    let id: Option<Option<String>> = session.one(sql::STORE_ID, &[]).await?;
    Ok(id.flatten())
}

/// Binds the database to a store of bytes, if it is bound to none; refuses if it is bound to another one.
pub(crate) async fn bind_store(tx: &Tx<'_, impl Session>, asked: &str) -> Result<(), Fault> {
    tx.execute(sql::BIND_STORE, params![asked]).await?;
    match store_id(tx.session).await? {
        Some(bound) if bound != asked => {
            Err(MetadataError::StoreMismatch { bound, asked: asked.to_owned() }.into())
        }
        _ => Ok(()),
    }
}

pub(crate) async fn id(session: &impl Session, name: &RepositoryName) -> Result<Option<i64>, Fault> {
    session.one(sql::ID, params![name.as_str()]).await
}

/// As [`id`], of a repository in which a client changes something: one that another registry still changes is refused.
pub(crate) async fn to_change(
    tx: &Tx<'_, impl Session>,
    name: &RepositoryName,
) -> Result<Option<i64>, Fault> {
    let found = tx.one(adoption_sql::REPOSITORY, params![name.as_str()]).await?;
    refuse_adopted(tx, name, found)
}

/// The same, with the row locked against transactions that delete or restore something in the repository.
pub(crate) async fn lock_to_change(
    tx: &Tx<'_, impl Session>,
    name: &RepositoryName,
) -> Result<Option<i64>, Fault> {
    let found = tx.one(sql::LOCK_TO_CHANGE, params![name.as_str()]).await?;
    refuse_adopted(tx, name, found)
}

fn refuse_adopted<S>(
    tx: &Tx<'_, S>,
    name: &RepositoryName,
    found: Option<(i64, Option<i64>)>,
) -> Result<Option<i64>, Fault> {
    match found {
        Some((_, Some(_))) if !tx.takes_over() => {
            Err(MetadataError::RepositoryAdopted { name: name.clone() }.into())
        }
        found => Ok(found.map(|(id, _)| id)),
    }
}

/// The repository's number; a new one if it is new.
pub(crate) async fn create(tx: &Tx<'_, impl Session>, name: &RepositoryName) -> Result<i64, Fault> {
    if let Some(id) = to_change(tx, name).await? {
        return Ok(id);
    }
    namespaces::make(tx, name).await
}

/// Takes a repository off the catalog if its last manifest went. Deletions in it come here one after the other; see
/// `sql::postgres` on what else waits.
pub(crate) async fn unlist_if_empty(tx: &Tx<'_, impl Session>, id: i64) -> Result<(), Fault> {
    if tx.exists(sql::HAS_MANIFESTS, params![id]).await? {
        return Ok(());
    }
    tx.lock(postgres::LOCK_REPOSITORY_ALONE, params![id]).await?;
    tx.execute(sql::UNLIST, params![tx.options.lease_ms(), id]).await.map(drop)
}

/// How many ranges of a viewer the first statement of a page is asked about, and how many times as many the next one. A page is
/// mostly full after the first few ranges; where there is nothing in thousands of them, a few statements find that out.
const RANGES_FIRST: usize = 16;
const RANGES_GROWTH: usize = 8;

/// The names in the catalog that a viewer sees. Only what its ranges have is read: a statement is asked about many ranges, and reads
/// of each of them at most the rest of the page.
pub(crate) async fn page(
    session: &impl Session,
    viewer: &Viewer,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<RepositoryName>, Fault> {
    let after = after.unwrap_or_default();
    if viewer.sees_everything() {
        return Page::of(sql::PAGE_AFTER).first_readable(session, after, limit).await;
    }
    let begin = viewer.ranges().partition_point(|range| range.high() <= after);
    let (mut ranges, mut at_once, mut page) = (&viewer.ranges()[begin..], RANGES_FIRST, Vec::new());
    while !ranges.is_empty() && page.len() < limit {
        let (now, later) = ranges.split_at(at_once.min(ranges.len()));
        page.extend(page_of_ranges(session, now, after, limit - page.len()).await?);
        (ranges, at_once) = (later, at_once * RANGES_GROWTH);
    }
    if viewer.sees_public() {
        page.extend(
            Page::of(sql::PUBLIC_AFTER).first_readable::<RepositoryName>(session, after, limit).await?,
        );
        page.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
        page.dedup();
        page.truncate(limit);
    }
    Ok(page)
}

async fn page_of_ranges(
    session: &impl Session,
    ranges: &[NameRange],
    after: &str,
    limit: usize,
) -> Result<Vec<RepositoryName>, Fault> {
    // No name has a space.
    let ranges: Vec<String> =
        ranges.iter().map(|range| format!("{} {}", range.low(), range.high())).collect();
    let ranges: Vec<&str> = ranges.iter().map(String::as_str).collect();
    let page = Page { before: params![&ranges[..]], ..Page::of(sql::PAGE_OF_RANGES) };
    page.first_readable(session, after, limit).await
}

/// How many of the repositories that a viewer sees are asked whether they have a blob, if it does not see all.
const LOOKED_AT_MAX: usize = 1000;

/// Repositories that a viewer sees and that have a blob. What the viewer does not see is not read, so that the time it takes tells
/// nothing of that.
pub(crate) async fn with_blob(
    session: &impl Session,
    viewer: &Viewer,
    digest: &Digest,
    limit: usize,
) -> Result<Vec<RepositoryName>, Fault> {
    let digest = digest.to_string();
    let found: Vec<Text<RepositoryName>> = if viewer.sees_everything() {
        all_readable(session, sql::WITH_BLOB, params![&digest, signed(limit)]).await?
    } else {
        let names = page(session, viewer, None, LOOKED_AT_MAX).await?;
        let names: Vec<&str> = names.iter().map(RepositoryName::as_str).collect();
        all_readable(session, sql::WITH_BLOB_AMONG, params![&names[..], &digest, signed(limit)]).await?
    };
    Ok(found.into_iter().map(|name| name.0).collect())
}
