//! Which namespace a repository is in, and how namespaces come and go.
//!
//! Without accounts a namespace is the first component of what was pushed: it comes with its first repository. It goes with
//! its last one, unless something other than a push has made it (`kept`): a person who may push anywhere could otherwise fill
//! the table with names for ever, and take names that nothing uses from those who come later. A repository that was deleted
//! and can be restored holds its namespace.

use std::collections::BTreeMap;

use registry_database::{Fault, Session, params};
use registry_types::RepositoryName;

use super::{Tx, repositories};
use crate::{
    aside::former_name,
    sql::{namespaces as sql, repositories as repository_sql},
};

/// The namespace of repositories whose names have one component.
const OF_SINGLE: &str = "_";

/// How many repositories one transaction places.
const PLACED_MAX: i64 = 500;

/// The name of the namespace of a repository, which may be set aside.
pub(crate) fn namespace_of(repository: &str) -> &str {
    let name = former_name(repository).unwrap_or(repository);
    name.split_once('/').map_or(OF_SINGLE, |(first, _)| first)
}

/// Makes a namespace, unless it is there, and puts a new repository into it, unless that is there; answers the repository's
/// number. Of two transactions that make one of them at once, the second waits for the first and finds its row.
pub(crate) async fn make(tx: &Tx<'_, impl Session>, repository: &RepositoryName) -> Result<i64, Fault> {
    let (name, namespace) = (repository.as_str(), namespace_of(repository.as_str()));
    let row = params![name, tx.options.lease_ms(), namespace];
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

/// Removes the namespace of a repository that this transaction has removed, if nothing else is in it and it is not kept.
pub(crate) async fn remove_unused(session: &impl Session, repository: &str) -> Result<(), Fault> {
    if let Some(id) = session.one::<i64>(sql::LOCK_UNKEPT, params![namespace_of(repository)]).await? {
        session.execute(sql::REMOVE_UNUSED, params![id]).await?;
    }
    Ok(())
}

/// How far the placing of repositories has come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Placing {
    /// The name of the last one.
    after: String,
    count: usize,
    is_done: bool,
}

impl Placing {
    /// Whether none is left; says in the log how many were placed, if any were.
    pub(crate) fn is_done(&self) -> bool {
        if self.is_done && self.count > 0 {
            let count = self.count;
            tracing::info!(
                "put {count} repositories into their namespaces, which an earlier program had made"
            );
        }
        self.is_done
    }
}

/// Puts the next [`PLACED_MAX`] repositories that are in no namespace into theirs.
pub(crate) async fn place(session: &impl Session, so_far: Placing) -> Result<Placing, Fault> {
    let next = params![so_far.after.as_str(), PLACED_MAX];
    let found: Vec<(i64, String)> = session.all(sql::UNPLACED, next).await?;
    let mut placed: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for (id, name) in &found {
        placed.entry(namespace_of(name)).or_default().push(*id);
    }
    let names: Vec<_> = placed.keys().map(|name| [(*name).into()]).collect();
    session.execute_many(sql::MAKE, &names).await?;
    for (name, ids) in &placed {
        session.execute(sql::PLACE, params![*name, &ids[..]]).await?;
    }
    let (count, is_done) = (so_far.count + found.len(), (found.len() as i64) < PLACED_MAX);
    let after = found.into_iter().next_back().map_or(so_far.after, |(_, name)| name);
    Ok(Placing { after, count, is_done })
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
