//! How connections are opened and set.

use std::{path::Path, sync::Arc, time::Duration};

use rusqlite::{Connection, OpenFlags, functions::FunctionFlags};

use super::OpenError;
use crate::Clock;

/// How long to wait for another process (`registry-gc` beside the server), whose transactions are short.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// More than there are statements, so that each is prepared once.
pub(super) const STATEMENTS_MAX: usize = 128;

/// Pages that the writer keeps, in KiB.
const WRITER_CACHE_KIB: i64 = 8 * 1024;

/// Pages that each reader keeps, in KiB.
const READER_CACHE_KIB: i64 = 2 * 1024;

/// After how many pages of 4 KiB the log is copied into the database.
const CHECKPOINT_PAGES: i64 = 1000;

/// What the log may keep of the disk after it was copied, in bytes.
const LOG_BYTES_MAX: i64 = 64 * 1024 * 1024;

/// The connection that writes. The database may be empty still, or not ours: nothing is changed yet.
pub(super) fn writer(path: &Path, clock: &Arc<dyn Clock>) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    set_up(&connection, clock, WRITER_CACHE_KIB)?;
    Ok(connection)
}

/// Makes the writer's commits durable and readers independent of it.
pub(super) fn use_log(connection: &Connection) -> Result<(), OpenError> {
    let failed = || OpenError::database("set the database up");
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0)).map_err(failed())?;
    if mode != "wal" {
        return Err(OpenError::NoWriteAheadLog { mode });
    }
    for (name, value) in [
        ("wal_autocheckpoint", std::env::var("CP").map_or(CHECKPOINT_PAGES, |v| v.parse().unwrap())),
        ("journal_size_limit", LOG_BYTES_MAX),
    ] {
        connection.pragma_update_and_check(None, name, value, |_| Ok(())).map_err(failed())?;
    }
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed())
}

/// A connection that only reads.
pub(super) fn reader(path: &Path, clock: &Arc<dyn Clock>) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    set_up(&connection, clock, READER_CACHE_KIB)?;
    Ok(connection)
}

/// The connection to a database in memory: there is only this one.
pub(super) fn memory(clock: &Arc<dyn Clock>) -> rusqlite::Result<Connection> {
    let connection = Connection::open_in_memory()?;
    set_up(&connection, clock, WRITER_CACHE_KIB)?;
    Ok(connection)
}

fn set_up(connection: &Connection, clock: &Arc<dyn Clock>, cache_kib: i64) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    let env = |k: &str, d: i64| std::env::var(k).map_or(d, |v| v.parse().unwrap()); // TUNE
    let cache_kib = if cache_kib == READER_CACHE_KIB { env("RC", cache_kib) } else { env("WC", cache_kib) }; // TUNE
    connection.pragma_update_and_check(None, "mmap_size", env("MM", 0), |_| Ok(()))?; // TUNE
    // Negative: KiB instead of pages.
    connection.pragma_update(None, "cache_size", -cache_kib)?;
    let clock = clock.clone();
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DIRECTONLY;
    connection.create_scalar_function("now_ms", 0, flags, move |_| Ok(clock.now_ms()))
}
