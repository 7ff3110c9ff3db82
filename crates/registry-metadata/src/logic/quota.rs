//! Quotas: counters that follow what a transaction changed.
//!
//! Counting comes after all other locks of a transaction, and the counters of several quotas are locked in the order of
//! their prefixes. On PostgreSQL a transaction that counts also holds a lock on the table `quotas` that only a first count asks
//! for alone: so that sees everything that was settled before it, and what is settled after it finds the new counter.

use std::collections::BTreeSet;

use registry_database::{Fault, FromRow, Limits, Row, Session, Statement, params};
use registry_digest::Digest;
use registry_types::RepositoryName;
use serde_json::json;

use super::Tx;
use crate::{
    MetadataError, Options, QuotaUsage, UploadRoom, Usage,
    quota::{AUDIT_COLUMNS, Change, Counted, Counter, More, Noted, audited, has_room, has_room_for, rooms},
    sql::{postgres, quota as sql},
};

/// Counts what a transaction noted, and refuses it if it was a push and exceeds a quota.
pub(crate) async fn settle(tx: &Tx<'_, impl Session>) -> Result<(), Fault> {
    let Noted { changes, refuses, .. } = tx.quota.take();
    if changes.len() > 1 {
        let repositories: Vec<i64> = changes.keys().copied().collect();
        tx.lock(postgres::LOCK_COUNTERS, params![&repositories[..]]).await?;
    }
    for (repository, change) in changes {
        for counter in holding(tx.session, repository).await? {
            let mut more = apply(tx.session, &counter.prefix, &change).await?;
            more += More { tags: change.tags, uploads: change.uploads, ..More::default() };
            tx.execute(sql::ADD, params![more.bytes, more.held, more.tags, &counter.prefix]).await?;
            // The counter is locked by now, so nothing else changes this one.
            let uploads = add_uploads(tx.session, &counter.prefix, more.uploads).await?;
            if refuses {
                tx.options.refuse_excess(&counter, more, uploads).map_err(MetadataError::from)?;
            }
        }
    }
    Ok(())
}

/// The counters of the quotas that hold for a repository, locked, and the repository's name with them. None for one that
/// was deleted: that is counted no more.
async fn holding(session: &impl Session, repository: i64) -> Result<Vec<Counter>, Fault> {
    session.all(sql::LOCK_HOLDING, params![repository]).await
}

impl FromRow for Counter {
    fn from_row(row: &Row<'_>) -> Result<Self, Fault> {
        Ok(Counter { prefix: row.get(0)?, bytes: row.get(1)?, tags: row.get(2)?, held: row.get(3)? })
    }
}

/// What the prefix has more of.
async fn apply(session: &impl Session, prefix: &str, change: &Change) -> Result<More, Fault> {
    let mut more = More::default();
    if change.digests.is_empty() {
        return Ok(more);
    }
    let uses = change.digests.iter();
    let uses = uses.map(|(digest, used)| json!([digest, used.uses, used.holds, used.size_bytes]));
    let uses = serde_json::Value::from_iter(uses).to_string();
    let rows: Vec<(String, i64, i64, i64)> = session.all(sql::COUNT, params![prefix, &uses]).await?;
    let mut over: Vec<&str> = Vec::new();
    for (digest, uses, holds, size_bytes) in &rows {
        let counted = Counted { uses: *uses, holds: *holds, size_bytes: *size_bytes };
        if counted.is_over() {
            over.push(digest);
        }
        more += change.digests.get(digest).map(|used| used.settled(counted)).unwrap_or_default();
    }
    if !over.is_empty() {
        session.execute(sql::FORGET, params![prefix, &over[..]]).await?;
    }
    Ok(more)
}

/// Adds to what the sessions of a prefix have saved, and says how much that is.
async fn add_uploads(session: &impl Session, prefix: &str, more: i64) -> Result<i64, Fault> {
    let saved: Option<i64> = match more {
        0 => session.one(sql::UPLOADS, params![prefix]).await?,
        more => session.one(sql::ADD_UPLOADS, params![prefix, more]).await?,
    };
    Ok(saved.unwrap_or(0))
}

/// Keeps repositories from being set aside or brought back until what changes in them is counted: for changes that lock
/// nothing else of theirs, and for those to several of them, which lock the counters before they come to each.
pub(crate) async fn stay(tx: &Tx<'_, impl Session>, repositories: &[i64]) -> Result<(), Fault> {
    if !tx.quota.is_kept() || repositories.is_empty() {
        return Ok(());
    }
    tx.lock(postgres::LOCK_REPOSITORIES_SHARED, params![repositories]).await
}

/// A repository is about to be set aside with all that is in it. Locks it: what is on its way into it is waited for.
pub(crate) async fn repository_deleted(tx: &Tx<'_, impl Session>, repository: i64) -> Result<(), Fault> {
    if !tx.quota.is_kept() {
        return Ok(());
    }
    tx.extend(Limits::LONG).await?;
    tx.lock(postgres::LOCK_REPOSITORY_ALONE, params![repository]).await?;
    for Counter { prefix, .. } in holding(tx.session, repository).await? {
        tx.execute(sql::UNCOUNT_REPOSITORY, params![repository, &prefix]).await?;
        tx.execute(sql::FORGET_UNUSED, params![&prefix]).await?;
        let (tags, uploads) = of_repository(tx.session, repository).await?;
        total(tx.session, &prefix, -tags, -uploads).await?;
    }
    Ok(())
}

/// A repository was brought back with all that is in it.
pub(crate) async fn repository_restored(tx: &Tx<'_, impl Session>, repository: i64) -> Result<(), Fault> {
    if !tx.quota.is_kept() {
        return Ok(());
    }
    tx.extend(Limits::LONG).await?;
    for Counter { prefix, .. } in holding(tx.session, repository).await? {
        tx.execute(sql::COUNT_REPOSITORY, params![&prefix, repository]).await?;
        let (tags, uploads) = of_repository(tx.session, repository).await?;
        total(tx.session, &prefix, tags, uploads).await?;
    }
    Ok(())
}

/// How many tags a repository has, and how much its sessions have saved.
async fn of_repository(session: &impl Session, repository: i64) -> Result<(i64, i64), Fault> {
    let tags = number(session, sql::TAGS_OF_REPOSITORY, params![repository]).await?;
    Ok((tags, number(session, sql::UPLOADS_OF_REPOSITORY, params![repository]).await?))
}

/// Sums the digests of a prefix up, and adds so many tags and bytes of sessions.
async fn total(session: &impl Session, prefix: &str, tags: i64, uploads: i64) -> Result<(), Fault> {
    session.execute(sql::TOTAL, params![tags, prefix]).await?;
    add_uploads(session, prefix, uploads).await.map(drop)
}

/// The prefixes that are counted.
pub(crate) async fn prefixes(session: &impl Session) -> Result<BTreeSet<String>, Fault> {
    let prefixes: Vec<String> = session.all(sql::PREFIXES, &[]).await?;
    Ok(prefixes.into_iter().collect())
}

/// Counts what is configured and nothing else: what is new, or all of it.
pub(crate) async fn begin(tx: &Tx<'_, impl Session>, is_anew: bool) -> Result<(), Fault> {
    tx.extend(Limits::LONG).await?;
    tx.lock(postgres::LOCK_QUOTAS, &[]).await?;
    let (counted, configured) = (prefixes(tx.session).await?, tx.options.quota_prefixes());
    for prefix in counted.iter().filter(|prefix| is_anew || !configured.contains(*prefix)) {
        tx.execute(sql::END_COUNTING, params![prefix]).await?;
        tx.execute(sql::FORGET_DIGESTS, params![prefix]).await?;
        tx.execute(sql::FORGET_UPLOADS, params![prefix]).await?;
    }
    for prefix in configured.iter().filter(|prefix| is_anew || !counted.contains(*prefix)) {
        tracing::info!("counting what there is for the quota of `{prefix}`");
        tx.execute(sql::BEGIN_COUNTING, params![prefix]).await?;
        tx.execute(sql::COUNT_PREFIX, params![prefix]).await?;
        let tags = number(tx.session, sql::TAGS_OF_PREFIX, params![prefix]).await?;
        let uploads = number(tx.session, sql::UPLOADS_OF_PREFIX, params![prefix]).await?;
        total(tx.session, prefix, tags, uploads).await?;
    }
    Ok(())
}

pub(crate) async fn usage(session: &impl Session, options: &Options) -> Result<Vec<QuotaUsage>, Fault> {
    let mut usages = Vec::new();
    for quota in &options.quotas {
        let usage = used(session, &quota.prefix).await?;
        usages.push(QuotaUsage { quota: quota.clone(), usage });
    }
    Ok(usages)
}

async fn used(session: &impl Session, prefix: &str) -> Result<Option<Usage>, Fault> {
    let usage: Option<(i64, i64, i64)> = session.one(sql::USAGE, params![prefix]).await?;
    // A node of an older version, which counts less, may have left too little.
    let counted = |number: i64| number.max(0).unsigned_abs();
    Ok(usage.map(|(bytes, tags, held)| Usage {
        bytes: counted(bytes),
        tags: counted(tags),
        held: counted(held),
    }))
}

/// Refuses if there is no room for any byte.
pub(crate) async fn refuse_if_full(
    session: &impl Session,
    options: &Options,
    repository: &RepositoryName,
) -> Result<(), Fault> {
    for quota in options.quotas_of(repository.as_str()) {
        if let Some(usage) = used(session, &quota.prefix).await? {
            has_room(quota, usage).map_err(MetadataError::from)?;
        }
    }
    Ok(())
}

/// Refuses if there is no room for a blob.
pub(crate) async fn refuse_if_too_large(
    session: &impl Session,
    options: &Options,
    repository: &RepositoryName,
    digest: &Digest,
    size_bytes: u64,
) -> Result<(), Fault> {
    for quota in options.quotas_of(repository.as_str()) {
        let Some(usage) = used(session, &quota.prefix).await? else { continue };
        let Err(exceeded) = has_room_for(quota, usage, size_bytes) else { continue };
        if !is_used(session, &quota.prefix, digest).await? {
            return Err(MetadataError::from(exceeded).into());
        }
    }
    Ok(())
}

/// How large an upload may become, if a quota limits it.
pub(crate) async fn room(
    session: &impl Session,
    options: &Options,
    repository: &RepositoryName,
    saved_bytes: u64,
    digest: Option<&Digest>,
) -> Result<Option<UploadRoom>, Fault> {
    let mut least: Option<UploadRoom> = None;
    for quota in options.quotas_of(repository.as_str()) {
        let Some(usage) = used(session, &quota.prefix).await? else { continue };
        let is_used = match digest {
            Some(digest) => Some(is_used(session, &quota.prefix, digest).await?),
            None => None,
        };
        let room = rooms(quota, usage, saved_bytes, is_used);
        least = least.into_iter().chain(room).min_by_key(|room| room.size_bytes_max);
    }
    Ok(least)
}

async fn is_used(session: &impl Session, prefix: &str, digest: &Digest) -> Result<bool, Fault> {
    session.exists(sql::IS_USED, params![prefix, &digest.to_string()]).await
}

/// What is counted wrongly. However long it takes.
pub(crate) async fn audit(session: &impl Session) -> Result<Vec<String>, Fault> {
    let mut said = Vec::new();
    for prefix in prefixes(session).await? {
        let numbers: Option<Numbers> = session.one(sql::AUDIT, params![&prefix]).await?;
        said.extend(numbers.and_then(|numbers| audited(&prefix, numbers.0.into())));
    }
    Ok(said)
}

/// A row of `AUDIT`.
struct Numbers([i64; AUDIT_COLUMNS]);

impl FromRow for Numbers {
    fn from_row(row: &Row<'_>) -> Result<Self, Fault> {
        let mut numbers = [0; AUDIT_COLUMNS];
        for (index, number) in numbers.iter_mut().enumerate() {
            *number = row.get(index)?;
        }
        Ok(Numbers(numbers))
    }
}

async fn number(
    session: &impl Session,
    statement: Statement,
    params: &[registry_database::Param<'_>],
) -> Result<i64, Fault> {
    Ok(session.one(statement, params).await?.unwrap_or(0))
}
