//! How connections are opened and set.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig, functions::FunctionFlags};

use crate::{Clock, OpenError};

/// How long to wait for another process (`registry-gc` beside the server), whose transactions are short.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Between two attempts where SQLite does not wait by itself.
const BUSY_PAUSE: Duration = Duration::from_millis(5);

/// How many prepared statements a connection keeps. More than there are, so that each is prepared once.
pub const STATEMENTS_MAX: usize = 1024;

/// Pages that the writer keeps, in KiB.
const WRITER_CACHE_KIB: i64 = 8 * 1024;

/// Pages that each reader keeps, in KiB. They are not mapped from the file instead: that would spare a copy, but a disk
/// that fails would end the process in place of one request.
const READER_CACHE_KIB: i64 = 4 * 1024;

/// What the log may keep of the disk after it was copied, in bytes.
const LOG_BYTES_MAX: i64 = 64 * 1024 * 1024;

/// The connection that writes. The database may be empty still, or not ours: nothing is changed yet.
///
/// # Errors
/// SQLite's.
pub fn writer(path: &Path, clock: &Arc<dyn Clock>) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    set_up(&connection, clock, WRITER_CACHE_KIB)?;
    Ok(connection)
}

/// Makes the writer's commits durable and readers independent of it.
///
/// # Errors
/// [`OpenError::NoWriteAheadLog`], if the file system does not allow it.
pub fn use_log(connection: &Connection) -> Result<(), OpenError> {
    let failed = || OpenError::database("set the database up");
    let mode = switch_to_log(connection).map_err(failed())?;
    if mode != "wal" {
        return Err(OpenError::NoWriteAheadLog { mode });
    }
    connection
        .pragma_update_and_check(None, "journal_size_limit", LOG_BYTES_MAX, |_| Ok(()))
        .map_err(failed())?;
    // On macOS only this reaches the disk; elsewhere it changes nothing.
    connection.pragma_update(None, "fullfsync", true).map_err(failed())?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed())
}

/// Asks for the write-ahead log and answers with the mode that there is then. Of two connections to a new database, each
/// needs all others to let go for the switch; SQLite refuses one of them at once without having called its busy handler,
/// since both might wait for ever. So the one waits here.
fn switch_to_log(connection: &Connection) -> rusqlite::Result<String> {
    let patience = Instant::now() + BUSY_TIMEOUT;
    loop {
        match connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0)) {
            Err(error) if is_busy(&error) && Instant::now() < patience => std::thread::sleep(BUSY_PAUSE),
            result => return result,
        }
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
}

/// A connection that only reads.
///
/// # Errors
/// SQLite's.
pub fn reader(path: &Path, clock: &Arc<dyn Clock>) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    set_up(&connection, clock, READER_CACHE_KIB)?;
    Ok(connection)
}

/// A connection that copies the log into the database and holds no pages of its own.
pub(crate) fn copier(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Without a first read the connection does not know that there is a log.
    connection.query_row("SELECT 1 FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(connection)
}

/// The connection to a database in memory: there is only this one.
pub(crate) fn memory(clock: &Arc<dyn Clock>) -> rusqlite::Result<Connection> {
    let connection = Connection::open_in_memory()?;
    set_up(&connection, clock, WRITER_CACHE_KIB)?;
    Ok(connection)
}

fn set_up(connection: &Connection, clock: &Arc<dyn Clock>, cache_kib: i64) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    // Without this SQLite believes that a plan may depend on what is bound, and prepares most statements anew each time.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // Negative: KiB instead of pages.
    connection.pragma_update(None, "cache_size", -cache_kib)?;
    let clock = clock.clone();
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DIRECTONLY;
    connection.create_scalar_function("now_ms", 0, flags, move |_| Ok(clock.now_ms()))
}
