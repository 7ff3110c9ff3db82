//! Tags and their history.

use async_trait::async_trait;
use registry_digest::Digest;
use registry_types::{RepositoryName, Tag};

use super::{
    connection::{Connection, Parameters},
    fault::Fault,
    manifests, repositories,
    row::{all_parsed, column, parsed},
    sql as own,
    transaction::{Tx, Work},
};
use crate::{
    MetadataError, Options, TAG_HISTORY_MAX,
    expiry::DueTag,
    logic::pipeline,
    sql::{collecting as collecting_sql, tags as sql},
};

/// A page of tags, or none if there is no such repository.
pub(super) async fn page(
    connection: &Connection,
    repository: &RepositoryName,
    after: Option<&str>,
    limit: usize,
) -> Result<Option<Vec<Tag>>, Fault> {
    let page =
        repositories::Page { before: &[&repository.as_str()], ..repositories::Page::of(sql::PAGE.postgres) };
    let tags: Vec<Tag> = page.first_readable(connection, after.unwrap_or_default(), limit).await?;
    if tags.is_empty() && repositories::id(connection, repository).await?.is_none() {
        return Ok(None);
    }
    Ok(Some(tags))
}

/// The statements of [`set`], for [`Connection::ready`].
pub(super) const SET: [&str; 3] = [own::INSERT_TAG, own::MOVE_TAG, own::REMEMBER];

/// How many changes of a tag are left when one is about to be added.
const OTHERS_MAX: i64 = TAG_HISTORY_MAX as i64 - 1;

/// A tag to set, and what it led to when it was locked.
pub(super) struct Change<'a> {
    pub(super) repository: i64,
    /// The repository's name.
    pub(super) name: &'a RepositoryName,
    pub(super) tag: &'a Tag,
    pub(super) old: Option<&'a Digest>,
    pub(super) actor: Option<&'a str>,
}

/// Makes a tag lead to a manifest that is here. The history tells of changes only. What it led to, and when it expires, is
/// for the caller to see to: [`manifests::dereferenced`], [`expiry::begin`](super::expiry::begin).
pub(super) async fn set(tx: &Tx<'_>, change: Change<'_>, digest: &Digest) -> Result<(), Fault> {
    let Change { repository, name, tag, old, actor } = change;
    if let Some(old) = old.filter(|old| *old != digest)
        && tx.options.is_immutable(name.as_str(), tag)
    {
        return Err(MetadataError::TagImmutable { tag: tag.clone(), digest: *old }.into());
    }
    let (tag, text) = (tag.as_str(), digest.to_string());
    let write = if old.is_some() { own::MOVE_TAG } else { own::INSERT_TAG };
    let remember = async {
        match old == Some(digest) {
            true => Ok(1),
            false => tx.execute(own::REMEMBER, &[&repository, &tag, &OTHERS_MAX, &Some(&text), &actor]).await,
        }
    };
    let (written, _) = pipeline!(async { tx.execute(write, &[&repository, &tag, &text]).await }, remember,)?;
    if old.is_none() {
        tx.quota.add_tag(repository);
    }
    // Somebody set the tag since the look, when there was nothing to lock.
    if written == 0 { Err(Fault::Again) } else { Ok(()) }
}

/// What a tag leads to, with the tag locked, if it is there.
pub(super) async fn lock(tx: &Tx<'_>, name: &RepositoryName, tag: &Tag) -> Result<Option<Digest>, Fault> {
    let row = tx.one(own::LOCK_TAGS, &[&name.as_str(), &vec![tag.as_str()]]).await?;
    row.map(|row| parsed(&row, 1)).transpose()
}

/// Which tags of a repository are immutable.
pub(super) struct Rule<'a> {
    options: &'a Options,
    /// The repository's name; none if no tag is immutable anywhere.
    repository: Option<String>,
}

impl<'a> Rule<'a> {
    pub(super) async fn of(
        connection: &Connection,
        options: &'a Options,
        repository: i64,
    ) -> Result<Rule<'a>, Fault> {
        if options.immutable_tags.is_empty() {
            return Ok(Rule { options, repository: None });
        }
        let name = connection.one(collecting_sql::REPOSITORY_NAME.postgres, &[&repository]).await?;
        Ok(Rule { options, repository: name.map(|row| column(&row, 0)).transpose()? })
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
/// [`remove_all`], whatever the reason, so that the rule holds for all reasons; a refusal ends the transaction. Its manifest
/// is for the caller to see to.
pub(super) async fn remove(
    tx: &Tx<'_>,
    repository: i64,
    tag: &Tag,
    actor: Option<&str>,
) -> Result<Option<Digest>, Fault> {
    let Some(row) = tx.one(sql::DELETE.postgres, &[&repository, &tag.as_str()]).await? else {
        return Ok(None);
    };
    let digest: Digest = parsed(&row, 0)?;
    Rule::of(tx, tx.options, repository).await?.refuse(tag, &digest)?;
    forget(tx, repository, std::slice::from_ref(tag), &digest, actor).await?;
    Ok(Some(digest))
}

/// As [`remove`], of a tag that was seen without a lock: if it was set since then it stays, and nothing is done.
pub(super) async fn remove_as_seen(
    tx: &Tx<'_>,
    repository: i64,
    digest: &Digest,
    seen: &DueTag,
    actor: Option<&str>,
) -> Result<(), Fault> {
    let DueTag { tag, updated_at_ms } = seen;
    let row: Parameters<'_> = &[&repository, &tag.as_str(), &digest.to_string(), updated_at_ms];
    if tx.execute(own::DELETE_AS_SEEN, row).await? == 0 {
        return Ok(());
    }
    Rule::of(tx, tx.options, repository).await?.refuse(tag, digest)?;
    forget(tx, repository, std::slice::from_ref(tag), digest, actor).await
}

/// Removes all tags of a manifest unless one is immutable, and says which they were.
pub(super) async fn remove_all(
    tx: &Tx<'_>,
    repository: i64,
    digest: &Digest,
    actor: Option<&str>,
) -> Result<Vec<Tag>, Fault> {
    let of_manifest: Parameters<'_> = &[&repository, &digest.to_string()];
    let mut tags: Vec<Tag> = all_parsed(&tx.all(sql::DELETE_OF_MANIFEST.postgres, of_manifest).await?)?;
    if tags.is_empty() {
        return Ok(tags);
    }
    tags.sort_unstable();
    let rule = Rule::of(tx, tx.options, repository).await?;
    for tag in &tags {
        rule.refuse(tag, digest)?;
    }
    forget(tx, repository, &tags, digest, actor).await?;
    Ok(tags)
}

/// Refuses if a repository has an immutable tag.
pub(super) async fn refuse_if_any_is_immutable(tx: &Tx<'_>, repository: i64) -> Result<(), Fault> {
    const PAGE: i64 = 1000;
    let rule = Rule::of(tx, tx.options, repository).await?;
    let mut after = String::new();
    while rule.repository.is_some() {
        let page = tx.all(sql::OF_REPOSITORY.postgres, &[&repository, &after, &PAGE]).await?;
        for row in &page {
            rule.refuse(&parsed(row, 0)?, &parsed(row, 1)?)?;
        }
        match page.last() {
            Some(last) => after = column(last, 0)?,
            None => break,
        }
    }
    Ok(())
}

/// Removes a tag and leaves its manifest.
pub(super) struct Delete {
    pub(super) repository: RepositoryName,
    pub(super) tag: Tag,
    pub(super) actor: Option<String>,
}

#[async_trait]
impl Work for Delete {
    type Output = ();

    async fn run(&self, tx: &Tx<'_>) -> Result<(), Fault> {
        let unknown = || MetadataError::TagUnknown { tag: self.tag.clone() };
        let id = repositories::id(tx, &self.repository).await?.ok_or_else(unknown)?;
        let digest = remove(tx, id, &self.tag, self.actor.as_deref()).await?.ok_or_else(unknown)?;
        manifests::dereferenced(tx, id, &[digest], "tag deleted").await
    }
}

/// What is left of tags that were removed.
async fn forget(
    tx: &Tx<'_>,
    repository: i64,
    tags: &[Tag],
    digest: &Digest,
    actor: Option<&str>,
) -> Result<(), Fault> {
    tx.quota.remove_tags(repository, tags.len());
    let tags: Vec<&str> = tags.iter().map(Tag::as_str).collect();
    let (text, window_ms) = (digest.to_string(), tx.options.undelete_window_ms());
    if window_ms > 0 {
        tx.execute(own::TRASH_ALL, &[&repository, &tags, &text, &actor, &window_ms]).await?;
    }
    tx.execute(own::REMEMBER_ALL, &[&repository, &tags, &actor, &OTHERS_MAX]).await.map(drop)
}
