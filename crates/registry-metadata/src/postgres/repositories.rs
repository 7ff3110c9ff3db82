//! Repositories and their catalog.

use std::{error::Error as StdError, str::FromStr};

use async_trait::async_trait;
use registry_types::{RepositoryName, RepositorySet};

use super::{
    connection::{Connection, Parameters},
    fault::Fault,
    row::{column, parsed, readable, signed},
    sql as own,
    transaction::{Tx, Work},
};
use crate::{
    repository_set::{outermost, range_end},
    sql::repositories as sql,
};

/// The store of bytes that the database belongs to.
pub(super) async fn store_id(connection: &Connection) -> Result<Option<String>, Fault> {
    let row = connection.one(sql::STORE_ID.postgres, &[]).await?;
    row.map_or(Ok(None), |row| column(&row, 0))
}

/// Binds the database to a store of bytes, if it is bound to none; answers the one that it is bound to.
pub(super) struct BindStore(pub(super) String);

#[async_trait]
impl Work for BindStore {
    type Output = Option<String>;

    async fn run(&self, tx: &Tx<'_>) -> Result<Option<String>, Fault> {
        tx.execute(sql::BIND_STORE.postgres, &[&self.0]).await?;
        store_id(tx).await
    }
}

pub(super) async fn id(connection: &Connection, name: &RepositoryName) -> Result<Option<i64>, Fault> {
    let row = connection.one(sql::ID.postgres, &[&name.as_str()]).await?;
    row.map(|row| column(&row, 0)).transpose()
}

/// The repository's number; a new one if it is new.
pub(super) async fn create(tx: &Tx<'_>, name: &RepositoryName) -> Result<i64, Fault> {
    if let Some(id) = id(tx, name).await? {
        return Ok(id);
    }
    // If another one creates it at this moment, this waits for that and then finds it.
    tx.execute(sql::CREATE.postgres, &[&name.as_str(), &tx.options.lease_ms()]).await?;
    id(tx, name).await?.ok_or(Fault::Again)
}

/// Takes a repository off the catalog if its last manifest went. Deletions in it come here one after the other; see
/// `sql` on who else waits.
pub(super) async fn unlist_if_empty(tx: &Tx<'_>, id: i64) -> Result<(), Fault> {
    if tx.exists(own::HAS_MANIFESTS, &[&id]).await? {
        return Ok(());
    }
    tx.exists(own::LOCK_REPOSITORY_ALONE, &[&id]).await?;
    tx.execute(sql::UNLIST.postgres, &[&tx.options.lease_ms(), &id]).await.map(drop)
}

pub(super) async fn page(
    connection: &Connection,
    visible: &RepositorySet,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<RepositoryName>, Fault> {
    let after = after.unwrap_or_default();
    match visible {
        RepositorySet::All => {
            Page::of(sql::PAGE_AFTER.postgres).first_readable(connection, after, limit).await
        }
        RepositorySet::Prefixes(prefixes) => page_of_prefixes(connection, prefixes, after, limit).await,
        RepositorySet::Names(names) => {
            let names: Vec<&str> = names.iter().map(RepositoryName::as_str).collect();
            let page = Page { before: &[&names], ..Page::of(own::PAGE_OF_NAMES) };
            page.first_readable(connection, after, limit).await
        }
    }
}

/// Range by range, so that the cost follows the page and not what the caller may not see.
async fn page_of_prefixes(
    connection: &Connection,
    prefixes: &[String],
    after: &str,
    limit: usize,
) -> Result<Vec<RepositoryName>, Fault> {
    let mut page = Vec::new();
    for prefix in outermost(prefixes) {
        let end = range_end(prefix);
        let rest = limit - page.len();
        if after >= end.as_str() || rest == 0 {
            continue;
        }
        let (first, begin) = if after < prefix {
            (sql::RANGE_FROM.postgres, prefix)
        } else {
            (sql::RANGE_AFTER.postgres, after)
        };
        let range = Page { first, next: sql::RANGE_AFTER.postgres, before: &[], between: &[&end] };
        page.extend(range.first_readable::<RepositoryName>(connection, begin, rest).await?);
    }
    Ok(page)
}

/// A list of texts, by statements whose parameters are some, a text to begin after, some, and a limit.
pub(super) struct Page<'a> {
    /// For the first page.
    pub(super) first: &'static str,
    /// For those after it.
    pub(super) next: &'static str,
    pub(super) before: Parameters<'a>,
    pub(super) between: Parameters<'a>,
}

impl Page<'_> {
    pub(super) fn of(sql: &'static str) -> Page<'static> {
        Page { first: sql, next: sql, before: &[], between: &[] }
    }

    /// The first `limit` texts that can be read; the others are passed over.
    pub(super) async fn first_readable<T>(
        &self,
        connection: &Connection,
        after: &str,
        limit: usize,
    ) -> Result<Vec<T>, Fault>
    where
        T: FromStr<Err: StdError + Send + Sync + 'static>,
    {
        let (mut found, mut after, mut sql) = (Vec::new(), after.to_owned(), self.first);
        loop {
            let rest = signed(limit - found.len());
            let (before, between): (Vec<_>, Vec<_>) = (self.before.to_vec(), self.between.to_vec());
            let parameters = [before, vec![&after], between, vec![&rest]].concat();
            let rows = connection.all(sql, &parameters).await?;
            found.extend(readable(&rows, |row| parsed(row, 0))?);
            match rows.last() {
                Some(last) if signed(rows.len()) == rest && found.len() < limit => after = column(last, 0)?,
                _ => return Ok(found),
            }
            sql = self.next;
        }
    }
}
