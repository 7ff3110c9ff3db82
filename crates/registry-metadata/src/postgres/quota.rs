//! Quotas: counters that follow what a transaction changed.
//!
//! Counting comes after all other locks of a transaction, and the counters of several quotas are locked in the order of
//! their prefixes. Whoever counts also holds a lock on the table `quotas` that only a first count asks for alone: so that
//! sees everything that was settled before it, and what is settled after it finds the new counter.

use std::collections::BTreeSet;

use async_trait::async_trait;
use registry_digest::Digest;
use registry_types::RepositoryName;
use tokio_postgres::Row;

use super::{
    connection::{Connection, Parameters},
    fault::Fault,
    row::column,
    sql as own,
    transaction::{Tx, Work},
};
use crate::{
    MetadataError, Options, QuotaUsage, UploadRoom, Usage,
    quota::{AUDIT_COLUMNS, Change, Counted, Counter, More, Noted, audited},
    sql::quota as sql,
};

/// Counts what a transaction noted, and refuses it if it was a push and exceeds a quota.
pub(super) async fn settle(tx: &Tx<'_>) -> Result<(), Fault> {
    let Noted { changes, refuses } = tx.quota.take();
    if changes.len() > 1 {
        let repositories: Vec<i64> = changes.keys().copied().collect();
        tx.exists(own::LOCK_COUNTERS, &[&repositories]).await?;
    }
    for (repository, change) in changes {
        for counter in holding(tx, repository).await? {
            let mut more = apply(tx, &counter.prefix, &change).await?;
            more += More { tags: change.tags, uploads: change.uploads, ..More::default() };
            tx.execute(sql::ADD.postgres, &[&more.bytes, &more.held, &more.tags, &counter.prefix]).await?;
            // The counter is locked by now, so nothing else changes this one.
            let uploads = add_uploads(tx, &counter.prefix, more.uploads).await?;
            if refuses {
                tx.options.refuse_excess(&counter, more, uploads).map_err(MetadataError::from)?;
            }
        }
    }
    Ok(())
}

/// The counters of the quotas that hold for a repository, locked, and the repository's name with them. None for one that
/// was deleted: that is counted no more.
async fn holding(tx: &Tx<'_>, repository: i64) -> Result<Vec<Counter>, Fault> {
    let counter = |row: &Row| {
        let (prefix, bytes) = (column(row, 0)?, column(row, 1)?);
        Ok(Counter { prefix, bytes, tags: column(row, 2)?, held: column(row, 3)? })
    };
    tx.all(own::LOCK_HOLDING, &[&repository]).await?.iter().map(counter).collect()
}

/// What the prefix has more of.
async fn apply(tx: &Tx<'_>, prefix: &str, change: &Change) -> Result<More, Fault> {
    let mut more = More::default();
    if change.digests.is_empty() {
        return Ok(more);
    }
    let digests: Vec<&str> = change.digests.keys().map(String::as_str).collect();
    let uses: Vec<i64> = change.digests.values().map(|used| used.uses).collect();
    let holds: Vec<i64> = change.digests.values().map(|used| used.holds).collect();
    let sizes: Vec<Option<i64>> = change.digests.values().map(|used| used.size_bytes).collect();
    let mut over: Vec<&str> = Vec::new();
    let rows = tx.all(own::COUNT_MANY, &[&prefix, &digests, &uses, &holds, &sizes]).await?;
    for row in &rows {
        let digest: &str = column(row, 0)?;
        let counted = Counted { uses: column(row, 1)?, holds: column(row, 2)?, size_bytes: column(row, 3)? };
        if counted.is_over() {
            over.push(digest);
        }
        more += change.digests.get(digest).map(|used| used.settled(counted)).unwrap_or_default();
    }
    if !over.is_empty() {
        tx.execute(own::FORGET_MANY, &[&prefix, &over]).await?;
    }
    Ok(more)
}

/// Adds to what the sessions of a prefix have saved, and says how much that is.
async fn add_uploads(tx: &Tx<'_>, prefix: &str, more: i64) -> Result<i64, Fault> {
    let row = match more {
        0 => tx.one(sql::UPLOADS.postgres, &[&prefix]).await?,
        more => tx.one(sql::ADD_UPLOADS.postgres, &[&prefix, &more]).await?,
    };
    row.map_or(Ok(0), |row| column(&row, 0))
}

/// Keeps repositories from being set aside or brought back until what changes in them is counted: for changes that lock
/// nothing else of theirs, and for those to several of them, which lock the counters before they come to each.
pub(super) async fn stay(tx: &Tx<'_>, repositories: &[i64]) -> Result<(), Fault> {
    if !tx.quota.is_kept() || repositories.is_empty() {
        return Ok(());
    }
    tx.exists(own::LOCK_REPOSITORIES_SHARED, &[&repositories]).await.map(drop)
}

/// A repository is about to be set aside with all that is in it. Locks it: what is on its way into it is waited for.
pub(super) async fn repository_deleted(tx: &Tx<'_>, repository: i64) -> Result<(), Fault> {
    if !tx.quota.is_kept() {
        return Ok(());
    }
    take_time(tx).await?;
    tx.exists(own::LOCK_REPOSITORY_ALONE, &[&repository]).await?;
    for Counter { prefix, .. } in holding(tx, repository).await? {
        let tags = number(tx, sql::TAGS_OF_REPOSITORY.postgres, &[&repository]).await?;
        patiently(tx, sql::UNCOUNT_REPOSITORY.postgres, &[&repository, &prefix]).await?;
        patiently(tx, sql::FORGET_UNUSED.postgres, &[&prefix]).await?;
        patiently(tx, sql::TOTAL.postgres, &[&-tags, &prefix]).await?;
        let uploads = number(tx, sql::UPLOADS_OF_REPOSITORY.postgres, &[&repository]).await?;
        add_uploads(tx, &prefix, -uploads).await?;
    }
    Ok(())
}

/// A repository was brought back with all that is in it.
pub(super) async fn repository_restored(tx: &Tx<'_>, repository: i64) -> Result<(), Fault> {
    if !tx.quota.is_kept() {
        return Ok(());
    }
    take_time(tx).await?;
    for Counter { prefix, .. } in holding(tx, repository).await? {
        let tags = number(tx, sql::TAGS_OF_REPOSITORY.postgres, &[&repository]).await?;
        patiently(tx, sql::COUNT_REPOSITORY.postgres, &[&prefix, &repository]).await?;
        patiently(tx, sql::TOTAL.postgres, &[&tags, &prefix]).await?;
        let uploads = number(tx, sql::UPLOADS_OF_REPOSITORY.postgres, &[&repository]).await?;
        add_uploads(tx, &prefix, uploads).await?;
    }
    Ok(())
}

/// The prefixes that are counted.
pub(super) async fn prefixes(connection: &Connection) -> Result<BTreeSet<String>, Fault> {
    connection.all(sql::PREFIXES.postgres, &[]).await?.iter().map(|row| column(row, 0)).collect()
}

/// Counts what is configured and nothing else: what is new, or all of it.
pub(super) struct Begin {
    pub(super) is_anew: bool,
}

#[async_trait]
impl Work for Begin {
    type Output = ();

    async fn run(&self, tx: &Tx<'_>) -> Result<(), Fault> {
        take_time(tx).await?;
        tx.client().batch_execute(own::LOCK_QUOTAS).await?;
        let (counted, configured) = (prefixes(tx).await?, tx.options.quota_prefixes());
        for prefix in counted.iter().filter(|prefix| self.is_anew || !configured.contains(*prefix)) {
            tx.execute(sql::END_COUNTING.postgres, &[prefix]).await?;
            patiently(tx, sql::FORGET_DIGESTS.postgres, &[prefix]).await?;
            tx.execute(sql::FORGET_UPLOADS.postgres, &[prefix]).await?;
        }
        for prefix in configured.iter().filter(|prefix| self.is_anew || !counted.contains(*prefix)) {
            tracing::info!("counting what there is for the quota of `{prefix}`");
            tx.execute(sql::BEGIN_COUNTING.postgres, &[prefix]).await?;
            patiently(tx, sql::COUNT_PREFIX.postgres, &[prefix]).await?;
            let tags = number(tx, sql::TAGS_OF_PREFIX.postgres, &[prefix]).await?;
            patiently(tx, sql::TOTAL.postgres, &[&tags, prefix]).await?;
            let uploads = number(tx, sql::UPLOADS_OF_PREFIX.postgres, &[prefix]).await?;
            add_uploads(tx, prefix, uploads).await?;
        }
        Ok(())
    }
}

pub(super) async fn usage(connection: &Connection, options: &Options) -> Result<Vec<QuotaUsage>, Fault> {
    let mut usages = Vec::new();
    for quota in &options.quotas {
        let usage = used(connection, &quota.prefix).await?;
        usages.push(QuotaUsage { quota: quota.clone(), usage });
    }
    Ok(usages)
}

async fn used(connection: &Connection, prefix: &str) -> Result<Option<Usage>, Fault> {
    let row = connection.one(sql::USAGE.postgres, &[&prefix]).await?;
    let usage = |row: Row| {
        // A node of an older version, which counts less, may have left too little.
        let counted = |index| Ok::<_, Fault>(column::<i64>(&row, index)?.max(0).unsigned_abs());
        Ok(Usage { bytes: counted(0)?, tags: counted(1)?, held: counted(2)? })
    };
    row.map(usage).transpose()
}

/// Refuses if there is no room for any byte.
pub(super) async fn refuse_if_full(
    connection: &Connection,
    options: &Options,
    repository: &RepositoryName,
) -> Result<(), Fault> {
    for quota in options.quotas_of(repository.as_str()) {
        if let Some(usage) = used(connection, &quota.prefix).await? {
            quota.has_room(usage).map_err(MetadataError::from)?;
        }
    }
    Ok(())
}

/// Refuses if there is no room for a blob.
pub(super) async fn refuse_if_too_large(
    connection: &Connection,
    options: &Options,
    repository: &RepositoryName,
    digest: &Digest,
    size_bytes: u64,
) -> Result<(), Fault> {
    for quota in options.quotas_of(repository.as_str()) {
        let Some(usage) = used(connection, &quota.prefix).await? else { continue };
        let Err(exceeded) = quota.has_room_for(usage, size_bytes) else { continue };
        if !connection.exists(sql::IS_USED.postgres, &[&quota.prefix, &digest.to_string()]).await? {
            return Err(MetadataError::from(exceeded).into());
        }
    }
    Ok(())
}

/// How large an upload may become, if a quota limits it.
pub(super) async fn room(
    connection: &Connection,
    options: &Options,
    repository: &RepositoryName,
    saved_bytes: u64,
    digest: Option<&Digest>,
) -> Result<Option<UploadRoom>, Fault> {
    let mut least: Option<UploadRoom> = None;
    for quota in options.quotas_of(repository.as_str()) {
        let Some(usage) = used(connection, &quota.prefix).await? else { continue };
        let is_used = match digest {
            Some(digest) => {
                Some(connection.exists(sql::IS_USED.postgres, &[&quota.prefix, &digest.to_string()]).await?)
            }
            None => None,
        };
        let room = quota.room(usage, saved_bytes, is_used);
        least = least.into_iter().chain(room).min_by_key(|room| room.size_bytes_max);
    }
    Ok(least)
}

/// What is counted wrongly. However long it takes.
pub(super) async fn audit(connection: &Connection) -> Result<Vec<String>, Fault> {
    let mut said = Vec::new();
    for prefix in prefixes(connection).await? {
        let statement = connection.prepared(sql::AUDIT.postgres).await?;
        if let Some(row) = connection.client().query_opt(&statement, &[&prefix]).await? {
            let mut numbers = [0; AUDIT_COLUMNS];
            for (index, number) in numbers.iter_mut().enumerate() {
                *number = column(&row, index)?;
            }
            said.extend(audited(&prefix, numbers.into()));
        }
    }
    Ok(said)
}

/// What follows may take longer than a request's statements do: it counts a whole repository, or all of them.
async fn take_time(tx: &Tx<'_>) -> Result<(), Fault> {
    tx.batch("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '60s'").await
}

/// Changes rows, however long it takes.
async fn patiently(tx: &Tx<'_>, sql: &'static str, parameters: Parameters<'_>) -> Result<(), Fault> {
    let statement = tx.prepared(sql).await?;
    Ok(tx.client().execute(&statement, parameters).await.map(drop)?)
}

/// A number that is counted, however long it takes.
async fn number(tx: &Tx<'_>, sql: &'static str, parameters: Parameters<'_>) -> Result<i64, Fault> {
    let statement = tx.prepared(sql).await?;
    column(&tx.client().query_one(&statement, parameters).await?, 0)
}
