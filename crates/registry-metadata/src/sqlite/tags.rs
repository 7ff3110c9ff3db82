//! Tags and their history.

use registry_digest::Digest;
use registry_types::{RepositoryName, Tag};
use rusqlite::{Connection, params};

use super::{
    expiry,
    fault::Fault,
    manifests, repositories,
    statement::{all, execute, one, parsed, signed},
    writer::Tx,
};
use crate::{
    MetadataError,
    sql::{collecting as collecting_sql, tags as sql},
};

/// A page of tags, or none if there is no such repository.
pub(super) fn page(
    connection: &Connection,
    repository: &RepositoryName,
    after: Option<&str>,
    limit: usize,
) -> rusqlite::Result<Option<Vec<Tag>>> {
    let page = params![repository.as_str(), after.unwrap_or_default(), signed(limit)];
    let tags: Vec<Tag> = all(connection, sql::PAGE, page, |row| parsed(row, 0))?;
    if tags.is_empty() && repositories::id(connection, repository)?.is_none() {
        return Ok(None);
    }
    Ok(Some(tags))
}

/// Makes a tag lead to a manifest that is here. The history tells of changes only.
pub(super) fn set(
    tx: &Tx<'_>,
    repository: i64,
    tag: &Tag,
    digest: &Digest,
    actor: Option<&str>,
) -> Result<(), Fault> {
    let old: Option<Digest> =
        one(tx.connection, sql::DIGEST, params![repository, tag.as_str()], |row| parsed(row, 0))?;
    let is_immutable = is_immutable(tx, repository, tag)?;
    let set = if is_immutable { sql::SET_ONCE } else { sql::SET };
    let rows = execute(tx.connection, set, params![repository, tag.as_str(), digest.to_string()])?;
    if let (0, Some(digest)) = (rows, old) {
        return Err(MetadataError::TagImmutable { tag: tag.clone(), digest }.into());
    }
    if old.is_none() {
        tx.quota.add_tag(repository);
    }
    expiry::begin(tx, repository, digest)?;
    if old.as_ref() == Some(digest) {
        return Ok(());
    }
    remember(tx, repository, tag, Some(digest), actor)?;
    old.map_or(Ok(()), |old| Ok(manifests::dereferenced(tx, repository, &old, "tag moved")?))
}

fn is_immutable(tx: &Tx<'_>, repository: i64, tag: &Tag) -> rusqlite::Result<bool> {
    if tx.options.immutable_tags.is_empty() {
        return Ok(false);
    }
    let name: Option<String> =
        one(tx.connection, collecting_sql::REPOSITORY_NAME, [repository], |row| row.get(0))?;
    Ok(name.is_some_and(|name| tx.options.is_immutable(&name, tag)))
}

/// Refuses to take a manifest away from immutable tags.
pub(super) fn refuse_if_immutable(tx: &Tx<'_>, repository: i64, digest: &Digest) -> Result<(), Fault> {
    if tx.options.immutable_tags.is_empty() {
        return Ok(());
    }
    let of_manifest = params![repository, digest.to_string()];
    let tags: Vec<Tag> = all(tx.connection, sql::OF_MANIFEST, of_manifest, |row| parsed(row, 0))?;
    for tag in tags {
        if is_immutable(tx, repository, &tag)? {
            return Err(MetadataError::TagImmutable { tag, digest: *digest }.into());
        }
    }
    Ok(())
}

pub(super) fn delete(
    tx: &Tx<'_>,
    repository: &RepositoryName,
    tag: &Tag,
    actor: Option<&str>,
) -> Result<(), Fault> {
    let unknown = || MetadataError::TagUnknown { tag: tag.clone() };
    let id = repositories::id(tx.connection, repository)?.ok_or_else(unknown)?;
    let digest: Digest = one(tx.connection, sql::DELETE, params![id, tag.as_str()], |row| parsed(row, 0))?
        .ok_or_else(unknown)?;
    if is_immutable(tx, id, tag)? {
        return Err(MetadataError::TagImmutable { tag: tag.clone(), digest }.into());
    }
    forget(tx, id, tag, &digest, actor)?;
    Ok(manifests::dereferenced(tx, id, &digest, "tag deleted")?)
}

/// Removes all tags of a manifest, and says which.
pub(super) fn delete_all(
    tx: &Tx<'_>,
    repository: i64,
    digest: &Digest,
    actor: Option<&str>,
) -> rusqlite::Result<Vec<Tag>> {
    let of_manifest = params![repository, digest.to_string()];
    let mut tags: Vec<Tag> = all(tx.connection, sql::DELETE_OF_MANIFEST, of_manifest, |row| parsed(row, 0))?;
    tags.sort_unstable();
    for tag in &tags {
        forget(tx, repository, tag, digest, actor)?;
    }
    Ok(tags)
}

/// Removes a tag whose time is over, and has its manifest go if nothing else refers to it.
pub(super) fn expire(
    tx: &Tx<'_>,
    repository: i64,
    tag: &Tag,
    digest: &Digest,
    actor: &str,
) -> rusqlite::Result<()> {
    let row = params![repository, tag.as_str()];
    let removed: Option<String> = one(tx.connection, sql::DELETE, row, |row| row.get(0))?;
    if removed.is_none() {
        return Ok(());
    }
    forget(tx, repository, tag, digest, Some(actor))?;
    manifests::dereferenced(tx, repository, digest, "expired")
}

/// What is left of a tag that was removed.
fn forget(
    tx: &Tx<'_>,
    repository: i64,
    tag: &Tag,
    digest: &Digest,
    actor: Option<&str>,
) -> rusqlite::Result<()> {
    tx.quota.remove_tags(repository, 1);
    let window_ms = tx.options.undelete_window_ms();
    if window_ms > 0 {
        let row = params![repository, tag.as_str(), digest.to_string(), actor, window_ms];
        execute(tx.connection, sql::TRASH, row)?;
    }
    remember(tx, repository, tag, None, actor)
}

fn remember(
    tx: &Tx<'_>,
    repository: i64,
    tag: &Tag,
    digest: Option<&Digest>,
    actor: Option<&str>,
) -> rusqlite::Result<()> {
    let row = params![repository, tag.as_str(), digest.map(Digest::to_string), actor];
    execute(tx.connection, sql::REMEMBER, row).map(drop)
}
