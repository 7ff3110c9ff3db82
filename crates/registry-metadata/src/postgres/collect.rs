//! Working off what may have become garbage: look again, under locks, then take it or leave it. Each candidate is a
//! transaction of its own.

use std::sync::Arc;

use async_trait::async_trait;
use registry_digest::Digest;
use registry_types::{Location, RepositoryName};
use tokio_postgres::Row;

use super::{
    connection::Connection,
    deleted, empty, expiry,
    fault::Fault,
    manifests,
    pool::Pool,
    quota,
    reclaim::{Garbage, enqueue, enqueue_digests, give_up},
    row::{column, parsed, signed, unsigned},
    sql as own,
    transaction::{Tx, Work, try_transact},
};
use crate::{
    Candidate, CandidateKind, CollectRules, Collected, Kept, Options, Preview, QueuePosition, Verdict,
    collecting::{FAILED_AGAIN_MS, QueueKind, UNTAGGED, goes_untagged},
    sql::{collecting as sql, manifests as manifest_sql},
};

/// Whom the history names for what a collector deletes.
const ACTOR: &str = "gc";

/// An entry of the queue, or a row of the trash in the same form.
#[derive(Clone, Debug)]
struct Entry {
    kind: String,
    repository: i64,
    digest: String,
    reason: String,
}

/// What is to be done about an entry.
enum Decision {
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

/// Whether whoever decides also acts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Looking {
    /// The row that is looked at is locked before.
    Locked,
    /// Nothing is locked: a preview.
    Only,
}

/// First what could be restored until now, since that puts digests on the queue.
pub(super) async fn work_off(
    pool: &Arc<Pool>,
    options: &Arc<Options>,
    rules: CollectRules,
    limit: usize,
) -> Result<Vec<Collected>, Fault> {
    let mut done = purge(pool, options, limit).await?;
    done.extend(work_off_deleted(pool, options, limit - done.len()).await?);
    done.extend(empty::remove_due(pool, options, limit - done.len()).await?);
    let due = pool.connection().await?.all(sql::DUE.postgres, &[&signed(limit - done.len())]).await?;
    for row in due {
        let entry = entry(&row)?;
        match try_transact(pool, options, (), Look { entry: entry.clone(), rules }).await {
            Ok(collected) => done.extend(collected),
            // One entry that can not be dealt with must not keep the others from it.
            Err(fault) if fault.is_about_rows() => {
                let reason = fault.explain("collect garbage").to_string();
                done.push(try_transact(pool, options, (), Postpone { entry, reason }).await?);
            }
            Err(fault) => return Err(fault),
        }
    }
    Ok(done)
}

async fn work_off_deleted(
    pool: &Arc<Pool>,
    options: &Arc<Options>,
    limit: usize,
) -> Result<Vec<Collected>, Fault> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    let due = deleted::due(&*pool.connection().await?).await?;
    for id in due {
        let done = match try_transact(pool, options, (), deleted::WorkOff { id, limit }).await {
            Err(fault) if fault.is_about_rows() => {
                let reason = fault.explain("work off a deleted repository").to_string();
                let postpone = deleted::Postpone { id, by_ms: FAILED_AGAIN_MS, reason };
                try_transact(pool, options, (), postpone).await?.into_iter().collect()
            }
            worked_off => worked_off?,
        };
        // Otherwise another collector has it.
        if !done.is_empty() {
            return Ok(done);
        }
    }
    Ok(Vec::new())
}

/// All that is due in one transaction; if that fails, each in its own, and what fails then waits.
async fn purge(pool: &Arc<Pool>, options: &Arc<Options>, limit: usize) -> Result<Vec<Collected>, Fault> {
    match try_transact(pool, options, (), Purge { limit }).await {
        Err(fault) if fault.is_about_rows() => {}
        purged => return purged,
    }
    let mut done = Vec::new();
    for trashed in due_trash(&*pool.connection().await?, limit).await? {
        match try_transact(pool, options, (), PurgeOne(trashed.clone())).await {
            Ok(purged) => done.extend(purged),
            Err(fault) if fault.is_about_rows() => {
                let reason = fault.explain("purge the trash").to_string();
                done.extend(try_transact(pool, options, (), PostponePurge { trashed, reason }).await?);
            }
            Err(fault) => return Err(fault),
        }
    }
    Ok(done)
}

struct Postpone {
    entry: Entry,
    reason: String,
}

#[async_trait]
impl Work for Postpone {
    type Output = Collected;

    async fn run(&self, tx: &Tx<'_>) -> Result<Collected, Fault> {
        let Entry { kind, repository, digest, .. } = &self.entry;
        tx.execute(sql::POSTPONE_BY.postgres, &[&FAILED_AGAIN_MS, kind, repository, digest]).await?;
        let verdict = Verdict::Kept(Kept::Failed { reason: self.reason.clone() });
        Ok(Collected { candidate: candidate(tx, self.entry.clone()).await?, verdict })
    }
}

/// One candidate. None if another collector has it.
struct Look {
    entry: Entry,
    rules: CollectRules,
}

#[async_trait]
impl Work for Look {
    type Output = Option<Collected>;

    async fn run(&self, tx: &Tx<'_>) -> Result<Option<Collected>, Fault> {
        let mut entry = self.entry.clone();
        // Everybody's order: the repository, entries of the queue, targets.
        if matches!(QueueKind::of(&entry.kind), QueueKind::Manifest | QueueKind::Expiry) {
            tx.exists(own::LOCK_REPOSITORY_NUMBERED, &[&entry.repository]).await?;
        } else if QueueKind::of(&entry.kind) == QueueKind::Blob {
            quota::stay(tx, &[entry.repository]).await?;
        }
        let key: super::connection::Parameters<'_> =
            &[&self.entry.kind, &self.entry.repository, &self.entry.digest];
        let Some(row) = tx.one(own::LOCK_DUE, key).await? else { return Ok(None) };
        entry.reason = column(&row, 0)?;
        let digest: Digest = entry.digest.parse().map_err(|error| Fault::Unreadable(Box::new(error)))?;
        let verdict = match decide(tx, tx.options, &entry, self.rules, Looking::Locked).await? {
            Decision::Leave(kept) => {
                tx.execute(sql::DEQUEUE.postgres, key).await?;
                Verdict::Kept(kept)
            }
            Decision::LookAgain { at_ms } => {
                let row: super::connection::Parameters<'_> =
                    &[&at_ms, &entry.kind, &entry.repository, &entry.digest];
                tx.execute(sql::POSTPONE_UNTIL.postgres, row).await?;
                Verdict::Kept(Kept::Leased { until_ms: at_ms })
            }
            Decision::Hold { kept, at_ms } => {
                let row: super::connection::Parameters<'_> =
                    &[&at_ms, &entry.kind, &entry.repository, &entry.digest];
                tx.execute(sql::POSTPONE_UNTIL.postgres, row).await?;
                Verdict::Kept(kept)
            }
            Decision::Take => {
                // The entry goes first, so that whatever is found out now may set it down again.
                tx.execute(sql::DEQUEUE.postgres, key).await?;
                take(tx, &entry, &digest).await?
            }
        };
        Ok(Some(Collected { candidate: candidate(tx, entry).await?, verdict }))
    }
}

async fn decide(
    connection: &Connection,
    options: &Options,
    entry: &Entry,
    rules: CollectRules,
    looking: Looking,
) -> Result<Decision, Fault> {
    match QueueKind::of(&entry.kind) {
        QueueKind::Blob => decide_blob(connection, entry, looking).await,
        QueueKind::Manifest => decide_manifest(connection, entry, rules, looking).await,
        QueueKind::Expiry => decide_expiry(connection, options, entry).await,
        QueueKind::Digest | QueueKind::Label => decide_digest(connection, entry, looking).await,
    }
}

async fn decide_blob(connection: &Connection, entry: &Entry, looking: Looking) -> Result<Decision, Fault> {
    let lease_of = if looking == Looking::Locked { own::LOCK_BLOB_LEASE } else { sql::BLOB_LEASE.postgres };
    let Some(lease_until) = lease(connection, lease_of, entry).await? else {
        return Ok(Decision::Leave(Kept::Gone));
    };
    if connection.exists(sql::BLOB_REFERENCED.postgres, &[&entry.repository, &entry.digest]).await? {
        // Who removes the last reference grants a lease and sets it down again.
        return Ok(Decision::Leave(Kept::Referenced));
    }
    Ok(lease_until.map_or(Decision::Take, |at_ms| Decision::LookAgain { at_ms }))
}

async fn decide_manifest(
    connection: &Connection,
    entry: &Entry,
    rules: CollectRules,
    looking: Looking,
) -> Result<Decision, Fault> {
    let lease_of =
        if looking == Looking::Locked { own::LOCK_MANIFEST_LEASE } else { sql::MANIFEST_LEASE.postgres };
    let Some(lease_until) = lease(connection, lease_of, entry).await? else {
        return Ok(Decision::Leave(Kept::Gone));
    };
    let referenced =
        connection.one(manifest_sql::REFERENCED.postgres, &[&entry.repository, &entry.digest]).await?;
    if referenced.map(|row| column::<i32>(&row, 0)).transpose()? != Some(0) {
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

async fn decide_expiry(connection: &Connection, options: &Options, entry: &Entry) -> Result<Decision, Fault> {
    let expiring = expiry::look(connection, options, entry.repository, &entry.digest).await?;
    Ok(match (expiring.due.is_empty(), expiring.again) {
        (false, _) => Decision::Take,
        (true, None) => Decision::Leave(Kept::Gone),
        (true, Some(again)) if expiring.is_held => {
            Decision::Hold { kept: Kept::Immutable, at_ms: again.at_ms }
        }
        (true, Some(again)) => Decision::LookAgain { at_ms: again.at_ms },
    })
}

async fn decide_digest(connection: &Connection, entry: &Entry, looking: Looking) -> Result<Decision, Fault> {
    let object =
        if looking == Looking::Locked { own::LOCK_DIGEST_OBJECT } else { sql::DIGEST_OBJECT.postgres };
    if !connection.exists(object, &[&entry.digest]).await? {
        return Ok(Decision::Leave(Kept::Gone));
    }
    if connection.exists(sql::DIGEST_LINKED.postgres, &[&entry.digest]).await? {
        return Ok(Decision::Leave(Kept::Referenced));
    }
    if connection.exists(sql::DIGEST_TRASHED.postgres, &[&entry.digest]).await? {
        return Ok(Decision::Leave(Kept::Trash));
    }
    Ok(Decision::Take)
}

/// None if there is no such row; else the end of its lease, if that is still to come.
async fn lease(
    connection: &Connection,
    sql: &'static str,
    entry: &Entry,
) -> Result<Option<Option<i64>>, Fault> {
    let Some(row) = connection.one(sql, &[&entry.repository, &entry.digest]).await? else { return Ok(None) };
    let (until_ms, now_ms): (i64, i64) = (column(&row, 0)?, column(&row, 1)?);
    Ok(Some((until_ms > now_ms).then_some(until_ms)))
}

async fn take(tx: &Tx<'_>, entry: &Entry, digest: &Digest) -> Result<Verdict, Fault> {
    let mut bytes = 0;
    match QueueKind::of(&entry.kind) {
        QueueKind::Blob => {
            if tx.execute(sql::UNLINK.postgres, &[&entry.repository, &entry.digest]).await? > 0 {
                tx.quota.let_go(entry.repository, digest);
            }
            enqueue(tx, Garbage::Digest, digest, 0, "unlinked").await?;
        }
        QueueKind::Manifest => drop(manifests::remove(tx, entry.repository, digest, Some(ACTOR)).await?),
        QueueKind::Expiry => expiry::expire(tx, entry.repository, digest).await?,
        QueueKind::Digest | QueueKind::Label => bytes = remove_digest(tx, entry).await?,
    }
    Ok(Verdict::Removed { bytes })
}

/// Removes a digest, and the object with its last one. How many bytes that gives up.
async fn remove_digest(tx: &Tx<'_>, entry: &Entry) -> Result<u64, Fault> {
    let Some(object) = tx.one(sql::REMOVE_DIGEST.postgres, &[&entry.digest]).await? else { return Ok(0) };
    let object: i64 = column(&object, 0)?;
    let Some(removed) = tx.one(sql::REMOVE_OBJECT.postgres, &[&object]).await? else { return Ok(0) };
    let location: Location = parsed(&removed, 0)?;
    give_up(tx, &location, tx.options.read_grace_ms(), "collected").await?;
    unsigned(&removed, 1)
}

/// Removes what can not be restored any more.
struct Purge {
    limit: usize,
}

#[async_trait]
impl Work for Purge {
    type Output = Vec<Collected>;

    async fn run(&self, tx: &Tx<'_>) -> Result<Vec<Collected>, Fault> {
        let mut done = Vec::new();
        for row in tx.all(own::TAKE_TRASHED_TAGS, &[&signed(self.limit)]).await? {
            let (repository, name, digest): (i64, String, String) =
                (column(&row, 0)?, column(&row, 1)?, column(&row, 2)?);
            tx.execute(sql::PURGE_TAG.postgres, &[&repository, &name, &digest]).await?;
            done.push(purged(tx, CandidateKind::TrashedTag, repository, digest).await?);
        }
        let mut blobs: Vec<Digest> = Vec::new();
        for row in tx.all(own::TAKE_TRASHED_MANIFESTS, &[&signed(self.limit - done.len())]).await? {
            let (repository, digest): (i64, String) = (column(&row, 0)?, column(&row, 1)?);
            quota::stay(tx, &[repository]).await?;
            blobs.extend(manifests::purge(tx, repository, &digest).await?);
            done.push(purged(tx, CandidateKind::TrashedManifest, repository, digest).await?);
        }
        enqueue_digests(tx, &blobs, "purged").await?;
        Ok(done)
    }
}

/// Something in the trash whose window is over.
#[derive(Clone, Debug)]
struct Trashed {
    repository: i64,
    /// None for a manifest.
    tag: Option<String>,
    digest: String,
}

async fn due_trash(connection: &Connection, limit: usize) -> Result<Vec<Trashed>, Fault> {
    let mut due = Vec::new();
    for row in connection.all(sql::TRASHED_TAGS.postgres, &[&signed(limit)]).await? {
        let (repository, tag, digest) = (column(&row, 0)?, Some(column(&row, 1)?), column(&row, 2)?);
        due.push(Trashed { repository, tag, digest });
    }
    for row in connection.all(sql::TRASHED_MANIFESTS.postgres, &[&signed(limit - due.len())]).await? {
        due.push(Trashed { repository: column(&row, 0)?, tag: None, digest: column(&row, 1)? });
    }
    Ok(due)
}

impl Trashed {
    /// Whether no other collector has locked it, and it is there and due.
    async fn lock(&self, tx: &Tx<'_>) -> Result<bool, Fault> {
        let Trashed { repository, tag, digest } = self;
        match tag {
            Some(tag) => tx.exists(own::LOCK_TRASHED_TAG, &[repository, tag, digest]).await,
            None => tx.exists(own::LOCK_DUE_MANIFEST, &[repository, digest]).await,
        }
    }

    async fn collected(&self, tx: &Tx<'_>) -> Result<Collected, Fault> {
        let kind =
            if self.tag.is_some() { CandidateKind::TrashedTag } else { CandidateKind::TrashedManifest };
        purged(tx, kind, self.repository, self.digest.clone()).await
    }
}

/// Removes one thing that can not be restored any more. None if another collector has it.
struct PurgeOne(Trashed);

#[async_trait]
impl Work for PurgeOne {
    type Output = Option<Collected>;

    async fn run(&self, tx: &Tx<'_>) -> Result<Option<Collected>, Fault> {
        let Trashed { repository, tag, digest } = &self.0;
        if !self.0.lock(tx).await? {
            return Ok(None);
        }
        match tag {
            Some(tag) => drop(tx.execute(sql::PURGE_TAG.postgres, &[repository, tag, digest]).await?),
            None => {
                quota::stay(tx, &[*repository]).await?;
                let blobs = manifests::purge(tx, *repository, digest).await?;
                enqueue_digests(tx, &blobs, "purged").await?;
            }
        }
        self.0.collected(tx).await.map(Some)
    }
}

/// Has something wait that could not be purged. None if another collector has it by now.
struct PostponePurge {
    trashed: Trashed,
    reason: String,
}

#[async_trait]
impl Work for PostponePurge {
    type Output = Option<Collected>;

    async fn run(&self, tx: &Tx<'_>) -> Result<Option<Collected>, Fault> {
        let Trashed { repository, tag, digest } = &self.trashed;
        if !self.trashed.lock(tx).await? {
            return Ok(None);
        }
        match tag {
            Some(tag) => {
                tx.execute(sql::POSTPONE_TAG.postgres, &[&FAILED_AGAIN_MS, repository, tag, digest]).await?
            }
            None => {
                tx.execute(sql::POSTPONE_MANIFEST.postgres, &[&FAILED_AGAIN_MS, repository, digest]).await?
            }
        };
        let verdict = Verdict::Kept(Kept::Failed { reason: self.reason.clone() });
        Ok(Some(Collected { verdict, ..self.trashed.collected(tx).await? }))
    }
}

async fn purged(
    connection: &Connection,
    kind: CandidateKind,
    repository: i64,
    digest: String,
) -> Result<Collected, Fault> {
    let (repository, reason) = (name_of(connection, repository).await?, "window is over".to_owned());
    let candidate = Candidate { kind, repository, digest, reason };
    Ok(Collected { candidate, verdict: Verdict::Removed { bytes: 0 } })
}

pub(super) async fn preview(
    connection: &Connection,
    options: &Options,
    rules: CollectRules,
    after: Option<&QueuePosition>,
    limit: usize,
) -> Result<Preview, Fault> {
    if let Some(after) = after.filter(|after| after.kind == UNTAGGED) {
        return preview_untagged(connection, options, after, limit).await;
    }
    let (kind, repository, digest) =
        after.map_or(("", 0, ""), |after| (after.kind.as_str(), after.repository, after.digest.as_str()));
    let rows =
        connection.all(sql::QUEUE_AFTER.postgres, &[&kind, &repository, &digest, &signed(limit)]).await?;
    let entries: Vec<Entry> = rows.iter().map(entry).collect::<Result<_, _>>()?;
    let next = entries.last().filter(|_| entries.len() == limit).map(|last| QueuePosition {
        kind: last.kind.clone(),
        repository: last.repository,
        digest: last.digest.clone(),
    });
    Ok(Preview { collected: judge(connection, options, entries, rules).await?, next })
}

async fn preview_untagged(
    connection: &Connection,
    options: &Options,
    after: &QueuePosition,
    limit: usize,
) -> Result<Preview, Fault> {
    let manifests = manifests_after(connection, Some(after), limit).await?;
    let next = position(&manifests, limit, UNTAGGED);
    let untagged = manifests.into_iter().filter(|manifest| !manifest.2);
    let entries = untagged.map(|(repository, digest, _)| Entry {
        kind: QueueKind::Manifest.as_str().to_owned(),
        repository,
        digest,
        reason: UNTAGGED.to_owned(),
    });
    let collected = judge(connection, options, entries.collect(), CollectRules::default()).await?;
    Ok(Preview { collected, next })
}

/// What would become of each.
async fn judge(
    connection: &Connection,
    options: &Options,
    entries: Vec<Entry>,
    rules: CollectRules,
) -> Result<Vec<Collected>, Fault> {
    let mut collected = Vec::with_capacity(entries.len());
    for entry in entries {
        let verdict = match decide(connection, options, &entry, rules, Looking::Only).await {
            Ok(Decision::Leave(kept) | Decision::Hold { kept, .. }) => Verdict::Kept(kept),
            Ok(Decision::LookAgain { at_ms }) => Verdict::Kept(Kept::Leased { until_ms: at_ms }),
            Ok(Decision::Take) => Verdict::Removed { bytes: bytes_of(connection, &entry).await? },
            Err(fault) if fault.is_about_rows() => {
                Verdict::Kept(Kept::Failed { reason: fault.explain("look for garbage").to_string() })
            }
            Err(fault) => return Err(fault),
        };
        collected.push(Collected { candidate: candidate(connection, entry).await?, verdict });
    }
    Ok(collected)
}

async fn bytes_of(connection: &Connection, entry: &Entry) -> Result<u64, Fault> {
    if QueueKind::of(&entry.kind) != QueueKind::Digest {
        return Ok(0);
    }
    let object = connection.one(sql::DIGEST_OBJECT.postgres, &[&entry.digest]).await?;
    object.map_or(Ok(0), |row| unsigned(&row, 1))
}

/// Sets untagged manifests down. Whoever collects looks at references and leases.
pub(super) struct EnqueueUntagged {
    pub(super) after: Option<QueuePosition>,
    pub(super) limit: usize,
}

#[async_trait]
impl Work for EnqueueUntagged {
    type Output = Option<QueuePosition>;

    async fn run(&self, tx: &Tx<'_>) -> Result<Option<QueuePosition>, Fault> {
        let manifests = manifests_after(tx, self.after.as_ref(), self.limit).await?;
        let untagged = manifests.iter().filter(|(_, _, is_tagged)| !is_tagged);
        let (repositories, digests): (Vec<i64>, Vec<String>) =
            untagged.map(|(repository, digest, _)| (*repository, digest.clone())).unzip();
        tx.execute(own::MARK_MANIFESTS, &[&repositories, &digests, &UNTAGGED]).await?;
        Ok(position(&manifests, self.limit, QueueKind::Manifest.as_str()))
    }
}

/// A repository's number, a digest, and whether a tag leads to it.
type Manifest = (i64, String, bool);

async fn manifests_after(
    connection: &Connection,
    after: Option<&QueuePosition>,
    limit: usize,
) -> Result<Vec<Manifest>, Fault> {
    let (repository, digest) = after.map_or((0, ""), |after| (after.repository, after.digest.as_str()));
    let rows = connection.all(sql::MANIFESTS_AFTER.postgres, &[&repository, &digest, &signed(limit)]).await?;
    rows.iter().map(|row| Ok((column(row, 0)?, column(row, 1)?, column(row, 2)?))).collect()
}

/// Where the next page begins; none if this was the last.
fn position(manifests: &[Manifest], limit: usize, kind: &str) -> Option<QueuePosition> {
    let (repository, digest, _) = manifests.last().filter(|_| manifests.len() == limit)?;
    Some(QueuePosition { kind: kind.to_owned(), repository: *repository, digest: digest.clone() })
}

fn entry(row: &Row) -> Result<Entry, Fault> {
    let (kind, repository) = (column(row, 0)?, column(row, 1)?);
    Ok(Entry { kind, repository, digest: column(row, 2)?, reason: column(row, 3)? })
}

async fn candidate(connection: &Connection, entry: Entry) -> Result<Candidate, Fault> {
    let kind = QueueKind::of(&entry.kind).candidate();
    let repository = name_of(connection, entry.repository).await?;
    Ok(Candidate { kind, repository, digest: entry.digest, reason: entry.reason })
}

async fn name_of(connection: &Connection, repository: i64) -> Result<Option<RepositoryName>, Fault> {
    let name = connection.one(sql::REPOSITORY_NAME.postgres, &[&repository]).await?;
    let name: Option<String> = name.map(|row| column(&row, 0)).transpose()?;
    // A repository that was renamed aside has a name that is none.
    Ok(name.and_then(|name| name.parse().ok()))
}
