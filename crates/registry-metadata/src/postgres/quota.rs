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
    row::{column, unsigned},
    sql as own,
    transaction::{Tx, Work},
};
use crate::{
    MetadataError, Options, QuotaUsage, Usage,
    quota::{Change, Counter, Noted, audited},
    sql::quota as sql,
};

/// Counts what a transaction noted, and refuses it if it was a push and exceeds a quota.
pub(super) async fn settle(tx: &Tx<'_>) -> Result<(), Fault> {
    let Noted { changes, refuses } = tx.quota.take();
    for (repository, change) in changes {
        for counter in holding(tx, repository).await? {
            let bytes = apply(tx, &counter.prefix, &change).await?;
            tx.execute(sql::ADD, &[&bytes, &change.tags, &counter.prefix]).await?;
            if refuses {
                let fits = tx.options.refuse_excess(&counter, bytes, change.tags);
                fits.map_err(MetadataError::from)?;
            }
        }
    }
    Ok(())
}

/// The counters of the quotas that hold for a repository, locked, and the repository's name with them. None for one that
/// was deleted: that is counted no more.
async fn holding(tx: &Tx<'_>, repository: i64) -> Result<Vec<Counter>, Fault> {
    let counter =
        |row: &Row| Ok(Counter { prefix: column(row, 0)?, bytes: column(row, 1)?, tags: column(row, 2)? });
    tx.all(own::LOCK_HOLDING, &[&repository]).await?.iter().map(counter).collect()
}

/// How many bytes more the prefix has.
async fn apply(tx: &Tx<'_>, prefix: &str, change: &Change) -> Result<i64, Fault> {
    let mut bytes = 0;
    let (more, less): (Vec<_>, Vec<_>) = change.digests.iter().partition(|(_, used)| used.uses > 0);
    if !more.is_empty() {
        let digests: Vec<&str> = more.iter().map(|(digest, _)| digest.as_str()).collect();
        let uses: Vec<i64> = more.iter().map(|(_, used)| used.uses).collect();
        let sizes: Vec<Option<i64>> = more.iter().map(|(_, used)| used.size_bytes).collect();
        for row in tx.all(own::COUNT_MANY, &[&prefix, &digests, &uses, &sizes]).await? {
            let (digest, uses): (&str, i64) = (column(&row, 0)?, column(&row, 1)?);
            // Otherwise something else uses it already.
            if change.digests.get(digest).is_some_and(|used| used.uses == uses) {
                bytes += column::<i64>(&row, 2)?;
            }
        }
    }
    if !less.is_empty() {
        let digests: Vec<&str> = less.iter().map(|(digest, _)| digest.as_str()).collect();
        let uses: Vec<i64> = less.iter().map(|(_, used)| -used.uses).collect();
        tx.ready(&[own::UNCOUNT_MANY, own::FORGET_MANY]).await?;
        let (_, forgotten) =
            pipeline!(async { tx.execute(own::UNCOUNT_MANY, &[&prefix, &digests, &uses]).await }, async {
                tx.all(own::FORGET_MANY, &[&prefix, &digests]).await
            },)?;
        for row in &forgotten {
            bytes -= column::<i64>(row, 0)?;
        }
    }
    Ok(bytes)
}

/// A repository is about to be set aside with all that is in it. Locks it: what is on its way into it is waited for.
pub(super) async fn repository_goes(tx: &Tx<'_>, repository: i64) -> Result<(), Fault> {
    if !tx.quota.is_kept() {
        return Ok(());
    }
    take_time(tx).await?;
    tx.exists(own::LOCK_REPOSITORY_ALONE, &[&repository]).await?;
    for Counter { prefix, .. } in holding(tx, repository).await? {
        let tags = number(tx, sql::TAGS_OF_REPOSITORY, &[&repository]).await?;
        patiently(tx, sql::UNCOUNT_REPOSITORY, &[&repository, &prefix]).await?;
        patiently(tx, sql::FORGET_UNUSED, &[&prefix]).await?;
        patiently(tx, sql::TOTAL, &[&-tags, &prefix]).await?;
    }
    Ok(())
}

/// A repository was brought back with all that is in it.
pub(super) async fn repository_comes(tx: &Tx<'_>, repository: i64) -> Result<(), Fault> {
    if !tx.quota.is_kept() {
        return Ok(());
    }
    take_time(tx).await?;
    for Counter { prefix, .. } in holding(tx, repository).await? {
        let tags = number(tx, sql::TAGS_OF_REPOSITORY, &[&repository]).await?;
        patiently(tx, sql::COUNT_REPOSITORY, &[&prefix, &repository]).await?;
        patiently(tx, sql::TOTAL, &[&tags, &prefix]).await?;
    }
    Ok(())
}

/// The prefixes that are counted.
pub(super) async fn prefixes(connection: &Connection) -> Result<BTreeSet<String>, Fault> {
    connection.all(sql::PREFIXES, &[]).await?.iter().map(|row| column(row, 0)).collect()
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
            tx.execute(sql::END_COUNTING, &[prefix]).await?;
            patiently(tx, sql::FORGET_DIGESTS, &[prefix]).await?;
        }
        for prefix in configured.iter().filter(|prefix| self.is_anew || !counted.contains(*prefix)) {
            tracing::info!("counting what there is for the quota of `{prefix}`");
            tx.execute(sql::BEGIN_COUNTING, &[prefix]).await?;
            patiently(tx, sql::COUNT_PREFIX, &[prefix]).await?;
            let tags = number(tx, sql::TAGS_OF_PREFIX, &[prefix]).await?;
            patiently(tx, sql::TOTAL, &[&tags, prefix]).await?;
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
    let row = connection.one(sql::USAGE, &[&prefix]).await?;
    row.map(|row| Ok(Usage { bytes: unsigned(&row, 0)?, tags: unsigned(&row, 1)? })).transpose()
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
        if !connection.exists(sql::IS_COUNTED, &[&quota.prefix, &digest.to_string()]).await? {
            return Err(MetadataError::from(exceeded).into());
        }
    }
    Ok(())
}

/// What is counted wrongly. However long it takes.
pub(super) async fn audit(connection: &Connection) -> Result<Vec<String>, Fault> {
    let mut said = Vec::new();
    for prefix in prefixes(connection).await? {
        let statement = connection.prepared(sql::AUDIT).await?;
        if let Some(row) = connection.client().query_opt(&statement, &[&prefix]).await? {
            let number = |index| column::<i64>(&row, index);
            let numbers = [number(0)?, number(1)?, number(2)?, number(3)?, number(4)?];
            said.extend(audited(&prefix, numbers));
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
