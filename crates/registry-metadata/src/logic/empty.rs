//! Repositories in which nothing is: what an upload that was begun and given up, or the last deletion, leaves behind.

use registry_database::{Fault, Session, params};

use super::{Tx, deleted, namespaces::remove_with_last, steps::repository_goes, tuned::Tuned};
use crate::{
    Candidate, CandidateKind, Collected, Kept, Verdict,
    collecting::{FAILED_AGAIN_MS, MAYBE_EMPTY_MAX},
    sql::repositories as sql,
};

/// The numbers and names of repositories that may be empty and whose time has come.
pub(crate) async fn due(session: &impl Session) -> Result<Vec<(i64, String)>, Fault> {
    session.all(sql::MAYBE_EMPTY, params![MAYBE_EMPTY_MAX]).await
}

/// Removes up to `limit` rows of a repository, and itself with the last of them, unless something is in it; then nothing is
/// told of it.
///
/// A push is either before this, and the repository is not empty, or after it, and makes a new one. On PostgreSQL the lock
/// waits for nothing: where a push has a row on its way into the repository, which locks it (`KEY SHARE`), this leaves it
/// alone. A push that comes later waits for this transaction, fails by its foreign key, and is run again.
pub(crate) async fn remove(tx: &Tx<'_, impl Tuned>, id: i64, limit: usize) -> Result<Vec<Collected>, Fault> {
    let lease_ms = tx.options.lease_ms();
    let name: Option<String> = tx.one(sql::LOCK_MAYBE_EMPTY, params![id]).await?;
    let Some(name) = name else { return Ok(Vec::new()) };
    if !tx.exists(sql::HAS_CONTENT, params![id]).await? {
        if deleted::history(tx, id, limit).await? {
            return Ok(vec![empty(CandidateKind::History, &name)]);
        }
        if tx.exists(sql::IS_OLD, params![id, lease_ms]).await? {
            repository_goes(tx, id, &name).await?;
            tx.execute(sql::REMOVE_EMPTY, params![id]).await?;
            remove_with_last(tx, &name).await?;
            return Ok(vec![empty(CandidateKind::Repository, &name)]);
        }
    }
    tx.execute(sql::LOOK_AGAIN, params![lease_ms, id]).await?;
    Ok(Vec::new())
}

/// Has a repository wait, since it could not be removed.
pub(crate) async fn postpone(
    tx: &Tx<'_, impl Session>,
    id: i64,
    name: &str,
    reason: &str,
) -> Result<Collected, Fault> {
    tx.execute(sql::LOOK_AGAIN, params![FAILED_AGAIN_MS, id]).await?;
    let verdict = Verdict::Kept(Kept::Failed { reason: reason.to_owned() });
    Ok(Collected { verdict, ..empty(CandidateKind::Repository, name) })
}

/// A repository in which nothing was, or the history of its tags.
fn empty(kind: CandidateKind, name: &str) -> Collected {
    let (digest, reason) = (name.to_owned(), "empty".to_owned());
    let candidate = Candidate { kind, repository: None, digest, reason };
    Collected { candidate, verdict: Verdict::Removed { bytes: 0 } }
}
