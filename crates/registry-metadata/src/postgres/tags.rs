//! Tags and their history.

use async_trait::async_trait;
use registry_digest::Digest;
use registry_types::{RepositoryName, Tag};

use super::{
    connection::Connection,
    fault::Fault,
    manifests, repositories,
    row::{all_parsed, parsed, signed},
    sql as own,
    transaction::{Tx, Work},
};
use crate::{MetadataError, sql::tags as sql};

/// A page of tags, or none if there is no such repository.
pub(super) async fn page(
    connection: &Connection,
    repository: &RepositoryName,
    after: Option<&str>,
    limit: usize,
) -> Result<Option<Vec<Tag>>, Fault> {
    let after = after.unwrap_or_default();
    let rows = connection.all(sql::PAGE, &[&repository.as_str(), &after, &signed(limit)]).await?;
    if rows.is_empty() && repositories::id(connection, repository).await?.is_none() {
        return Ok(None);
    }
    all_parsed(&rows).map(Some)
}

/// The statements of [`set`], for [`Connection::ready`].
pub(super) const SET: [&str; 3] = [own::INSERT_TAG, own::MOVE_TAG, sql::REMEMBER];

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
            false => tx.execute(sql::REMEMBER, &[&repository, &tag, &Some(&text), &actor]).await,
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

/// Refuses to take a manifest away from immutable tags.
pub(super) async fn refuse_if_immutable(
    tx: &Tx<'_>,
    id: i64,
    repository: &RepositoryName,
    digest: &Digest,
) -> Result<(), Fault> {
    if tx.options.immutable_tags.is_empty() {
        return Ok(());
    }
    let tags: Vec<Tag> = all_parsed(&tx.all(sql::OF_MANIFEST, &[&id, &digest.to_string()]).await?)?;
    match tags.into_iter().find(|tag| tx.options.is_immutable(repository.as_str(), tag)) {
        Some(tag) => Err(MetadataError::TagImmutable { tag, digest: *digest }.into()),
        None => Ok(()),
    }
}

/// Removes a tag whose time is over. Its manifest is for the caller to see to.
pub(super) async fn expire(
    tx: &Tx<'_>,
    repository: i64,
    tag: &Tag,
    digest: &Digest,
    actor: &str,
) -> Result<(), Fault> {
    if tx.exists(sql::DELETE, &[&repository, &tag.as_str()]).await? {
        forget(tx, repository, std::slice::from_ref(tag), digest, Some(actor)).await?;
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
        let row = tx.one(sql::DELETE, &[&id, &self.tag.as_str()]).await?.ok_or_else(unknown)?;
        let digest: Digest = parsed(&row, 0)?;
        if tx.options.is_immutable(self.repository.as_str(), &self.tag) {
            return Err(MetadataError::TagImmutable { tag: self.tag.clone(), digest }.into());
        }
        forget(tx, id, std::slice::from_ref(&self.tag), &digest, self.actor.as_deref()).await?;
        manifests::dereferenced(tx, id, &[digest], "tag deleted").await
    }
}

/// What is left of tags that were removed.
pub(super) async fn forget(
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
    tx.execute(own::REMEMBER_ALL, &[&repository, &tags, &actor]).await.map(drop)
}
