//! Working off what may have become garbage: look again, then take it or leave it.

use registry_digest::Digest;
use registry_types::{Location, RepositoryName};
use rusqlite::{Connection, Row, ToSql, params};

use super::{
    deleted, empty, expiry,
    fault::Fault,
    manifests, quota,
    reclaim::{Garbage, enqueue, give_up},
    statement::{all, execute, exists, one, parsed, signed, unsigned},
    writer::Tx,
};
use crate::{
    Candidate, CandidateKind, CollectRules, Collected, Kept, Options, Preview, QueuePosition, Verdict,
    collecting::{FAILED_AGAIN_MS, QueueKind, UNTAGGED, goes_untagged},
    sql::{collecting as sql, manifests as manifest_sql, reclaim as reclaim_sql, restore as restore_sql},
};

/// Whom the history names for what a collector deletes.
const ACTOR: &str = "gc";

/// An entry of the queue, or a row of the trash in the same form.
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

/// First what could be restored until now, since that puts digests on the queue.
pub(super) fn work_off(tx: &Tx<'_>, rules: CollectRules, limit: usize) -> Result<Vec<Collected>, Fault> {
    let mut done = purge(tx, limit)?;
    done.extend(work_off_deleted(tx, limit - done.len())?);
    done.extend(empty::remove_due(tx, limit - done.len())?);
    let due: Vec<Entry> = all(tx.connection(), sql::DUE.sqlite, [signed(limit - done.len())], entry)?;
    for entry in due {
        let verdict = match in_savepoint(tx, || look(tx, &entry, rules)) {
            Ok(verdict) => verdict,
            // One entry that can not be dealt with must not keep the others from it.
            Err(fault) => {
                let row = params![FAILED_AGAIN_MS, entry.kind, entry.repository, entry.digest];
                postpone(tx, sql::POSTPONE_BY.sqlite, row, fault)?
            }
        };
        done.push(Collected { candidate: candidate(tx.connection(), entry)?, verdict });
    }
    Ok(done)
}

fn work_off_deleted(tx: &Tx<'_>, limit: usize) -> Result<Vec<Collected>, Fault> {
    let Some((id, name)) = deleted::due(tx.connection())?.filter(|_| limit > 0) else {
        return Ok(Vec::new());
    };
    in_savepoint(tx, || deleted::work_off(tx, id, &name, limit)).or_else(|fault| {
        let verdict = postpone(tx, restore_sql::POSTPONE.sqlite, params![FAILED_AGAIN_MS, id], fault)?;
        let gone = deleted::gone(CandidateKind::Repository, deleted::name_of(&name).to_owned());
        Ok(vec![Collected { verdict, ..gone }])
    })
}

/// Whatever fails in `work` leaves nothing of it behind. A failure that is the whole transaction's is told by the next
/// statement in any case.
pub(super) fn in_savepoint<T>(tx: &Tx<'_>, work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    let run = |sql: &str| tx.connection().prepare_cached(sql)?.raw_execute();
    run("SAVEPOINT candidate")?;
    let result = work().and_then(|value| quota::settle(tx).map(|()| value));
    tx.quota.take();
    if result.is_err() {
        run("ROLLBACK TO candidate")?;
    }
    run("RELEASE candidate")?;
    result
}

/// Has what failed wait, by a statement that names it, unless everything else would fail likewise.
pub(super) fn postpone(tx: &Tx<'_>, sql: &str, row: &[&dyn ToSql], fault: Fault) -> Result<Verdict, Fault> {
    let reason = match fault {
        Fault::Refused(error) | Fault::Unreadable(error) => error.to_string(),
        Fault::Sqlite(error) if is_of_one_entry(&error) => error.to_string(),
        other => return Err(other),
    };
    execute(tx.connection(), sql, row)?;
    Ok(Verdict::Kept(Kept::Failed { reason }))
}

/// Not a disk that is full, or a database that is locked: those are not the entry's fault.
fn is_of_one_entry(error: &rusqlite::Error) -> bool {
    match error.sqlite_error_code() {
        Some(code) => code == rusqlite::ErrorCode::ConstraintViolation,
        None => true,
    }
}

fn look(tx: &Tx<'_>, entry: &Entry, rules: CollectRules) -> Result<Verdict, Fault> {
    let digest: Digest = entry.digest.parse().map_err(|error| super::statement::unreadable(2, error))?;
    let key = params![entry.kind, entry.repository, entry.digest];
    match decide(tx.connection(), tx.options, entry, rules)? {
        Decision::Leave(kept) => {
            execute(tx.connection(), sql::DEQUEUE.sqlite, key)?;
            Ok(Verdict::Kept(kept))
        }
        Decision::LookAgain { at_ms } => {
            let row = params![at_ms, entry.kind, entry.repository, entry.digest];
            execute(tx.connection(), sql::POSTPONE_UNTIL.sqlite, row)?;
            Ok(Verdict::Kept(Kept::Leased { until_ms: at_ms }))
        }
        Decision::Hold { kept, at_ms } => {
            let row = params![at_ms, entry.kind, entry.repository, entry.digest];
            execute(tx.connection(), sql::POSTPONE_UNTIL.sqlite, row)?;
            Ok(Verdict::Kept(kept))
        }
        Decision::Take => {
            // The entry goes first, so that whatever is found out now may set it down again.
            execute(tx.connection(), sql::DEQUEUE.sqlite, key)?;
            take(tx, entry, &digest)
        }
    }
}

/// Looks only. Whatever takes something away has the condition in its statement once more, or a foreign key.
fn decide(
    connection: &Connection,
    options: &Options,
    entry: &Entry,
    rules: CollectRules,
) -> rusqlite::Result<Decision> {
    match QueueKind::of(&entry.kind) {
        QueueKind::Blob => decide_blob(connection, entry),
        QueueKind::Manifest => decide_manifest(connection, entry, rules),
        QueueKind::Expiry => decide_expiry(connection, options, entry),
        QueueKind::Digest | QueueKind::Label => decide_digest(connection, entry),
    }
}

fn decide_blob(connection: &Connection, entry: &Entry) -> rusqlite::Result<Decision> {
    let here = params![entry.repository, entry.digest];
    let Some(lease_until) = lease(connection, sql::BLOB_LEASE.sqlite, entry)? else {
        return Ok(Decision::Leave(Kept::Gone));
    };
    if exists(connection, sql::BLOB_REFERENCED.sqlite, here)? {
        // Who removes the last reference grants a lease and sets it down again.
        return Ok(Decision::Leave(Kept::Referenced));
    }
    Ok(lease_until.map_or(Decision::Take, |at_ms| Decision::LookAgain { at_ms }))
}

fn decide_manifest(
    connection: &Connection,
    entry: &Entry,
    rules: CollectRules,
) -> rusqlite::Result<Decision> {
    let here = params![entry.repository, entry.digest];
    let Some(lease_until) = lease(connection, sql::MANIFEST_LEASE.sqlite, entry)? else {
        return Ok(Decision::Leave(Kept::Gone));
    };
    let is_referenced = one(connection, manifest_sql::REFERENCED.sqlite, here, |row| row.get::<_, bool>(0))?;
    if is_referenced != Some(false) {
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

fn decide_expiry(connection: &Connection, options: &Options, entry: &Entry) -> rusqlite::Result<Decision> {
    let expiring = expiry::look(connection, options, entry.repository, &entry.digest)?;
    Ok(match (expiring.due.is_empty(), expiring.again) {
        (false, _) => Decision::Take,
        (true, None) => Decision::Leave(Kept::Gone),
        (true, Some(again)) if expiring.is_held => {
            Decision::Hold { kept: Kept::Immutable, at_ms: again.at_ms }
        }
        (true, Some(again)) => Decision::LookAgain { at_ms: again.at_ms },
    })
}

fn decide_digest(connection: &Connection, entry: &Entry) -> rusqlite::Result<Decision> {
    if !exists(connection, sql::DIGEST_OBJECT.sqlite, [&entry.digest])? {
        return Ok(Decision::Leave(Kept::Gone));
    }
    if exists(connection, sql::DIGEST_LINKED.sqlite, [&entry.digest])? {
        return Ok(Decision::Leave(Kept::Referenced));
    }
    if exists(connection, sql::DIGEST_TRASHED.sqlite, [&entry.digest])? {
        return Ok(Decision::Leave(Kept::Trash));
    }
    Ok(Decision::Take)
}

/// None if there is no such row; else the end of its lease, if that is still to come.
fn lease(connection: &Connection, sql: &str, entry: &Entry) -> rusqlite::Result<Option<Option<i64>>> {
    one(connection, sql, params![entry.repository, entry.digest], |row| {
        let (until_ms, now_ms): (i64, i64) = (row.get(0)?, row.get(1)?);
        Ok((until_ms > now_ms).then_some(until_ms))
    })
}

fn take(tx: &Tx<'_>, entry: &Entry, digest: &Digest) -> Result<Verdict, Fault> {
    match QueueKind::of(&entry.kind) {
        QueueKind::Blob => {
            if execute(tx.connection(), sql::UNLINK.sqlite, params![entry.repository, entry.digest])? > 0 {
                tx.quota.let_go(entry.repository, digest);
            }
            enqueue(tx, Garbage::Digest, digest, 0, "unlinked")?;
            Ok(Verdict::Removed { bytes: 0 })
        }
        QueueKind::Manifest => {
            manifests::remove(tx, entry.repository, digest, Some(ACTOR))?;
            Ok(Verdict::Removed { bytes: 0 })
        }
        QueueKind::Expiry => {
            expiry::expire(tx, entry.repository, digest)?;
            Ok(Verdict::Removed { bytes: 0 })
        }
        QueueKind::Digest | QueueKind::Label => Ok(Verdict::Removed { bytes: remove_digest(tx, entry)? }),
    }
}

/// Removes a digest, and the object with its last one. How many bytes that gives up.
fn remove_digest(tx: &Tx<'_>, entry: &Entry) -> rusqlite::Result<u64> {
    let object: Option<i64> =
        one(tx.connection(), sql::REMOVE_DIGEST.sqlite, [&entry.digest], |row| row.get(0))?;
    let Some(object) = object else { return Ok(0) };
    let removed = one(tx.connection(), sql::REMOVE_OBJECT.sqlite, [object], |row| {
        Ok((parsed::<Location>(row, 0)?, unsigned(row, 1)?))
    })?;
    let Some((location, bytes)) = removed else { return Ok(0) };
    give_up(tx, &location, tx.options.read_grace_ms(), "collected")?;
    Ok(bytes)
}

/// Removes what can not be restored any more.
fn purge(tx: &Tx<'_>, limit: usize) -> Result<Vec<Collected>, Fault> {
    let tags: Vec<(i64, String, String)> =
        all(tx.connection(), sql::TRASHED_TAGS.sqlite, [signed(limit)], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?;
    let mut done = Vec::new();
    for (repository, name, digest) in tags {
        let row = params![repository, name, digest];
        let purged = in_savepoint(tx, || Ok(execute(tx.connection(), sql::PURGE_TAG.sqlite, row)?));
        let verdict = purged.map(|_| Verdict::Removed { bytes: 0 }).or_else(|fault| {
            postpone(tx, sql::POSTPONE_TAG.sqlite, params![FAILED_AGAIN_MS, repository, name, digest], fault)
        })?;
        done.push(trashed(tx.connection(), CandidateKind::TrashedTag, repository, digest, verdict)?);
    }
    let rest = [signed(limit - done.len())];
    let manifests: Vec<(i64, String)> =
        all(tx.connection(), sql::TRASHED_MANIFESTS.sqlite, rest, |row| Ok((row.get(0)?, row.get(1)?)))?;
    for (repository, digest) in manifests {
        let purged = in_savepoint(tx, || purge_manifest(tx, repository, &digest));
        let verdict = purged.map(|()| Verdict::Removed { bytes: 0 }).or_else(|fault| {
            postpone(tx, sql::POSTPONE_MANIFEST.sqlite, params![FAILED_AGAIN_MS, repository, digest], fault)
        })?;
        done.push(trashed(tx.connection(), CandidateKind::TrashedManifest, repository, digest, verdict)?);
    }
    Ok(done)
}

fn purge_manifest(tx: &Tx<'_>, repository: i64, digest: &str) -> Result<(), Fault> {
    let digest: Digest = digest.parse().map_err(|error| super::statement::unreadable(1, error))?;
    let mut blobs = manifests::purge(tx, repository, &digest)?;
    blobs.sort_unstable();
    for blob in &blobs {
        enqueue(tx, Garbage::Digest, blob, 0, "purged")?;
    }
    Ok(())
}

fn trashed(
    connection: &Connection,
    kind: CandidateKind,
    repository: i64,
    digest: String,
    verdict: Verdict,
) -> rusqlite::Result<Collected> {
    let reason = "window is over".to_owned();
    let candidate = Candidate { kind, repository: name_of(connection, repository)?, digest, reason };
    Ok(Collected { candidate, verdict })
}

pub(super) fn preview(
    connection: &Connection,
    options: &Options,
    rules: CollectRules,
    after: Option<&QueuePosition>,
    limit: usize,
) -> rusqlite::Result<Preview> {
    if let Some(after) = after.filter(|after| after.kind == UNTAGGED) {
        return preview_untagged(connection, options, after, limit);
    }
    let (kind, repository, digest) =
        after.map_or(("", 0, ""), |after| (after.kind.as_str(), after.repository, after.digest.as_str()));
    let page = params![kind, repository, digest, signed(limit)];
    let entries: Vec<Entry> = all(connection, sql::QUEUE_AFTER.sqlite, page, entry)?;
    let next = entries.last().filter(|_| entries.len() == limit).map(|last| QueuePosition {
        kind: last.kind.clone(),
        repository: last.repository,
        digest: last.digest.clone(),
    });
    Ok(Preview { collected: judge(connection, options, entries, rules)?, next })
}

fn preview_untagged(
    connection: &Connection,
    options: &Options,
    after: &QueuePosition,
    limit: usize,
) -> rusqlite::Result<Preview> {
    let manifests = manifests_after(connection, Some(after), limit)?;
    let next = position(&manifests, limit, UNTAGGED);
    let untagged = manifests.into_iter().filter(|manifest| !manifest.2);
    let entries = untagged.map(|(repository, digest, _)| Entry {
        kind: QueueKind::Manifest.as_str().to_owned(),
        repository,
        digest,
        reason: UNTAGGED.to_owned(),
    });
    let collected = judge(connection, options, entries.collect(), CollectRules::default())?;
    Ok(Preview { collected, next })
}

/// What would become of each.
fn judge(
    connection: &Connection,
    options: &Options,
    entries: Vec<Entry>,
    rules: CollectRules,
) -> rusqlite::Result<Vec<Collected>> {
    let mut collected = Vec::with_capacity(entries.len());
    for entry in entries {
        let verdict = match decide(connection, options, &entry, rules) {
            Ok(Decision::Leave(kept) | Decision::Hold { kept, .. }) => Verdict::Kept(kept),
            Ok(Decision::LookAgain { at_ms }) => Verdict::Kept(Kept::Leased { until_ms: at_ms }),
            Ok(Decision::Take) => Verdict::Removed { bytes: bytes_of(connection, &entry)? },
            Err(error) if is_of_one_entry(&error) => {
                Verdict::Kept(Kept::Failed { reason: error.to_string() })
            }
            Err(error) => return Err(error),
        };
        collected.push(Collected { candidate: candidate(connection, entry)?, verdict });
    }
    Ok(collected)
}

fn bytes_of(connection: &Connection, entry: &Entry) -> rusqlite::Result<u64> {
    if QueueKind::of(&entry.kind) != QueueKind::Digest {
        return Ok(0);
    }
    Ok(one(connection, sql::DIGEST_OBJECT.sqlite, [&entry.digest], |row| unsigned(row, 1))?.unwrap_or(0))
}

/// Sets untagged manifests down. Whoever collects looks at references and leases.
pub(super) fn enqueue_untagged(
    tx: &Tx<'_>,
    after: Option<&QueuePosition>,
    limit: usize,
) -> Result<Option<QueuePosition>, Fault> {
    let manifests = manifests_after(tx.connection(), after, limit)?;
    for (repository, digest, is_tagged) in &manifests {
        if !is_tagged {
            let row = params![QueueKind::Manifest.as_str(), repository, digest, UNTAGGED];
            execute(tx.connection(), reclaim_sql::MARK.sqlite, row)?;
        }
    }
    Ok(position(&manifests, limit, QueueKind::Manifest.as_str()))
}

/// A repository's number, a digest, and whether a tag leads to it.
type Manifest = (i64, String, bool);

fn manifests_after(
    connection: &Connection,
    after: Option<&QueuePosition>,
    limit: usize,
) -> rusqlite::Result<Vec<Manifest>> {
    let (repository, digest) = after.map_or((0, ""), |after| (after.repository, after.digest.as_str()));
    all(connection, sql::MANIFESTS_AFTER.sqlite, params![repository, digest, signed(limit)], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    })
}

/// Where the next page begins; none if this was the last.
fn position(manifests: &[Manifest], limit: usize, kind: &str) -> Option<QueuePosition> {
    let (repository, digest, _) = manifests.last().filter(|_| manifests.len() == limit)?;
    Some(QueuePosition { kind: kind.to_owned(), repository: *repository, digest: digest.clone() })
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry { kind: row.get(0)?, repository: row.get(1)?, digest: row.get(2)?, reason: row.get(3)? })
}

fn candidate(connection: &Connection, entry: Entry) -> rusqlite::Result<Candidate> {
    let kind = QueueKind::of(&entry.kind).candidate();
    let repository = name_of(connection, entry.repository)?;
    Ok(Candidate { kind, repository, digest: entry.digest, reason: entry.reason })
}

pub(super) fn name_of(connection: &Connection, repository: i64) -> rusqlite::Result<Option<RepositoryName>> {
    let name: Option<String> = one(connection, sql::REPOSITORY_NAME.sqlite, [repository], |row| row.get(0))?;
    // A repository that was renamed aside has a name that is none.
    Ok(name.and_then(|name| name.parse().ok()))
}
