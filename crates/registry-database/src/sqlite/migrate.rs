//! From whatever schema a database has to the one that this program writes.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior, params};

use crate::{
    OpenError, Owners, SQLITE,
    owners::{FOUND_OWNERS, Found, NOTE_OWNER, NOTE_STEP, Plan},
};

/// Marks a SQLite database as ours: "RGMD".
const APPLICATION_ID: i64 = 0x5247_4d44;

/// What a database is before anything is done to it.
enum Kind {
    Empty,
    Ours,
}

/// Refuses a database that is not empty and not ours, without having changed it.
///
/// # Errors
/// [`OpenError::Foreign`].
pub fn refuse_foreign(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    // In one transaction: in the middle of another process's first start it would be neither empty nor ours.
    let kind = || kind_of(&*connection.unchecked_transaction()?);
    let found = kind().map_err(OpenError::database("read the database"))?;
    found.map(drop).ok_or_else(|| OpenError::Foreign { path: path.to_owned() })
}

fn kind_of(connection: &Connection) -> rusqlite::Result<Option<Kind>> {
    let id: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let is_empty =
        connection.query_row("SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get(0))?;
    Ok(match (id, is_empty) {
        (APPLICATION_ID, false) => Some(Kind::Ours),
        (0 | APPLICATION_ID, true) => Some(Kind::Empty),
        _ => None,
    })
}

/// Brings the schema up to date. Of several processes that start at once, one does it and the others wait.
///
/// # Errors
/// [`OpenError::TooNew`], [`OpenError::UnknownOwner`], or what SQLite said. Then nothing was changed.
pub fn migrate(connection: &mut Connection, owners: &Owners) -> Result<(), OpenError> {
    // Looked at without the lock of writers, for which most openings then need not wait.
    let reading = connection.unchecked_transaction().map_err(unreadable())?;
    let is_current = owners.plan(&found(&reading)?, &[])?.is_empty();
    drop(reading);
    if is_current {
        return Ok(());
    }
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed())?;
    make(&transaction, owners, &[])?;
    transaction.commit().map_err(failed())
}

/// Does what is due, within the caller's transaction: also for the owners that are `wanted`.
///
/// # Errors
/// As [`migrate`].
pub(crate) fn make(connection: &Connection, owners: &Owners, wanted: &[&str]) -> Result<(), OpenError> {
    let found = found(connection)?;
    let plan = owners.plan(&found, wanted)?;
    perform(connection, &plan).map_err(failed())
}

fn perform(connection: &Connection, plan: &Plan) -> rusqlite::Result<()> {
    if plan.is_empty() {
        return Ok(());
    }
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    for due in &plan.steps {
        connection.execute_batch(&SQLITE.render(due.sql))?;
        connection.execute(NOTE_STEP, params![due.format, due.oldest_binary])?;
    }
    for note in &plan.notes {
        connection
            .execute(NOTE_OWNER, params![note.owner, note.format, note.oldest_binary, note.volatile])?;
    }
    Ok(())
}

/// What a database says of its schema.
///
/// # Errors
/// What SQLite said.
pub(crate) fn found(connection: &Connection) -> Result<Found, OpenError> {
    let read = || -> rusqlite::Result<Found> {
        let Some(Kind::Ours) = kind_of(connection)? else { return Ok(Found::default()) };
        let (format, oldest_binary) =
            connection.query_row("SELECT format, oldest_binary FROM store", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        let mut found = Found { format, oldest_binary, ..Found::default() };
        if found.has_owners() {
            let mut statement = connection.prepare(FOUND_OWNERS)?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            found.owners = rows.collect::<rusqlite::Result<_>>()?;
        }
        Ok(found)
    };
    read().map_err(unreadable())
}

fn unreadable() -> impl FnOnce(rusqlite::Error) -> OpenError {
    OpenError::database("read the database's schema")
}

fn failed() -> impl FnOnce(rusqlite::Error) -> OpenError {
    OpenError::database("update the database's schema")
}
