//! What may have become garbage, and bytes that have.

use registry_database::{Fault, Session, params};
use registry_types::Location;

use super::Tx;
use crate::sql::reclaim as sql;

/// Gives up bytes that no row leads to any more, `in_ms` from now.
pub(crate) async fn give_up(
    tx: &Tx<'_, impl Session>,
    location: &Location,
    in_ms: i64,
    reason: &str,
) -> Result<(), Fault> {
    tx.execute(sql::RECLAIM, params![location.as_str(), in_ms, reason]).await.map(drop)
}
