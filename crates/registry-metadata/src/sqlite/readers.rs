//! Reading content, on the thread that asks.

use std::sync::Arc;

use registry_database::{Fault, Sqlite};
use rusqlite::Connection;

use crate::Result;

#[derive(Clone, Debug)]
pub(super) struct Readers(Arc<Sqlite>);

impl Readers {
    pub(super) fn new(database: Arc<Sqlite>) -> Readers {
        Readers(database)
    }

    /// Reads. Each statement by itself sees one state of the database; work that needs more than one statement to agree
    /// does not belong here.
    pub(super) fn read<T, E: Into<Fault>>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Connection) -> std::result::Result<T, E>,
    ) -> Result<T> {
        Ok(self.0.readers().read(operation, |connection| work(connection).map_err(Into::into))?)
    }
}
