//! Setting tags. How they go is in `logic::tags`.

use registry_database::sqlite::{
    at_once,
    statement::{execute, one, parsed, signed},
};
use registry_digest::Digest;
use registry_types::{Cause, Tag};
use rusqlite::params;

use super::{fault::Fault, writer::Tx};
use crate::{
    MetadataError, TAG_HISTORY_MAX,
    collecting::Reason,
    logic::{expiry, manifests, tags::Rule},
    sql::tags as sql,
};

/// Makes a tag lead to a manifest that is here, if it may move; answers what it led to before. The history tells of changes only.
pub(super) fn set(
    tx: &Tx<'_>,
    repository: i64,
    tag: &Tag,
    digest: &Digest,
    cause: &Cause,
) -> Result<Option<Digest>, Fault> {
    let old: Option<Digest> =
        one(tx.connection(), sql::DIGEST.sqlite, params![repository, tag.as_str()], |row| parsed(row, 0))?;
    let is_immutable = at_once(Rule::of(tx.session, tx.options, repository))?.is_immutable(tag);
    let set = if is_immutable { sql::SET_ONCE.sqlite } else { sql::SET.sqlite };
    let rows = execute(tx.connection(), set, params![repository, tag.as_str(), digest.to_string()])?;
    if let (0, Some(digest)) = (rows, old) {
        return Err(MetadataError::TagImmutable { tag: tag.clone(), digest }.into());
    }
    if old.is_none() {
        tx.quota.add_tag(repository);
    }
    at_once(expiry::begin(tx, repository, digest))?;
    if old.as_ref() == Some(digest) {
        return Ok(old);
    }
    remember(tx, repository, tag, digest, cause)?;
    if let Some(old) = old {
        at_once(manifests::dereferenced(tx, repository, &[old], Reason::TagMoved))?;
    }
    Ok(old)
}

/// Adds a change to the history of a tag, which keeps the newest ones only.
fn remember(tx: &Tx<'_>, repository: i64, tag: &Tag, digest: &Digest, cause: &Cause) -> rusqlite::Result<()> {
    let row = params![repository, tag.as_str(), digest.to_string(), cause.actor()];
    execute(tx.connection(), sql::REMEMBER.sqlite, row)?;
    let oldest = params![repository, tag.as_str(), signed(TAG_HISTORY_MAX)];
    execute(tx.connection(), sql::FORGET_OLDEST.sqlite, oldest).map(drop)
}
