//! Tags: listing them, and how they go. Each database sets them in its own way.

use registry_database::{Fault, Param, Session, Text, params, signed};
use registry_digest::Digest;
use registry_events::Kind;
use registry_types::{Cause, RepositoryName, Tag};

use super::{Tx, all_parsed, events::Happened, manifests, page::Page, repositories};
use crate::{
    MetadataError, Options, TAG_HISTORY_MAX,
    collecting::Reason,
    expiry::DueTag,
    sql::{collecting as collecting_sql, tags as sql},
};

/// A page of tags, or none if there is no such repository.
pub(crate) async fn page(
    session: &impl Session,
    repository: &RepositoryName,
    after: Option<&str>,
    limit: usize,
) -> Result<Option<Vec<Tag>>, Fault> {
    let page = Page { before: params![repository.as_str()], ..Page::of(sql::PAGE) };
    let tags: Vec<Tag> = page.first_readable(session, after.unwrap_or_default(), limit).await?;
    if tags.is_empty() && repositories::id(session, repository).await?.is_none() {
        return Ok(None);
    }
    Ok(Some(tags))
}

/// What a tag leads to, with the tag locked, if it is there.
pub(crate) async fn lock(
    session: &impl Session,
    repository: &RepositoryName,
    tag: &Tag,
) -> Result<Option<Digest>, Fault> {
    let row: Option<(String, Text<Digest>)> =
        session.one(sql::LOCK, params![repository.as_str(), &[tag.as_str()][..]]).await?;
    Ok(row.map(|(_, digest)| digest.0))
}

/// Notes when another registry set a tag.
pub(crate) async fn date(
    tx: &Tx<'_, impl Session>,
    repository: i64,
    tag: &Tag,
    updated_at_ms: i64,
) -> Result<(), Fault> {
    tx.execute(sql::DATE, params![updated_at_ms, repository, tag.as_str()]).await.map(drop)
}

/// Which tags of a repository are immutable.
pub(crate) struct Rule<'a> {
    options: &'a Options,
    /// The repository's name; none if no tag is immutable anywhere.
    repository: Option<String>,
}

impl<'a> Rule<'a> {
    pub(crate) async fn of(
        session: &impl Session,
        options: &'a Options,
        repository: i64,
    ) -> Result<Rule<'a>, Fault> {
        if options.immutable_tags.is_empty() {
            return Ok(Rule { options, repository: None });
        }
        let repository = session.one(collecting_sql::REPOSITORY_NAME, params![repository]).await?;
        Ok(Rule { options, repository })
    }

    pub(crate) fn is_immutable(&self, tag: &Tag) -> bool {
        self.repository.as_ref().is_some_and(|name| self.options.is_immutable(name, tag))
    }

    fn refuse(&self, tag: &Tag, digest: &Digest) -> Result<(), MetadataError> {
        match self.is_immutable(tag) {
            true => Err(MetadataError::TagImmutable { tag: tag.clone(), digest: *digest }),
            false => Ok(()),
        }
    }
}

/// Removes a tag and leaves its manifest.
pub(crate) async fn delete(
    tx: &Tx<'_, impl Session>,
    repository: &RepositoryName,
    tag: &Tag,
    cause: &Cause,
) -> Result<(), Fault> {
    let unknown = || MetadataError::TagUnknown { tag: tag.clone() };
    let id = repositories::to_change(tx, repository).await?.ok_or_else(unknown)?;
    tx.events.name(id, repository);
    let digest = remove(tx, id, tag, cause).await?.ok_or_else(unknown)?;
    manifests::dereferenced(tx, id, &[digest], Reason::TagDeleted).await
}

/// Removes a tag unless it is immutable, and says what it led to; none if it is not there. A tag goes by this, by
/// [`remove_as_seen`] or by [`remove_all`], whatever the reason, so that the rule holds for all reasons; a refusal ends the
/// transaction. Its manifest is for the caller to see to.
pub(crate) async fn remove(
    tx: &Tx<'_, impl Session>,
    repository: i64,
    tag: &Tag,
    cause: &Cause,
) -> Result<Option<Digest>, Fault> {
    let removed: Option<Text<Digest>> = tx.one(sql::DELETE, params![repository, tag.as_str()]).await?;
    let Some(Text(digest)) = removed else { return Ok(None) };
    Rule::of(tx.session, tx.options, repository).await?.refuse(tag, &digest)?;
    forget(tx, repository, std::slice::from_ref(tag), &digest, cause).await?;
    Ok(Some(digest))
}

/// As [`remove`], of a tag that was seen without a lock: if it was set since then it stays, and nothing is done.
pub(crate) async fn remove_as_seen(
    tx: &Tx<'_, impl Session>,
    repository: i64,
    digest: &Digest,
    seen: &DueTag,
    cause: &Cause,
) -> Result<(), Fault> {
    let DueTag { tag, updated_at_ms } = seen;
    let text = digest.to_string();
    let row = params![repository, tag.as_str(), &text, *updated_at_ms];
    if tx.execute(sql::DELETE_AS_SEEN, row).await? == 0 {
        return Ok(());
    }
    Rule::of(tx.session, tx.options, repository).await?.refuse(tag, digest)?;
    forget(tx, repository, std::slice::from_ref(tag), digest, cause).await
}

/// Removes all tags of a manifest unless one is immutable, and says which they were.
pub(crate) async fn remove_all(
    tx: &Tx<'_, impl Session>,
    repository: i64,
    digest: &Digest,
    cause: &Cause,
) -> Result<Vec<Tag>, Fault> {
    let text = digest.to_string();
    let of_manifest = params![repository, &text];
    let mut tags: Vec<Tag> = all_parsed(tx.session, sql::DELETE_OF_MANIFEST, of_manifest).await?;
    if tags.is_empty() {
        return Ok(tags);
    }
    tags.sort_unstable();
    let rule = Rule::of(tx.session, tx.options, repository).await?;
    for tag in &tags {
        rule.refuse(tag, digest)?;
    }
    forget(tx, repository, &tags, digest, cause).await?;
    Ok(tags)
}

/// Refuses if a repository has an immutable tag.
pub(crate) async fn refuse_if_any_is_immutable(
    tx: &Tx<'_, impl Session>,
    repository: i64,
) -> Result<(), Fault> {
    const PAGE: i64 = 1000;
    let rule = Rule::of(tx.session, tx.options, repository).await?;
    let mut after = String::new();
    while rule.repository.is_some() {
        let page: Vec<(Text<Tag>, Text<Digest>)> =
            tx.all(sql::OF_REPOSITORY, params![repository, &after, PAGE]).await?;
        for (tag, digest) in &page {
            rule.refuse(&tag.0, &digest.0)?;
        }
        match page.last() {
            Some((last, _)) => after = last.0.to_string(),
            None => break,
        }
    }
    Ok(())
}

/// Notes that a tag was set, unless it leads to where it led before.
pub(crate) fn note_set<S>(
    tx: &Tx<'_, S>,
    kind: Kind,
    repository: i64,
    (tag, digest): (&Tag, &Digest),
    before: Option<&Digest>,
    cause: &Cause,
) {
    if before != Some(digest) {
        tx.events.note(|| Happened::to_tag(kind, repository, tag, Some(digest), before, cause));
    }
}

/// What is left of tags that were removed: a row in the trash, and a change in the history, which keeps the newest ones only.
async fn forget(
    tx: &Tx<'_, impl Session>,
    repository: i64,
    tags: &[Tag],
    digest: &Digest,
    cause: &Cause,
) -> Result<(), Fault> {
    tx.quota.remove_tags(repository, tags.len());
    for tag in tags {
        let kind = Kind::TagDeleted;
        tx.events.note(|| Happened::to_tag(kind, repository, tag, None, Some(digest), cause));
    }
    let names: Vec<&str> = tags.iter().map(Tag::as_str).collect();
    let (digest, window_ms) = (digest.to_string(), tx.undelete_window_ms());
    let newest = Param::Number(signed(TAG_HISTORY_MAX));
    let oldest: Vec<[Param<'_>; 3]> =
        names.iter().map(|name| [repository.into(), (*name).into(), newest]).collect();
    tx.ready(&[sql::TRASH_ALL.postgres, sql::REMEMBER_DELETED.postgres, sql::FORGET_OLDEST.postgres]).await?;
    pipeline!(
        async {
            match window_ms {
                0 => Ok(0),
                window_ms => {
                    let row = params![repository, &digest, cause.actor(), window_ms, &names[..]];
                    tx.execute(sql::TRASH_ALL, row).await
                }
            }
        },
        tx.execute(sql::REMEMBER_DELETED, params![repository, cause.actor(), &names[..]]),
        tx.execute_many(sql::FORGET_OLDEST, &oldest),
    )?;
    Ok(())
}
