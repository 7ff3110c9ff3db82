//! The commit, and what is sent with it.
//!
//! A statement that waits for an answer before it is sent would be sent after the commit, and done by itself. So what goes with a
//! commit is a list of statements and no code, and all of it is prepared before.

use super::{Connection, session::in_order};
use crate::{Deferred, Fault, Remedy};

/// How many statements are sent with a commit at most.
const WITH_COMMIT_MAX: usize = 64;

impl Connection {
    /// Prepares the last statements of a transaction, and sends all of them but the ones that go with the commit, which it answers.
    ///
    /// # Errors
    /// See [`Fault`].
    pub(crate) async fn send_first<'l, 's>(
        &self,
        last: &'l [Deferred<'s>],
    ) -> Result<&'l [Deferred<'s>], Fault> {
        if last.is_empty() {
            return Ok(last);
        }
        let mut texts: Vec<_> = last.iter().map(|deferred| deferred.statement.postgres).collect();
        texts.dedup();
        self.ready(&texts).await?;
        let (first, with_commit) = last.split_at(last.len().saturating_sub(WITH_COMMIT_MAX));
        for some in first.chunks(WITH_COMMIT_MAX) {
            self.send(some).await?;
        }
        Ok(with_commit)
    }

    /// Commits, and sends these statements, which are prepared, in the same round trip before it. A statement that fails has the
    /// commit roll back. After it the connection can be used again, unless no answer came.
    ///
    /// # Errors
    /// The statements' [`Fault`], or that of the commit. If its remedy is to reconnect, it is not known whether anything was kept.
    pub(crate) async fn commit_with(&self, statements: &[Deferred<'_>]) -> Result<(), Fault> {
        let (outcome, committed) = tokio::join!(biased; self.send(statements), self.batch("COMMIT"));
        committed?;
        if !outcome.as_ref().is_err_and(|fault| fault.remedy() == Remedy::Reconnect) {
            self.mark_unusable(false);
        }
        outcome
    }

    async fn send(&self, statements: &[Deferred<'_>]) -> Result<(), Fault> {
        let changes = statements.iter().map(|it| self.change(it.statement.postgres, &it.params));
        in_order(changes).await.map(drop)
    }
}
