//! Repositories and their catalog.

use registry_database::{Fault, Session, params};
use registry_types::{RepositoryName, RepositorySet};

use super::{Tx, page::Page};
use crate::{
    MetadataError,
    repository_set::{outermost, range_end},
    sql::{postgres, repositories as sql},
};

/// The store of bytes that the database belongs to.
pub(crate) async fn store_id(session: &impl Session) -> Result<Option<String>, Fault> {
    let id: Option<Option<String>> = session.one(sql::STORE_ID, &[]).await?;
    Ok(id.flatten())
}

/// Binds the database to a store of bytes, if it is bound to none; refuses if it is bound to another one.
pub(crate) async fn bind_store(tx: &Tx<'_, impl Session>, asked: &str) -> Result<(), Fault> {
    tx.execute(sql::BIND_STORE, params![asked]).await?;
    match store_id(tx.session).await? {
        Some(bound) if bound != asked => {
            Err(MetadataError::StoreMismatch { bound, asked: asked.to_owned() }.into())
        }
        _ => Ok(()),
    }
}

pub(crate) async fn id(session: &impl Session, name: &RepositoryName) -> Result<Option<i64>, Fault> {
    session.one(sql::ID, params![name.as_str()]).await
}

/// The same, with the row locked against all who delete or restore something in the repository.
pub(crate) async fn lock(session: &impl Session, name: &RepositoryName) -> Result<Option<i64>, Fault> {
    session.one(sql::LOCK, params![name.as_str()]).await
}

/// The repository's number; a new one if it is new.
pub(crate) async fn create(tx: &Tx<'_, impl Session>, name: &RepositoryName) -> Result<i64, Fault> {
    if let Some(id) = id(tx.session, name).await? {
        return Ok(id);
    }
    // If another transaction creates it at this moment, this waits for that and then finds it.
    tx.execute(sql::CREATE, params![name.as_str(), tx.options.lease_ms()]).await?;
    id(tx.session, name).await?.ok_or(Fault::Again)
}

/// Takes a repository off the catalog if its last manifest went. Deletions in it come here one after the other; see
/// `sql::postgres` on what else waits.
pub(crate) async fn unlist_if_empty(tx: &Tx<'_, impl Session>, id: i64) -> Result<(), Fault> {
    if tx.exists(sql::HAS_MANIFESTS, params![id]).await? {
        return Ok(());
    }
    tx.lock(postgres::LOCK_REPOSITORY_ALONE, params![id]).await?;
    tx.execute(sql::UNLIST, params![tx.options.lease_ms(), id]).await.map(drop)
}

pub(crate) async fn page(
    session: &impl Session,
    visible: &RepositorySet,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<RepositoryName>, Fault> {
    let after = after.unwrap_or_default();
    match visible {
        RepositorySet::All => Page::of(sql::PAGE_AFTER).first_readable(session, after, limit).await,
        RepositorySet::Prefixes(prefixes) => page_of_prefixes(session, prefixes, after, limit).await,
        RepositorySet::Names(names) => {
            let names: Vec<&str> = names.iter().map(RepositoryName::as_str).collect();
            let page = Page { before: params![&names[..]], ..Page::of(sql::PAGE_OF_NAMES) };
            page.first_readable(session, after, limit).await
        }
    }
}

/// Range by range, so that the cost follows the page and not what the caller may not see.
async fn page_of_prefixes(
    session: &impl Session,
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
        let (first, begin) =
            if after < prefix { (sql::RANGE_FROM, prefix) } else { (sql::RANGE_AFTER, after) };
        let range = Page { first, next: sql::RANGE_AFTER, before: &[], between: params![&end] };
        page.extend(range.first_readable::<RepositoryName>(session, begin, rest).await?);
    }
    Ok(page)
}
