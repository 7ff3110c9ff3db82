//! Tags and their history.

use registry_digest::Digest;
use registry_types::{RepositoryName, Tag};
use rusqlite::{Connection, params};

use super::{
    expiry,
    fault::Fault,
    manifests, repositories,
    statement::{all, execute, one, parsed, readable, signed},
    writer::Tx,
};
use crate::{
    MetadataError, Options, TAG_HISTORY_MAX,
    sql::{collecting as collecting_sql, tags as sql},
};

/// A page of tags, or none if there is no such repository.
pub(super) fn page(
    connection: &Connection,
    repository: &RepositoryName,
    after: Option<&str>,
    limit: usize,
) -> rusqlite::Result<Option<Vec<Tag>>> {
    let rest = params![repository.as_str(), after.unwrap_or_default(), i64::MAX];
    let tags: Vec<Tag> = readable(connection, sql::PAGE.sqlite, rest, limit, |row| parsed(row, 0))?;
    if tags.is_empty() && repositories::id(connection, repository)?.is_none() {
        return Ok(None);
    }
    Ok(Some(tags))
}

/// Makes a tag lead to a manifest that is here, if it may move. The history tells of changes only.
pub(super) fn set(
    tx: &Tx<'_>,
    repository: i64,
    tag: &Tag,
    digest: &Digest,
    actor: Option<&str>,
) -> Result<(), Fault> {
    let old: Option<Digest> =
        one(tx.connection(), sql::DIGEST.sqlite, params![repository, tag.as_str()], |row| parsed(row, 0))?;
    let is_immutable = Rule::of(tx.connection(), tx.options, repository)?.is_immutable(tag);
    let set = if is_immutable { sql::SET_ONCE.sqlite } else { sql::SET.sqlite };
    let rows = execute(tx.connection(), set, params![repository, tag.as_str(), digest.to_string()])?;
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

/// Which tags of a repository are immutable.
pub(super) struct Rule<'a> {
    options: &'a Options,
    /// The repository's name; none if no tag is immutable anywhere.
    repository: Option<String>,
}

impl<'a> Rule<'a> {
    pub(super) fn of(
        connection: &Connection,
        options: &'a Options,
        repository: i64,
    ) -> rusqlite::Result<Rule<'a>> {
        if options.immutable_tags.is_empty() {
            return Ok(Rule { options, repository: None });
        }
        let name = one(connection, collecting_sql::REPOSITORY_NAME.sqlite, [repository], |row| row.get(0))?;
        Ok(Rule { options, repository: name })
    }

    pub(super) fn is_immutable(&self, tag: &Tag) -> bool {
        self.repository.as_ref().is_some_and(|name| self.options.is_immutable(name, tag))
    }

    fn refuse(&self, tag: &Tag, digest: &Digest) -> Result<(), MetadataError> {
        match self.is_immutable(tag) {
            true => Err(MetadataError::TagImmutable { tag: tag.clone(), digest: *digest }),
            false => Ok(()),
        }
    }
}

/// Removes a tag unless it is immutable, and says what it led to; none if it is not there. A tag goes by this or by
/// [`remove_all`], whatever the reason, so that the rule holds for all reasons; a refusal takes back what was done.
pub(super) fn remove(
    tx: &Tx<'_>,
    repository: i64,
    tag: &Tag,
    actor: Option<&str>,
) -> Result<Option<Digest>, Fault> {
    let row = params![repository, tag.as_str()];
    let Some(digest) = one(tx.connection(), sql::DELETE.sqlite, row, |row| parsed::<Digest>(row, 0))? else {
        return Ok(None);
    };
    Rule::of(tx.connection(), tx.options, repository)?.refuse(tag, &digest)?;
    forget(tx, repository, tag, &digest, actor)?;
    Ok(Some(digest))
}

/// Removes all tags of a manifest unless one is immutable, and says which they were.
pub(super) fn remove_all(
    tx: &Tx<'_>,
    repository: i64,
    digest: &Digest,
    actor: Option<&str>,
) -> Result<Vec<Tag>, Fault> {
    let of_manifest = params![repository, digest.to_string()];
    let mut tags: Vec<Tag> =
        all(tx.connection(), sql::DELETE_OF_MANIFEST.sqlite, of_manifest, |row| parsed(row, 0))?;
    tags.sort_unstable();
    let rule = Rule::of(tx.connection(), tx.options, repository)?;
    for tag in &tags {
        rule.refuse(tag, digest)?;
        forget(tx, repository, tag, digest, actor)?;
    }
    Ok(tags)
}

/// Refuses if a repository has an immutable tag.
pub(super) fn refuse_if_any_is_immutable(tx: &Tx<'_>, repository: i64) -> Result<(), Fault> {
    const PAGE: i64 = 1000;
    let rule = Rule::of(tx.connection(), tx.options, repository)?;
    let mut after = String::new();
    while rule.repository.is_some() {
        let page = params![repository, after, PAGE];
        let tags: Vec<(Tag, Digest)> = all(tx.connection(), sql::OF_REPOSITORY.sqlite, page, |row| {
            Ok((parsed(row, 0)?, parsed(row, 1)?))
        })?;
        for (tag, digest) in &tags {
            rule.refuse(tag, digest)?;
        }
        match tags.last() {
            Some((last, _)) => after = last.to_string(),
            None => break,
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
    let id = repositories::id(tx.connection(), repository)?.ok_or_else(unknown)?;
    let digest = remove(tx, id, tag, actor)?.ok_or_else(unknown)?;
    Ok(manifests::dereferenced(tx, id, &digest, "tag deleted")?)
}

/// Removes a tag whose time is over, and has its manifest go if nothing else refers to it.
pub(super) fn expire(tx: &Tx<'_>, repository: i64, tag: &Tag, actor: &str) -> Result<(), Fault> {
    match remove(tx, repository, tag, Some(actor))? {
        Some(digest) => Ok(manifests::dereferenced(tx, repository, &digest, "expired")?),
        None => Ok(()),
    }
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
        execute(tx.connection(), sql::TRASH.sqlite, row)?;
    }
    remember(tx, repository, tag, None, actor)
}

/// Adds a change to the history of a tag, which keeps the newest ones only.
fn remember(
    tx: &Tx<'_>,
    repository: i64,
    tag: &Tag,
    digest: Option<&Digest>,
    actor: Option<&str>,
) -> rusqlite::Result<()> {
    let row = params![repository, tag.as_str(), digest.map(Digest::to_string), actor];
    execute(tx.connection(), sql::REMEMBER.sqlite, row)?;
    let oldest = params![repository, tag.as_str(), signed(TAG_HISTORY_MAX)];
    execute(tx.connection(), sql::FORGET_OLDEST.sqlite, oldest).map(drop)
}
