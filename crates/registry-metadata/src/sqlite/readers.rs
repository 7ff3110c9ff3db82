//! Reading content, on the thread that asks.

use std::sync::Arc;

use registry_database::Sqlite;
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
    pub(super) fn read<T>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        Ok(self.0.readers().read(operation, |connection| Ok(work(connection)?))?)
    }
}
