//! Bytes that are to be deleted.

use std::time::Duration;

use super::{
    connection::Connection,
    fault::Fault,
    row::{column, parsed, readable, signed},
    sql as own,
};
use crate::{Reclaim, clock::millis};

/// For how long a node has the bytes for itself that it is told to delete. What it did not delete by then is told again.
const TAKEN: Duration = Duration::from_secs(10 * 60);

/// What can not be read is taken as well, so that it does not come before others again.
pub(super) async fn take_due(connection: &Connection, limit: usize) -> Result<Vec<Reclaim>, Fault> {
    loop {
        let taken = connection.all(own::TAKE_DUE, &[&signed(limit), &millis(TAKEN)]).await?;
        let due =
            readable(&taken, |row| Ok(Reclaim { location: parsed(row, 0)?, upload_state: column(row, 1)? }))?;
        if !due.is_empty() || taken.is_empty() {
            return Ok(due);
        }
    }
}
