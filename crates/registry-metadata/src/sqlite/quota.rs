//! Quotas: counters that follow what a transaction changed.

use std::collections::BTreeSet;

use registry_digest::Digest;
use registry_types::RepositoryName;
use rusqlite::{Connection, params};

use super::{
    fault::Fault,
    statement::{all, execute, exists, one},
    writer::Tx,
};
use crate::{
    MetadataError, Options, QuotaUsage, UploadRoom, Usage,
    quota::{AUDIT_COLUMNS, Change, Counted, Counter, More, Noted, audited},
    sql::quota as sql,
};

/// Counts what a piece of work noted, and refuses it if it was a push and exceeds a quota.
pub(super) fn settle(tx: &Tx<'_>) -> Result<(), Fault> {
    let Noted { changes, refuses } = tx.quota.take();
    for (repository, change) in changes {
        for counter in holding(tx.connection(), repository)? {
            let mut more = apply(tx.connection(), &counter.prefix, &change)?;
            more += More { tags: change.tags, uploads: change.uploads, ..More::default() };
            let row = params![more.bytes, more.held, more.tags, counter.prefix];
            execute(tx.connection(), sql::ADD.sqlite, row)?;
            let uploads = add_uploads(tx.connection(), &counter.prefix, more.uploads)?;
            if refuses {
                tx.options.refuse_excess(&counter, more, uploads).map_err(MetadataError::from)?;
            }
        }
    }
    Ok(())
}

/// The counters of the quotas that hold for a repository. None for one that was deleted: that is counted no more.
fn holding(connection: &Connection, repository: i64) -> rusqlite::Result<Vec<Counter>> {
    all(connection, sql::HOLDING.sqlite, [repository], |row| {
        Ok(Counter { prefix: row.get(0)?, bytes: row.get(1)?, tags: row.get(2)?, held: row.get(3)? })
    })
}

/// What the prefix has more of.
fn apply(connection: &Connection, prefix: &str, change: &Change) -> rusqlite::Result<More> {
    let mut more = More::default();
    for (digest, used) in &change.digests {
        let row = params![prefix, digest, used.uses, used.holds, used.size_bytes];
        let counted = one(connection, sql::COUNT.sqlite, row, |row| {
            Ok(Counted { uses: row.get(0)?, holds: row.get(1)?, size_bytes: row.get(2)? })
        })?;
        let counted = counted.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        if counted.is_over() {
            execute(connection, sql::FORGET.sqlite, params![prefix, digest])?;
        }
        more += used.settled(counted);
    }
    Ok(more)
}

/// Adds to what the sessions of a prefix have saved, and says how much that is.
fn add_uploads(connection: &Connection, prefix: &str, more: i64) -> rusqlite::Result<i64> {
    match more {
        0 => number(connection, sql::UPLOADS.sqlite, [prefix]),
        more => number(connection, sql::ADD_UPLOADS.sqlite, params![prefix, more]),
    }
}

/// A repository is about to be set aside with all that is in it.
pub(super) fn repository_deleted(tx: &Tx<'_>, repository: i64) -> rusqlite::Result<()> {
    if !tx.quota.is_kept() {
        return Ok(());
    }
    let tags = number(tx.connection(), sql::TAGS_OF_REPOSITORY.sqlite, [repository])?;
    let uploads = number(tx.connection(), sql::UPLOADS_OF_REPOSITORY.sqlite, [repository])?;
    for Counter { prefix, .. } in holding(tx.connection(), repository)? {
        execute(tx.connection(), sql::UNCOUNT_REPOSITORY.sqlite, params![repository, prefix])?;
        execute(tx.connection(), sql::FORGET_UNUSED.sqlite, [&prefix])?;
        execute(tx.connection(), sql::TOTAL.sqlite, params![-tags, prefix])?;
        add_uploads(tx.connection(), &prefix, -uploads)?;
    }
    Ok(())
}

/// A repository was brought back with all that is in it.
pub(super) fn repository_restored(tx: &Tx<'_>, repository: i64) -> rusqlite::Result<()> {
    if !tx.quota.is_kept() {
        return Ok(());
    }
    let tags = number(tx.connection(), sql::TAGS_OF_REPOSITORY.sqlite, [repository])?;
    let uploads = number(tx.connection(), sql::UPLOADS_OF_REPOSITORY.sqlite, [repository])?;
    for Counter { prefix, .. } in holding(tx.connection(), repository)? {
        execute(tx.connection(), sql::COUNT_REPOSITORY.sqlite, params![prefix, repository])?;
        execute(tx.connection(), sql::TOTAL.sqlite, params![tags, prefix])?;
        add_uploads(tx.connection(), &prefix, uploads)?;
    }
    Ok(())
}

/// The prefixes that are counted.
pub(super) fn prefixes(connection: &Connection) -> rusqlite::Result<BTreeSet<String>> {
    Ok(all(connection, sql::PREFIXES.sqlite, [], |row| row.get(0))?.into_iter().collect())
}

/// Counts what is configured and nothing else: what is new, or all of it.
pub(super) fn begin(tx: &Tx<'_>, is_anew: bool) -> Result<(), Fault> {
    let (counted, configured) = (prefixes(tx.connection())?, tx.options.quota_prefixes());
    for prefix in counted.iter().filter(|prefix| is_anew || !configured.contains(*prefix)) {
        execute(tx.connection(), sql::END_COUNTING.sqlite, [prefix])?;
        execute(tx.connection(), sql::FORGET_DIGESTS.sqlite, [prefix])?;
        execute(tx.connection(), sql::FORGET_UPLOADS.sqlite, [prefix])?;
    }
    for prefix in configured.iter().filter(|prefix| is_anew || !counted.contains(*prefix)) {
        tracing::info!("counting what there is for the quota of `{prefix}`");
        execute(tx.connection(), sql::BEGIN_COUNTING.sqlite, [prefix])?;
        execute(tx.connection(), sql::COUNT_PREFIX.sqlite, [prefix])?;
        let tags = number(tx.connection(), sql::TAGS_OF_PREFIX.sqlite, [prefix])?;
        execute(tx.connection(), sql::TOTAL.sqlite, params![tags, prefix])?;
        let uploads = number(tx.connection(), sql::UPLOADS_OF_PREFIX.sqlite, [prefix])?;
        add_uploads(tx.connection(), prefix, uploads)?;
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
    one(connection, sql::USAGE.sqlite, [prefix], |row| {
        // A node of an older version, which counts less, may have left too little.
        let counted = |column| Ok::<_, rusqlite::Error>(row.get::<_, i64>(column)?.max(0).unsigned_abs());
        Ok(Usage { bytes: counted(0)?, tags: counted(1)?, held: counted(2)? })
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
        if !exists(connection, sql::IS_USED.sqlite, params![quota.prefix, digest.to_string()])? {
            return Ok(Err(exceeded.into()));
        }
    }
    Ok(Ok(()))
}

/// How large an upload may become, if a quota limits it.
pub(super) fn room(
    connection: &Connection,
    options: &Options,
    repository: &RepositoryName,
    saved_bytes: u64,
    digest: Option<&Digest>,
) -> rusqlite::Result<Option<UploadRoom>> {
    let mut least: Option<UploadRoom> = None;
    for quota in options.quotas_of(repository.as_str()) {
        let Some(usage) = used(connection, &quota.prefix)? else { continue };
        let is_used = |digest: &Digest| {
            exists(connection, sql::IS_USED.sqlite, params![quota.prefix, digest.to_string()])
        };
        let room = quota.room(usage, saved_bytes, digest.map(is_used).transpose()?);
        least = least.into_iter().chain(room).min_by_key(|room| room.size_bytes_max);
    }
    Ok(least)
}

/// What is counted wrongly.
pub(super) fn audit(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut said = Vec::new();
    for prefix in prefixes(connection)? {
        let numbers = one(connection, sql::AUDIT.sqlite, [&prefix], |row| {
            let mut numbers = [0; AUDIT_COLUMNS];
            for (column, number) in numbers.iter_mut().enumerate() {
                *number = row.get(column)?;
            }
            Ok(numbers)
        })?;
        said.extend(numbers.and_then(|numbers| audited(&prefix, numbers.into())));
    }
    Ok(said)
}

fn number(connection: &Connection, sql: &str, parameters: impl rusqlite::Params) -> rusqlite::Result<i64> {
    Ok(one(connection, sql, parameters, |row| row.get(0))?.unwrap_or(0))
}
