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

/// Bytes that a node was given.
pub(super) struct Taken {
    /// Those of them that can be read.
    pub(super) due: Vec<Reclaim>,
    /// Whether nothing was due.
    pub(super) is_last: bool,
}

/// Takes some of what is due, in one statement. What can not be read is taken as well, so that it does not come before others
/// again.
pub(super) async fn take_due(connection: &Connection, limit: usize) -> Result<Taken, Fault> {
    let taken = connection.all(own::TAKE_DUE, &[&signed(limit), &millis(TAKEN)]).await?;
    let due =
        readable(&taken, |row| Ok(Reclaim { location: parsed(row, 0)?, upload_state: column(row, 1)? }))?;
    Ok(Taken { due, is_last: taken.is_empty() })
}
