//! Repositories and their catalog.

use registry_types::{RepositoryName, RepositorySet};
use rusqlite::{Connection, Row, params};

use super::{
    statement::{all, execute, exists, one, parsed, signed},
    writer::Tx,
};
use crate::{
    repository_set::{outermost, range_end},
    sql::repositories as sql,
};

pub(super) fn id(connection: &Connection, name: &RepositoryName) -> rusqlite::Result<Option<i64>> {
    one(connection, sql::ID, [name.as_str()], |row| row.get(0))
}

/// The repository's number; a new one if it is new.
pub(super) fn create(tx: &Tx<'_>, name: &RepositoryName) -> rusqlite::Result<i64> {
    if let Some(id) = id(tx.connection, name)? {
        return Ok(id);
    }
    execute(tx.connection, sql::CREATE, [name.as_str()])?;
    id(tx.connection, name)?.ok_or(rusqlite::Error::QueryReturnedNoRows)
}

pub(super) fn page(
    connection: &Connection,
    visible: &RepositorySet,
    after: Option<&str>,
    limit: usize,
) -> rusqlite::Result<Vec<RepositoryName>> {
    let after = after.unwrap_or_default();
    match visible {
        RepositorySet::All => all(connection, sql::PAGE_AFTER, params![after, signed(limit)], name),
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
        let rest = signed(limit - page.len());
        if after >= end.as_str() || rest == 0 {
            continue;
        }
        page.extend(if after < prefix {
            all(connection, sql::RANGE_FROM, params![prefix, end, rest], name)?
        } else {
            all(connection, sql::RANGE_AFTER, params![after, end, rest], name)?
        });
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
        if exists(connection, sql::IS_LISTED, [name.as_str()])? {
            page.push(name.clone());
        }
    }
    Ok(page)
}

fn name(row: &Row<'_>) -> rusqlite::Result<RepositoryName> {
    parsed(row, 0)
}
