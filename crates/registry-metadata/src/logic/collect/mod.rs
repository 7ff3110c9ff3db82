//! Working off what may have become garbage: look again, under locks, then take it or leave it.
//!
//! A collection is done in [`Piece`]s: all of a piece is kept or nothing of it, so that one entry that can not be dealt with
//! keeps no other from it. On PostgreSQL each is a transaction of its own, on SQLite a savepoint of one transaction.

mod decide;
mod preview;
mod purge;

use std::{error::Error as StdError, ops::Deref};

use registry_database::{Fault, FromRow, Param, Row, Session, Text, params, signed};
use registry_digest::Digest;
use registry_types::{Cause, Location, RepositoryName};

pub(crate) use self::preview::preview;
use self::{
    decide::{Decision, Looking, decide},
    purge::Trashed,
};
use super::{
    Tx, deleted, empty, expiry, manifests,
    namespaces::{self, LookedAt},
    quota,
    reclaim::{enqueue, give_up},
    tuned::Tuned,
};
use crate::{
    Candidate, CollectRules, Collected, Kept, QueuePosition, Verdict,
    collecting::{FAILED_AGAIN_MS, Garbage, QueueKind, Reason, UNTAGGED},
    sql::{collecting as sql, postgres, reclaim as reclaim_sql},
};

/// Which actor the history names for what a collector deletes.
const ACTOR: &str = "gc";

/// An entry of the queue.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    kind: String,
    repository: i64,
    digest: String,
    reason: String,
}

impl FromRow for Entry {
    fn from_row(row: &Row<'_>) -> Result<Self, Fault> {
        let (kind, repository, digest, reason) = FromRow::from_row(row)?;
        Ok(Entry { kind, repository, digest, reason })
    }
}

impl Entry {
    fn key(&self) -> [Param<'_>; 3] {
        [(&self.kind).into(), self.repository.into(), (&self.digest).into()]
    }
}

/// A piece of a collection.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Decides about an entry of the queue, unless another collector has it.
    Reassess(Entry, CollectRules),
    /// Has the entry wait that failed for this reason.
    PostponeEntry(Entry, String),
    /// Removes so many things that can not be restored any more.
    Purge(usize),
    /// Removes one of them.
    PurgeOne(Trashed),
    /// Has it wait.
    PostponeTrashed(Trashed, String),
    /// Removes so many rows of the deleted repository of this number.
    RemoveDeleted(i64, usize),
    /// Has it wait.
    PostponeDeleted(i64, String),
    /// Removes so many rows of the repository of this number, in which nothing may be.
    RemoveEmpty(i64, usize),
    /// Has it wait, whose number and name these are.
    PostponeEmpty(i64, String, String),
    /// Puts some repositories into their namespaces that an earlier program has made beside this one.
    Place,
    /// Removes those of the namespaces of these numbers that nothing is in.
    RemoveUnused(Vec<i64>),
}

impl Piece {
    /// Does it, and tells what became of what.
    pub(crate) async fn run(&self, tx: &Tx<'_, impl Tuned>) -> Result<Vec<Collected>, Fault> {
        match self {
            Piece::Reassess(entry, rules) => Ok(reassess(tx, entry, *rules).await?.into_iter().collect()),
            Piece::PostponeEntry(entry, reason) => Ok(vec![postpone(tx, entry, reason).await?]),
            Piece::Purge(limit) => purge::all(tx, *limit).await,
            Piece::PurgeOne(trashed) => Ok(trashed.purge(tx).await?.into_iter().collect()),
            Piece::PostponeTrashed(trashed, reason) => {
                Ok(trashed.postpone(tx, reason).await?.into_iter().collect())
            }
            Piece::RemoveDeleted(id, limit) => deleted::remove_some(tx, *id, *limit).await,
            Piece::PostponeDeleted(id, reason) => {
                Ok(deleted::postpone(tx, *id, reason).await?.into_iter().collect())
            }
            Piece::RemoveEmpty(id, limit) => empty::remove(tx, *id, *limit).await,
            Piece::PostponeEmpty(id, name, reason) => Ok(vec![empty::postpone(tx, *id, name, reason).await?]),
            Piece::Place => {
                namespaces::place(tx.session, namespaces::Placing::default()).await?;
                Ok(Vec::new())
            }
            Piece::RemoveUnused(ids) => {
                namespaces::remove_unused(tx, ids).await?;
                Ok(Vec::new())
            }
        }
    }
}

/// What does the pieces of a collection.
#[allow(
    async_fn_in_trait,
    reason = "whether the futures may move between threads is known where the engine is"
)]
pub(crate) trait Pieces {
    /// What is looked with for what is due.
    type Reader<'a>: Deref<Target: Session + Sized>
    where
        Self: 'a;

    /// To look with for what is due.
    async fn reader(&self) -> Result<Self::Reader<'_>, Fault>;

    /// Does a piece; if it fails nothing of it is kept.
    async fn run(&self, piece: Piece) -> Result<Vec<Collected>, Fault>;
}

/// Does a piece, or another one instead if that fails because of the rows that it is about.
async fn attempt(
    pieces: &impl Pieces,
    piece: Piece,
    instead: impl FnOnce(String) -> Piece,
) -> Result<Vec<Collected>, Fault> {
    match pieces.run(piece).await {
        Err(fault) if fault.is_about_rows() => pieces.run(instead(why(fault))).await,
        done => done,
    }
}

/// Why something failed, with the cause of that.
fn why(fault: Fault) -> String {
    let error = fault.explain("collect garbage");
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// First what could be restored until now, since that puts digests on the queue.
pub(crate) async fn process_due(
    pieces: &impl Pieces,
    looked_at: &LookedAt,
    rules: CollectRules,
    limit: usize,
) -> Result<Vec<Collected>, Fault> {
    place(pieces).await?;
    remove_unused(pieces, looked_at).await?;
    let mut done = purge::process_due(pieces, limit).await?;
    done.extend(work_off_deleted(pieces, limit - done.len()).await?);
    done.extend(remove_empty(pieces, limit - done.len()).await?);
    let rest = signed(limit - done.len());
    let due: Vec<Entry> = pieces.reader().await?.all(sql::DUE, params![rest]).await?;
    for entry in due {
        let reassess = Piece::Reassess(entry.clone(), rules);
        done.extend(attempt(pieces, reassess, |reason| Piece::PostponeEntry(entry, reason)).await?);
    }
    Ok(done)
}

/// What is placed is not told of: nothing of it goes. What can not be placed stops nothing else.
async fn place(pieces: &impl Pieces) -> Result<(), Fault> {
    if namespaces::is_any_unplaced(&*pieces.reader().await?).await?
        && let Err(fault) = pieces.run(Piece::Place).await
    {
        namespaces::warn_not_placed(&fault.explain("place repositories"));
    }
    Ok(())
}

/// A namespace that goes is not told of: no byte goes with it. One that can not go is looked at again when all others were.
async fn remove_unused(pieces: &impl Pieces, looked_at: &LookedAt) -> Result<(), Fault> {
    let unused = namespaces::next_unused(&*pieces.reader().await?, looked_at).await?;
    if !unused.is_empty()
        && let Err(fault) = pieces.run(Piece::RemoveUnused(unused)).await
    {
        let error = why(fault);
        tracing::warn!(error, "some namespaces without a repository could not be removed: {error}");
    }
    Ok(())
}

async fn work_off_deleted(pieces: &impl Pieces, limit: usize) -> Result<Vec<Collected>, Fault> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    let due = deleted::due(&*pieces.reader().await?).await?;
    for id in due {
        let remove = Piece::RemoveDeleted(id, limit);
        let done = attempt(pieces, remove, |reason| Piece::PostponeDeleted(id, reason)).await?;
        // Otherwise another collector has it.
        if !done.is_empty() {
            return Ok(done);
        }
    }
    Ok(Vec::new())
}

async fn remove_empty(pieces: &impl Pieces, limit: usize) -> Result<Vec<Collected>, Fault> {
    let mut done = Vec::new();
    if limit == 0 {
        return Ok(done);
    }
    let due = empty::due(&*pieces.reader().await?).await?;
    for (id, name) in due {
        if done.len() >= limit {
            break;
        }
        let remove = Piece::RemoveEmpty(id, limit - done.len());
        done.extend(attempt(pieces, remove, |reason| Piece::PostponeEmpty(id, name, reason)).await?);
    }
    Ok(done)
}

/// Decides about an entry and does it. None if another collector has it.
async fn reassess(
    tx: &Tx<'_, impl Session>,
    entry: &Entry,
    rules: CollectRules,
) -> Result<Option<Collected>, Fault> {
    // The order of all transactions: the repository, entries of the queue, targets.
    match QueueKind::of(&entry.kind) {
        QueueKind::Manifest | QueueKind::Expiry => {
            tx.lock(postgres::LOCK_REPOSITORY_NUMBERED, params![entry.repository]).await?;
        }
        QueueKind::Blob => quota::stay(tx, &[entry.repository]).await?,
        QueueKind::Digest | QueueKind::Label => {}
    }
    let reason: Option<String> = tx.one(sql::LOCK_ENTRY, &entry.key()).await?;
    let Some(reason) = reason else { return Ok(None) };
    let entry = Entry { reason, ..entry.clone() };
    let digest = super::digest(&entry.digest)?;
    let verdict = match decide(tx.session, tx.options, &entry, rules, Looking::Locked).await? {
        Decision::Leave(kept) => {
            tx.execute(sql::DEQUEUE, &entry.key()).await?;
            Verdict::Kept(kept)
        }
        Decision::LookAgain { at_ms } => {
            look_again(tx, &entry, at_ms).await?;
            Verdict::Kept(Kept::Leased { until_ms: at_ms })
        }
        Decision::Hold { kept, at_ms } => {
            look_again(tx, &entry, at_ms).await?;
            Verdict::Kept(kept)
        }
        Decision::Take => {
            // The entry goes first, so that whatever is found out now may set it down again.
            tx.execute(sql::DEQUEUE, &entry.key()).await?;
            take(tx, &entry, &digest).await?
        }
    };
    Ok(Some(Collected { candidate: candidate(tx.session, entry).await?, verdict }))
}

async fn look_again(tx: &Tx<'_, impl Session>, entry: &Entry, at_ms: i64) -> Result<(), Fault> {
    let row = params![at_ms, &entry.kind, entry.repository, &entry.digest];
    tx.execute(sql::POSTPONE_UNTIL, row).await.map(drop)
}

async fn postpone(tx: &Tx<'_, impl Session>, entry: &Entry, reason: &str) -> Result<Collected, Fault> {
    let row = params![FAILED_AGAIN_MS, &entry.kind, entry.repository, &entry.digest];
    tx.execute(sql::POSTPONE_BY, row).await?;
    let verdict = Verdict::Kept(Kept::Failed { reason: reason.to_owned() });
    Ok(Collected { candidate: candidate(tx.session, entry.clone()).await?, verdict })
}

async fn take(tx: &Tx<'_, impl Session>, entry: &Entry, digest: &Digest) -> Result<Verdict, Fault> {
    let mut bytes = 0;
    match QueueKind::of(&entry.kind) {
        QueueKind::Blob => {
            if tx.execute(sql::UNLINK, params![entry.repository, &entry.digest]).await? > 0 {
                tx.quota.let_go(entry.repository, digest);
            }
            enqueue(tx, Garbage::Digest, digest, 0, Reason::Unlinked).await?;
        }
        QueueKind::Manifest => {
            drop(manifests::remove(tx, entry.repository, digest, &Cause::by(ACTOR)).await?)
        }
        QueueKind::Expiry => expiry::expire(tx, entry.repository, digest).await?,
        QueueKind::Digest | QueueKind::Label => bytes = remove_digest(tx, entry).await?,
    }
    Ok(Verdict::Removed { bytes })
}

/// Removes a digest, and the object with its last one. How many bytes that gives up.
async fn remove_digest(tx: &Tx<'_, impl Session>, entry: &Entry) -> Result<u64, Fault> {
    let object: Option<i64> = tx.one(sql::REMOVE_DIGEST, params![&entry.digest]).await?;
    let Some(object) = object else { return Ok(0) };
    let removed: Option<(Text<Location>, u64)> = tx.one(sql::REMOVE_OBJECT, params![object]).await?;
    let Some((Text(location), bytes)) = removed else { return Ok(0) };
    give_up(tx, &location, tx.options.read_grace_ms(), Reason::Collected).await?;
    Ok(bytes)
}

/// Puts untagged manifests on the queue. The collection that takes them looks at references and leases.
pub(crate) async fn enqueue_untagged(
    tx: &Tx<'_, impl Session>,
    after: Option<&QueuePosition>,
    limit: usize,
) -> Result<Option<QueuePosition>, Fault> {
    let manifests = manifests_after(tx.session, after, limit).await?;
    let kind = QueueKind::Manifest.as_str();
    let untagged = manifests.iter().filter(|(_, _, is_tagged)| !is_tagged);
    let rows: Vec<[Param<'_>; 4]> = untagged
        .map(|(repository, digest, _)| [kind.into(), (*repository).into(), digest.into(), UNTAGGED.into()])
        .collect();
    tx.execute_many(reclaim_sql::MARK, &rows).await?;
    Ok(position(&manifests, limit, kind))
}

/// A repository's number, a digest, and whether a tag leads to it.
type Manifest = (i64, String, bool);

async fn manifests_after(
    session: &impl Session,
    after: Option<&QueuePosition>,
    limit: usize,
) -> Result<Vec<Manifest>, Fault> {
    let (repository, digest) = after.map_or((0, ""), |after| (after.repository, after.digest.as_str()));
    session.all(sql::MANIFESTS_AFTER, params![repository, digest, signed(limit)]).await
}

/// Where the next page begins; none if this was the last.
fn position(manifests: &[Manifest], limit: usize, kind: &str) -> Option<QueuePosition> {
    let (repository, digest, _) = manifests.last().filter(|_| manifests.len() == limit)?;
    Some(QueuePosition { kind: kind.to_owned(), repository: *repository, digest: digest.clone() })
}

async fn candidate(session: &impl Session, entry: Entry) -> Result<Candidate, Fault> {
    let kind = QueueKind::of(&entry.kind).candidate();
    let repository = name_of(session, entry.repository).await?;
    Ok(Candidate { kind, repository, digest: entry.digest, reason: entry.reason })
}

async fn name_of(session: &impl Session, repository: i64) -> Result<Option<RepositoryName>, Fault> {
    let name: Option<String> = session.one(sql::REPOSITORY_NAME, params![repository]).await?;
    // A repository that was renamed aside has a name that is none.
    Ok(name.and_then(|name| name.parse().ok()))
}
