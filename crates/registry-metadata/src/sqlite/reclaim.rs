//! Bytes that are to be deleted.

use registry_database::sqlite::statement::{parsed, readable};
use rusqlite::Connection;

use crate::{Reclaim, sql::reclaim as sql};

pub(super) fn due(connection: &Connection, limit: usize) -> rusqlite::Result<Vec<Reclaim>> {
    readable(connection, sql::DUE.sqlite, [i64::MAX], limit, |row| {
        Ok(Reclaim { location: parsed(row, 0)?, upload_state: row.get(1)? })
    })
}
