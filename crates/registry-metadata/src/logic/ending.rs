//! The end of a transaction of content.

use registry_database::Fault;

use super::{Tx, quota, steps, tuned::Tuned};
use crate::Changes;

/// Does what comes after all that the transaction was asked for: counts for quotas, then runs the steps of other owners. Answers what
/// happened, which is still to be written as events. This is the one place where something is done before a commit.
pub(crate) async fn end(tx: &Tx<'_, impl Tuned>) -> Result<Changes, Fault> {
    quota::settle(tx).await?;
    let changes = Changes(tx.events.told(tx.session).await?);
    steps::before_commit(tx, &changes).await?;
    Ok(changes)
}

/// Forgets what a part of a transaction has noted for its end.
#[cfg(feature = "sqlite")]
pub(crate) fn forget<S>(tx: &Tx<'_, S>) {
    tx.quota.take();
    tx.events.take();
}
