//! What is to be done about an entry of the queue.

use registry_database::{Fault, Session, Statement, params};

use super::Entry;
use crate::{
    CollectRules, Kept, Options,
    collecting::{QueueKind, goes_untagged},
    logic::expiry,
    sql::{collecting as sql, manifests as manifest_sql},
};

/// What is to be done about an entry.
pub(super) enum Decision {
    Take,
    /// Leave it, and forget the entry.
    Leave(Kept),
    /// Leave it, and look again at that time.
    LookAgain {
        at_ms: i64,
    },
    /// Likewise, for another reason than that its time has not come.
    Hold {
        kept: Kept,
        at_ms: i64,
    },
}

/// Whether the decision is carried out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Looking {
    /// The row that is looked at is locked before.
    Locked,
    /// Nothing is locked: a preview.
    Only,
}

impl Looking {
    /// Of a statement that locks the row and one that does not.
    fn by(self, locked: Statement, only: Statement) -> Statement {
        if self == Looking::Locked { locked } else { only }
    }
}

/// Looks only. What takes something away has the condition in its statement once more, or a foreign key.
pub(super) async fn decide(
    session: &impl Session,
    options: &Options,
    entry: &Entry,
    rules: CollectRules,
    looking: Looking,
) -> Result<Decision, Fault> {
    match QueueKind::of(&entry.kind) {
        QueueKind::Blob => decide_blob(session, entry, looking).await,
        QueueKind::Manifest => decide_manifest(session, entry, rules, looking).await,
        QueueKind::Expiry => decide_expiry(session, options, entry).await,
        QueueKind::Digest | QueueKind::Label => decide_digest(session, entry, looking).await,
    }
}

async fn decide_blob(session: &impl Session, entry: &Entry, looking: Looking) -> Result<Decision, Fault> {
    let lease_of = looking.by(sql::LOCK_BLOB_LEASE, sql::BLOB_LEASE);
    let Some(lease_until) = lease(session, lease_of, entry).await? else {
        return Ok(Decision::Leave(Kept::Gone));
    };
    if session.exists(sql::BLOB_REFERENCED, params![entry.repository, &entry.digest]).await? {
        // The transaction that removes the last reference grants a lease and sets the blob down again.
        return Ok(Decision::Leave(Kept::Referenced));
    }
    Ok(lease_until.map_or(Decision::Take, |at_ms| Decision::LookAgain { at_ms }))
}

async fn decide_manifest(
    session: &impl Session,
    entry: &Entry,
    rules: CollectRules,
    looking: Looking,
) -> Result<Decision, Fault> {
    let lease_of = looking.by(sql::LOCK_MANIFEST_LEASE, sql::MANIFEST_LEASE);
    let Some(lease_until) = lease(session, lease_of, entry).await? else {
        return Ok(Decision::Leave(Kept::Gone));
    };
    let here = params![entry.repository, &entry.digest];
    if session.one(manifest_sql::REFERENCED, here).await? != Some(false) {
        return Ok(Decision::Leave(Kept::Referenced));
    }
    if let Some(at_ms) = lease_until {
        return Ok(Decision::LookAgain { at_ms });
    }
    Ok(if goes_untagged(&entry.reason) || rules.untagged {
        Decision::Take
    } else {
        Decision::Leave(Kept::Untagged)
    })
}

async fn decide_expiry(session: &impl Session, options: &Options, entry: &Entry) -> Result<Decision, Fault> {
    let expiring = expiry::expiring_tags(session, options, entry.repository, &entry.digest).await?;
    Ok(match (expiring.due.is_empty(), expiring.again) {
        (false, _) => Decision::Take,
        (true, None) => Decision::Leave(Kept::Gone),
        (true, Some(again)) if expiring.is_held => {
            Decision::Hold { kept: Kept::Immutable, at_ms: again.at_ms }
        }
        (true, Some(again)) => Decision::LookAgain { at_ms: again.at_ms },
    })
}

async fn decide_digest(session: &impl Session, entry: &Entry, looking: Looking) -> Result<Decision, Fault> {
    let object = looking.by(sql::LOCK_DIGEST_OBJECT, sql::DIGEST_OBJECT);
    let digest = params![&entry.digest];
    Ok(if !session.exists(object, digest).await? {
        Decision::Leave(Kept::Gone)
    } else if session.exists(sql::DIGEST_LINKED, digest).await? {
        Decision::Leave(Kept::Referenced)
    } else if session.exists(sql::DIGEST_TRASHED, digest).await? {
        Decision::Leave(Kept::Trash)
    } else {
        Decision::Take
    })
}

/// None if there is no such row; else the end of its lease, if that is still to come.
async fn lease(
    session: &impl Session,
    statement: Statement,
    entry: &Entry,
) -> Result<Option<Option<i64>>, Fault> {
    let lease: Option<(i64, i64)> = session.one(statement, params![entry.repository, &entry.digest]).await?;
    Ok(lease.map(|(until_ms, now_ms)| (until_ms > now_ms).then_some(until_ms)))
}
