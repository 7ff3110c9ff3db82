//! Repositories and their catalog.

use registry_types::{RepositoryName, RepositorySet};
use rusqlite::{Connection, params};

use super::{
    statement::{execute, exists, one, parsed, readable},
    writer::Tx,
};
use crate::{
    repository_set::{outermost, range_end},
    sql::repositories as sql,
};

pub(super) fn id(connection: &Connection, name: &RepositoryName) -> rusqlite::Result<Option<i64>> {
    one(connection, sql::ID.sqlite, [name.as_str()], |row| row.get(0))
}

/// The repository's number; a new one if it is new.
pub(super) fn create(tx: &Tx<'_>, name: &RepositoryName) -> rusqlite::Result<i64> {
    if let Some(id) = id(tx.connection(), name)? {
        return Ok(id);
    }
    execute(tx.connection(), sql::CREATE.sqlite, params![name.as_str(), tx.options.lease_ms()])?;
    id(tx.connection(), name)?.ok_or(rusqlite::Error::QueryReturnedNoRows)
}

pub(super) fn page(
    connection: &Connection,
    visible: &RepositorySet,
    after: Option<&str>,
    limit: usize,
) -> rusqlite::Result<Vec<RepositoryName>> {
    let after = after.unwrap_or_default();
    match visible {
        RepositorySet::All => {
            readable(connection, sql::PAGE_AFTER.sqlite, params![after, i64::MAX], limit, |row| {
                parsed(row, 0)
            })
        }
        RepositorySet::Prefixes(prefixes) => page_of_prefixes(connection, prefixes, after, limit),
        RepositorySet::Names(names) => page_of_names(connection, names, after, limit),
    }
}

/// Range by range, so that the cost follows the page and not what the caller may not see.
fn page_of_prefixes(
    connection: &Connection,
    prefixes: &[String],
    after: &str,
    limit: usize,
) -> rusqlite::Result<Vec<RepositoryName>> {
    let mut page = Vec::new();
    for prefix in outermost(prefixes) {
        let end = range_end(prefix);
        let rest = limit - page.len();
        if after >= end.as_str() || rest == 0 {
            continue;
        }
        let (statement, begin) =
            if after < prefix { (sql::RANGE_FROM.sqlite, prefix) } else { (sql::RANGE_AFTER.sqlite, after) };
        let range = params![begin, end, i64::MAX];
        page.extend(readable(connection, statement, range, rest, |row| parsed::<RepositoryName>(row, 0))?);
    }
    Ok(page)
}

fn page_of_names(
    connection: &Connection,
    names: &[RepositoryName],
    after: &str,
    limit: usize,
) -> rusqlite::Result<Vec<RepositoryName>> {
    let mut sorted: Vec<&RepositoryName> = names.iter().filter(|name| name.as_str() > after).collect();
    sorted.sort_unstable();
    sorted.dedup();
    let mut page = Vec::new();
    for name in sorted {
        if page.len() == limit {
            break;
        }
        if exists(connection, sql::IS_LISTED.sqlite, [name.as_str()])? {
            page.push(name.clone());
        }
    }
    Ok(page)
}
