//! Setting tags. How they go is in `logic::tags`.

use registry_digest::Digest;
use registry_types::{Cause, RepositoryName, Tag};

use super::{fault::Fault, sql as own, transaction::Tx};
use crate::{MetadataError, TAG_HISTORY_MAX, logic::pipeline};

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
    pub(super) cause: &'a Cause,
}

/// Makes a tag lead to a manifest that is here. The history tells of changes only. What it led to, and when it expires, is
/// for the caller to see to: [`manifests::dereferenced`](crate::logic::manifests::dereferenced), [`expiry::begin`](crate::logic::expiry::begin).
pub(super) async fn set(tx: &Tx<'_>, change: Change<'_>, digest: &Digest) -> Result<(), Fault> {
    let Change { repository, name, tag, old, cause } = change;
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
            false => {
                tx.execute(own::REMEMBER, &[&repository, &tag, &OTHERS_MAX, &Some(&text), &cause.actor()])
                    .await
            }
        }
    };
    let (written, _) = pipeline!(async { tx.execute(write, &[&repository, &tag, &text]).await }, remember,)?;
    if old.is_none() {
        tx.quota.add_tag(repository);
    }
    // Somebody set the tag since the look, when there was nothing to lock.
    if written == 0 { Err(Fault::Again) } else { Ok(()) }
}
