//! Repositories in which nothing is: what an upload that was begun and given up, or the last deletion, leaves behind.

use std::sync::Arc;

use async_trait::async_trait;

use super::{
    deleted,
    fault::Fault,
    pool::Pool,
    row::column,
    sql as own,
    transaction::{Tx, Work, try_transact},
};
use crate::{
    CandidateKind, Collected, Kept, Options, Verdict,
    collecting::{FAILED_AGAIN_MS, MAYBE_EMPTY_MAX},
    sql::repositories as sql,
};

/// Looks at repositories that may be empty and whose time has come, and removes those that are. One that is not is not
/// told of.
pub(super) async fn remove_due(
    pool: &Arc<Pool>,
    options: &Arc<Options>,
    limit: usize,
) -> Result<Vec<Collected>, Fault> {
    let mut done = Vec::new();
    if limit == 0 {
        return Ok(done);
    }
    let due = pool.connection().await?.all(sql::MAYBE_EMPTY.postgres, &[&MAYBE_EMPTY_MAX]).await?;
    for row in due {
        if done.len() >= limit {
            break;
        }
        let (id, limit) = (column(&row, 0)?, limit - done.len());
        match try_transact(pool, options, (), Remove { id, limit }).await {
            Ok(removed) => done.extend(removed),
            Err(fault) if fault.is_about_rows() => {
                let (name, reason) =
                    (column(&row, 1)?, fault.explain("remove an empty repository").to_string());
                done.push(try_transact(pool, options, (), Postpone { id, name, reason }).await?);
            }
            Err(fault) => return Err(fault),
        }
    }
    Ok(done)
}

/// Removes up to `limit` rows of a repository, and itself with the last of them, unless something is in it.
///
/// The lock waits for nothing: where a push has a row on its way into the repository, which locks it (`KEY SHARE`), this
/// leaves it alone. A push that comes later waits for this transaction, fails by its foreign key, and is run again; then
/// it makes the repository again.
struct Remove {
    id: i64,
    limit: usize,
}

#[async_trait]
impl Work for Remove {
    type Output = Vec<Collected>;

    async fn run(&self, tx: &Tx<'_>) -> Result<Vec<Collected>, Fault> {
        let (id, lease_ms) = (self.id, tx.options.lease_ms());
        let Some(locked) = tx.one(own::LOCK_MAYBE_EMPTY, &[&id]).await? else { return Ok(Vec::new()) };
        if !tx.exists(sql::HAS_CONTENT.postgres, &[&id]).await? {
            let name = column(&locked, 0)?;
            if deleted::history(tx, id, self.limit).await? {
                return Ok(vec![deleted::empty(CandidateKind::History, name)]);
            }
            if tx.execute(sql::REMOVE_EMPTY.postgres, &[&id, &lease_ms]).await? > 0 {
                return Ok(vec![deleted::empty(CandidateKind::Repository, name)]);
            }
        }
        tx.execute(sql::LOOK_AGAIN.postgres, &[&lease_ms, &id]).await?;
        Ok(Vec::new())
    }
}

/// Has a repository wait, since it could not be removed.
struct Postpone {
    id: i64,
    name: String,
    reason: String,
}

#[async_trait]
impl Work for Postpone {
    type Output = Collected;

    async fn run(&self, tx: &Tx<'_>) -> Result<Collected, Fault> {
        tx.execute(sql::LOOK_AGAIN.postgres, &[&FAILED_AGAIN_MS, &self.id]).await?;
        let verdict = Verdict::Kept(Kept::Failed { reason: self.reason.clone() });
        Ok(Collected { verdict, ..deleted::empty(CandidateKind::Repository, &self.name) })
    }
}
