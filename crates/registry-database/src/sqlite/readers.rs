//! Connections for reading, used on the thread that asks: a point read is cheaper than the way to another thread.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use parking_lot::{Mutex, MutexGuard};
use rusqlite::Connection;

use crate::{Error, Fault};

/// Each connection is used by one thread at a time. There are as many as threads that are likely to ask at once, so
/// that the lock is free.
#[derive(Debug)]
pub struct Readers(Vec<Arc<Mutex<Connection>>>);

impl Readers {
    pub(crate) fn new(connections: Vec<Arc<Mutex<Connection>>>) -> Readers {
        assert!(!connections.is_empty(), "somebody has to read");
        Readers(connections)
    }

    /// Reads. Each statement by itself sees one state of the database; work that needs more than one statement to agree
    /// does not belong here.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn read<T>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, Fault>,
    ) -> Result<T, Error> {
        work(&self.connection()).map_err(|fault| fault.explain(operation))
    }

    /// The connection that this thread used last, or another one that is free, or else the one that this thread used
    /// last when it is free again.
    fn connection(&self) -> MutexGuard<'_, Connection> {
        let count = self.0.len();
        let own = own_number();
        let free = (0..count).find_map(|step| self.0[(own + step) % count].try_lock());
        free.unwrap_or_else(|| self.0[own % count].lock())
    }
}

/// A small number for each thread.
fn own_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    OWN.with(|own| *own)
}
