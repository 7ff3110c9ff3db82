//! The one order of all events.

use registry_database::{Fault, Session, Step, params, step};

use crate::sql;

/// How many events get their positions in one transaction. The statement has the number as well.
pub const ORDERED_MAX: usize = 500;

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ordered {
    /// How many events got their positions. Fewer than [`ORDERED_MAX`], if no more waited.
    pub events: usize,
    /// The last position that was given, by this or before.
    pub position: i64,
}

/// Gives up to [`ORDERED_MAX`] events their positions: of those that have none, the ones that were written first.
///
/// One node does it at a time, under the lock of the stream, and skips none. So a consumer that has come to a position never
/// misses an event before it, however late its transaction ends: such an event gets a later position. Two events of one thing
/// are written under that thing's lock, one after the other, and get their positions in that order.
#[derive(Clone, Copy, Debug)]
pub struct Order;

impl Step for Order {
    type Of = ();
    type Output = Ordered;

    async fn run<S: Session>(&self, session: &S, (): &()) -> Result<Ordered, Fault> {
        // Without a stream there has never been a consumer.
        let Some(position) = session.one::<i64>(sql::LOCK_STREAM, params![]).await? else {
            return Ok(Ordered::default());
        };
        // In a statement of its own, so that it sees what the last one that held the lock did.
        let given = session.execute(sql::GIVE_POSITIONS, params![position]).await?;
        if given > 0 {
            session.execute(sql::ADVANCE_STREAM, params![given as i64]).await?;
        }
        Ok(Ordered { events: given as usize, position: position + given as i64 })
    }
}

/// Whether an event waits for a position.
pub(crate) struct IsWaiting;

impl Step for IsWaiting {
    type Of = ();
    type Output = bool;

    async fn run<S: Session>(&self, session: &S, (): &()) -> Result<bool, Fault> {
        session.exists(sql::IS_WAITING, params![]).await
    }
}

step!(Order, IsWaiting);
