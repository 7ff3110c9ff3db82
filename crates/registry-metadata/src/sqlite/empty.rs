//! Repositories in which nothing is: what an upload that was begun and given up, or the last deletion, leaves behind.

use rusqlite::params;

use super::{
    collect::{in_savepoint, postpone},
    deleted,
    fault::Fault,
    statement::{all, execute, exists},
    writer::Tx,
};
use crate::{
    CandidateKind, Collected,
    collecting::{FAILED_AGAIN_MS, MAYBE_EMPTY_MAX},
    sql::repositories as sql,
};

/// Looks at repositories that may be empty and whose time has come, and removes those that are. One that is not is not
/// told of. A push is either before this, and the repository is not empty, or after it, and makes a new one.
pub(super) fn remove_due(tx: &Tx<'_>, limit: usize) -> Result<Vec<Collected>, Fault> {
    let due: Vec<(i64, String)> = all(tx.connection(), sql::MAYBE_EMPTY.sqlite, [MAYBE_EMPTY_MAX], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    let mut done = Vec::new();
    for (id, name) in due {
        if done.len() >= limit {
            break;
        }
        let rest = limit - done.len();
        let removed = in_savepoint(tx, || remove(tx, id, &name, rest)).or_else(|fault| {
            let verdict = postpone(tx, sql::LOOK_AGAIN.sqlite, params![FAILED_AGAIN_MS, id], fault)?;
            Ok::<_, Fault>(vec![Collected { verdict, ..deleted::empty(CandidateKind::Repository, &name) }])
        });
        done.extend(removed?);
    }
    Ok(done)
}

/// Removes up to `limit` rows of a repository, and itself with the last of them, unless something is in it.
fn remove(tx: &Tx<'_>, id: i64, name: &str, limit: usize) -> Result<Vec<Collected>, Fault> {
    let lease_ms = tx.options.lease_ms();
    if !exists(tx.connection(), sql::HAS_CONTENT.sqlite, [id])? {
        if deleted::history(tx, id, limit)? {
            return Ok(vec![deleted::empty(CandidateKind::History, name)]);
        }
        if execute(tx.connection(), sql::REMOVE_EMPTY.sqlite, params![id, lease_ms])? > 0 {
            return Ok(vec![deleted::empty(CandidateKind::Repository, name)]);
        }
    }
    execute(tx.connection(), sql::LOOK_AGAIN.sqlite, params![lease_ms, id])?;
    Ok(Vec::new())
}
