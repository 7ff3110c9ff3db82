//! Which namespace a repository is in, and how namespaces come and go.
//!
//! Without accounts a namespace is the first component of what was pushed: it comes with its first repository. It goes with
//! its last one, unless something other than a push has made it (`kept`): a client that may push anywhere could otherwise fill
//! the table with names for ever, and take names that nothing uses from clients that come later. An older program beside this one
//! may leave a namespace without a repository; a collection finds it. A repository that was deleted and can be restored holds its
//! namespace.

use std::{
    collections::BTreeSet,
    error::Error as StdError,
    sync::atomic::{AtomicI64, Ordering},
};

use registry_database::{Fault, Session, params};
use registry_types::RepositoryName;

use super::{Tx, all_readable, deleted, repositories, steps::namespace_goes, tuned::Tuned};
use crate::{
    GoneNamespace,
    aside::former_name,
    sql::{namespaces as sql, repositories as repository_sql},
};

/// The namespace of repositories whose names have one component.
const OF_SINGLE: &str = "_";

/// How many repositories one transaction places.
const PLACED_MAX: i64 = 500;

/// How many transactions a start does that place repositories. The collector places the rest.
const BATCHES_OF_START_MAX: u32 = 20;

/// How many namespaces a collection looks at that nothing may be in.
const LOOKED_AT_MAX: i64 = 100;

/// The name of the namespace of a repository, which may be set aside.
pub(crate) fn namespace_of(repository: &str) -> &str {
    let name = former_name(repository).unwrap_or(repository);
    name.split_once('/').map_or(OF_SINGLE, |(first, _)| first)
}

/// Whether the namespace of a repository is there; of a name of one component, whether the repository itself is or can be restored.
pub(crate) async fn is_there(session: &impl Session, repository: &RepositoryName) -> Result<bool, Fault> {
    match namespace_of(repository.as_str()) {
        OF_SINGLE => Ok(repositories::id(session, repository).await?.is_some()
            || !deleted::deleted_as(session, repository).await?.is_empty()),
        namespace => session.exists(sql::IS_THERE, params![namespace]).await,
    }
}

/// Makes a namespace, unless it is there, and puts a new repository into it, unless that is there; answers the repository's
/// number. Of two transactions that make one of them at once, the second waits for the first and finds its row.
pub(crate) async fn make(tx: &Tx<'_, impl Session>, repository: &RepositoryName) -> Result<i64, Fault> {
    let (name, namespace) = (repository.as_str(), namespace_of(repository.as_str()));
    let row = params![name, tx.options.lease_ms(), namespace];
    tx.ready(&[sql::MAKE, repository_sql::CREATE, repository_sql::ID].map(|statement| statement.postgres))
        .await?;
    let (_, _, id) = pipeline!(
        tx.execute(sql::MAKE, params![namespace]),
        tx.execute(repository_sql::CREATE, row),
        repositories::id(tx.session, repository),
    )?;
    id.ok_or(Fault::Again)
}

/// Whether a repository is in no namespace.
pub(crate) async fn is_any_unplaced(session: &impl Session) -> Result<bool, Fault> {
    session.exists(sql::UNPLACED, params!["", 1]).await
}

/// Removes the namespace of a repository that this transaction has removed, if nothing else is in it and it is not kept. The
/// last thing that the transaction locks, but for counters of quotas: it waits for repositories on their way in.
pub(crate) async fn remove_with_last(tx: &Tx<'_, impl Tuned>, repository: &str) -> Result<(), Fault> {
    match tx.one::<i64>(sql::LOCK_UNKEPT, params![namespace_of(repository)]).await? {
        Some(id) => remove_locked(tx, &[id]).await,
        None => Ok(()),
    }
}

/// Up to where collections have looked for namespaces that nothing is in: a number, and 0 at the start and after the last. Each
/// process looks by itself.
#[derive(Debug, Default)]
pub(crate) struct LookedAt(AtomicI64);

/// The numbers of those of the next [`LOOKED_AT_MAX`] namespaces that nothing is in and that are not kept: what a program has
/// left that knows of no namespaces. So all collections together look at all namespaces again and
/// again, and each of them reads a hundred rows and looks as many times into an index.
pub(crate) async fn next_unused(session: &impl Session, looked_at: &LookedAt) -> Result<Vec<i64>, Fault> {
    let next = params![looked_at.0.load(Ordering::Relaxed), LOOKED_AT_MAX];
    let found: Vec<(i64, bool)> = session.all(sql::UNUSED_AFTER, next).await?;
    let last = found.last().filter(|_| found.len() as i64 == LOOKED_AT_MAX);
    looked_at.0.store(last.map_or(0, |(id, _)| *id), Ordering::Relaxed);
    Ok(found.into_iter().filter(|(_, is_unused)| *is_unused).map(|(id, _)| id).collect())
}

/// Removes those of some namespaces that still nothing is in.
pub(crate) async fn remove_unused(tx: &Tx<'_, impl Tuned>, ids: &[i64]) -> Result<(), Fault> {
    let locked: Vec<i64> = tx.all(sql::LOCK_UNUSED, params![ids]).await?;
    remove_locked(tx, &locked).await
}

/// Removes those of some namespaces that are locked in which nothing is. Where other owners have something to do first, one that
/// becomes unused only after the look stays for a later collection.
async fn remove_locked(tx: &Tx<'_, impl Tuned>, ids: &[i64]) -> Result<(), Fault> {
    if tx.options.steps.namespace_goes.is_empty() {
        return tx.execute(sql::REMOVE_UNUSED, params![ids]).await.map(drop);
    }
    let unused: Vec<(i64, String)> = tx.all(sql::UNUSED_OF, params![ids]).await?;
    for (id, name) in unused {
        namespace_goes(tx, &GoneNamespace { id, name }).await?;
        tx.execute(sql::REMOVE_UNUSED, params![&[id][..]]).await?;
    }
    Ok(())
}

/// How far the placing of repositories has come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Placing {
    /// The name of the last one.
    after: String,
    count: u64,
    batches: u32,
    is_done: bool,
}

impl Placing {
    /// Whether a start has placed all that it is to place; says in the log how many that were, if any were.
    pub(crate) fn is_done(&self) -> bool {
        let is_done = self.is_done || self.batches >= BATCHES_OF_START_MAX;
        if is_done && self.count > 0 {
            let (count, rest) = (self.count, if self.is_done { "" } else { "; the collector goes on" });
            tracing::info!(
                "put {count} repositories into their namespaces, which an earlier program had made{rest}"
            );
        }
        is_done
    }
}

/// Says that repositories could not be placed, which stops nothing: the collector tries again.
pub(crate) fn warn_not_placed(error: &(dyn StdError + 'static)) {
    tracing::warn!(
        error,
        "some repositories could not be put into their namespaces; the collector tries again: {error}"
    );
}

/// Puts the next [`PLACED_MAX`] repositories that are in no namespace into theirs, in three statements.
pub(crate) async fn place(session: &impl Session, so_far: Placing) -> Result<Placing, Fault> {
    let next = params![so_far.after.as_str(), PLACED_MAX];
    let found: Vec<(i64, String)> = all_readable(session, sql::UNPLACED, next).await?;
    let (ids, names): (Vec<i64>, Vec<&str>) =
        found.iter().map(|(id, name)| (*id, namespace_of(name))).unzip();
    let namespaces: Vec<&str> = BTreeSet::from_iter(names.iter().copied()).into_iter().collect();
    session.execute(sql::MAKE_ALL, params![&namespaces[..]]).await?;
    let placed = session.execute(sql::PLACE, params![&names[..], &ids[..]]).await?;
    let is_done = (found.len() as i64) < PLACED_MAX;
    let after = found.into_iter().next_back().map_or(so_far.after, |(_, name)| name);
    Ok(Placing { after, count: so_far.count + placed, batches: so_far.batches + 1, is_done })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_the_first_component() {
        for (repository, expected) in [
            ("team/app", "team"),
            ("team/a/b", "team"),
            ("app", "_"),
            ("docker.io/library/alpine", "docker.io"),
            ("~7~team/app", "team"),
            ("~7~app", "_"),
        ] {
            assert_eq!(namespace_of(repository), expected, "{repository}");
        }
    }
}
