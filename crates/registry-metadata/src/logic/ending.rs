//! The end of a transaction of content.

use registry_database::{Fault, Session};

use super::{Tx, events::Told, quota};

/// Does what comes after all that the transaction was asked for: counts for quotas. Answers the events that are still to be
/// written.
pub(crate) async fn end(tx: &Tx<'_, impl Session>) -> Result<Told, Fault> {
    quota::settle(tx).await?;
    tx.events.told(tx.session).await
}

/// Forgets what a part of a transaction has noted for its end.
pub(crate) fn forget<S>(tx: &Tx<'_, S>) {
    tx.quota.take();
    tx.events.take();
}
