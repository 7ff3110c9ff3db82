//! Quotas: counters that follow what a transaction changed.

use std::{cmp::Ordering, collections::BTreeSet};

use registry_digest::Digest;
use registry_types::RepositoryName;
use rusqlite::{Connection, params};

use super::{
    fault::Fault,
    statement::{all, execute, exists, one, unsigned},
    writer::Tx,
};
use crate::{
    MetadataError, Options, QuotaUsage, Usage,
    quota::{Change, Counter, Noted, Use, audited},
    sql::quota as sql,
};

/// Counts what a piece of work noted, and refuses it if it was a push and exceeds a quota.
pub(super) fn settle(tx: &Tx<'_>) -> Result<(), Fault> {
    let Noted { changes, refuses } = tx.quota.take();
    for (repository, change) in changes {
        for counter in holding(tx.connection, repository)? {
            let bytes = apply(tx.connection, &counter.prefix, &change)?;
            execute(tx.connection, sql::ADD, params![bytes, change.tags, counter.prefix])?;
            if refuses {
                let fits = tx.options.refuse_excess(&counter, bytes, change.tags);
                fits.map_err(MetadataError::from)?;
            }
        }
    }
    Ok(())
}

/// The counters of the quotas that hold for a repository. None for one that was deleted: that is counted no more.
fn holding(connection: &Connection, repository: i64) -> rusqlite::Result<Vec<Counter>> {
    all(connection, sql::HOLDING, [repository], |row| {
        Ok(Counter { prefix: row.get(0)?, bytes: row.get(1)?, tags: row.get(2)? })
    })
}

/// How many bytes more the prefix has.
fn apply(connection: &Connection, prefix: &str, change: &Change) -> rusqlite::Result<i64> {
    let mut bytes = 0;
    for (digest, used) in &change.digests {
        bytes += match used.uses.cmp(&0) {
            Ordering::Greater => count(connection, prefix, digest, used)?,
            Ordering::Less => -uncount(connection, prefix, digest, used)?,
            Ordering::Equal => 0,
        };
    }
    Ok(bytes)
}

/// How many bytes a digest adds: none, if it is counted already.
fn count(connection: &Connection, prefix: &str, digest: &str, used: &Use) -> rusqlite::Result<i64> {
    let row = params![prefix, digest, used.uses, used.size_bytes];
    let counted: Option<(i64, i64)> = one(connection, sql::COUNT, row, |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(counted.filter(|(uses, _)| *uses == used.uses).map_or(0, |(_, size)| size))
}

/// How many bytes a digest takes along: none, if something else uses it.
fn uncount(connection: &Connection, prefix: &str, digest: &str, used: &Use) -> rusqlite::Result<i64> {
    execute(connection, sql::UNCOUNT, params![-used.uses, prefix, digest])?;
    Ok(one(connection, sql::FORGET, params![prefix, digest], |row| row.get(0))?.unwrap_or(0))
}

/// A repository is about to be set aside with all that is in it.
pub(super) fn repository_goes(tx: &Tx<'_>, repository: i64) -> rusqlite::Result<()> {
    if !tx.quota.is_kept() {
        return Ok(());
    }
    let tags = number(tx.connection, sql::TAGS_OF_REPOSITORY, [repository])?;
    for Counter { prefix, .. } in holding(tx.connection, repository)? {
        execute(tx.connection, sql::UNCOUNT_REPOSITORY, params![repository, prefix])?;
        execute(tx.connection, sql::FORGET_UNUSED, [&prefix])?;
        execute(tx.connection, sql::TOTAL, params![-tags, prefix])?;
    }
    Ok(())
}

/// A repository was brought back with all that is in it.
pub(super) fn repository_comes(tx: &Tx<'_>, repository: i64) -> rusqlite::Result<()> {
    if !tx.quota.is_kept() {
        return Ok(());
    }
    let tags = number(tx.connection, sql::TAGS_OF_REPOSITORY, [repository])?;
    for Counter { prefix, .. } in holding(tx.connection, repository)? {
        execute(tx.connection, sql::COUNT_REPOSITORY, params![prefix, repository])?;
        execute(tx.connection, sql::TOTAL, params![tags, prefix])?;
    }
    Ok(())
}

/// The prefixes that are counted.
pub(super) fn prefixes(connection: &Connection) -> rusqlite::Result<BTreeSet<String>> {
    Ok(all(connection, sql::PREFIXES, [], |row| row.get(0))?.into_iter().collect())
}

/// Counts what is configured and nothing else: what is new, or all of it.
pub(super) fn begin(tx: &Tx<'_>, is_anew: bool) -> Result<(), Fault> {
    let (counted, configured) = (prefixes(tx.connection)?, tx.options.quota_prefixes());
    for prefix in counted.iter().filter(|prefix| is_anew || !configured.contains(*prefix)) {
        execute(tx.connection, sql::END_COUNTING, [prefix])?;
        execute(tx.connection, sql::FORGET_DIGESTS, [prefix])?;
    }
    for prefix in configured.iter().filter(|prefix| is_anew || !counted.contains(*prefix)) {
        tracing::info!("counting what there is for the quota of `{prefix}`");
        execute(tx.connection, sql::BEGIN_COUNTING, [prefix])?;
        execute(tx.connection, sql::COUNT_PREFIX, [prefix])?;
        let tags = number(tx.connection, sql::TAGS_OF_PREFIX, [prefix])?;
        execute(tx.connection, sql::TOTAL, params![tags, prefix])?;
    }
    Ok(())
}

pub(super) fn usage(connection: &Connection, options: &Options) -> rusqlite::Result<Vec<QuotaUsage>> {
    let usage = |quota: &crate::Quota| {
        Ok(QuotaUsage { usage: used(connection, &quota.prefix)?, quota: quota.clone() })
    };
    options.quotas.iter().map(usage).collect()
}

fn used(connection: &Connection, prefix: &str) -> rusqlite::Result<Option<Usage>> {
    one(connection, sql::USAGE, [prefix], |row| {
        Ok(Usage { bytes: unsigned(row, 0)?, tags: unsigned(row, 1)? })
    })
}

/// Why there is no room for any byte, if so.
pub(super) fn refuse_if_full(
    connection: &Connection,
    options: &Options,
    repository: &RepositoryName,
) -> rusqlite::Result<Result<(), MetadataError>> {
    for quota in options.quotas_of(repository.as_str()) {
        let room = used(connection, &quota.prefix)?.map_or(Ok(()), |usage| quota.has_room(usage));
        if let Err(exceeded) = room {
            return Ok(Err(exceeded.into()));
        }
    }
    Ok(Ok(()))
}

/// Why there is no room for a blob, if so.
pub(super) fn refuse_if_too_large(
    connection: &Connection,
    options: &Options,
    repository: &RepositoryName,
    digest: &Digest,
    size_bytes: u64,
) -> rusqlite::Result<Result<(), MetadataError>> {
    for quota in options.quotas_of(repository.as_str()) {
        let Some(usage) = used(connection, &quota.prefix)? else { continue };
        let Err(exceeded) = quota.has_room_for(usage, size_bytes) else { continue };
        if !exists(connection, sql::IS_COUNTED, params![quota.prefix, digest.to_string()])? {
            return Ok(Err(exceeded.into()));
        }
    }
    Ok(Ok(()))
}

/// What is counted wrongly.
pub(super) fn audit(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut said = Vec::new();
    for prefix in prefixes(connection)? {
        let numbers = one(connection, sql::AUDIT, [&prefix], |row| {
            Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?])
        })?;
        said.extend(numbers.and_then(|numbers| audited(&prefix, numbers)));
    }
    Ok(said)
}

fn number(connection: &Connection, sql: &str, parameters: impl rusqlite::Params) -> rusqlite::Result<i64> {
    Ok(one(connection, sql, parameters, |row| row.get(0))?.unwrap_or(0))
}
