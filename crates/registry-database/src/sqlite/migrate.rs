//! From whatever schema a database has to the one that this program writes.

use std::path::Path;

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use crate::{
    OpenError, Owners, SQLITE,
    schema::{FORMAT_WITH_OWNERS, NOTE_OWNER, Owner},
};

/// Marks a SQLite database as ours: "RGMD".
const APPLICATION_ID: i64 = 0x5247_4d44;

/// What a database is before anything is done to it.
enum Found {
    Empty,
    Ours,
}

/// Refuses a database that is not empty and not ours, without having changed it.
///
/// # Errors
/// [`OpenError::Foreign`].
pub fn refuse_foreign(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    // In one transaction: in the middle of another process's first start it would be neither empty nor ours.
    let look = || look(&*connection.unchecked_transaction()?);
    let found = look().map_err(OpenError::database("read the database"))?;
    found.map(drop).ok_or_else(|| OpenError::Foreign { path: path.to_owned() })
}

fn look(connection: &Connection) -> rusqlite::Result<Option<Found>> {
    let id: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let is_empty =
        connection.query_row("SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get(0))?;
    Ok(match (id, is_empty) {
        (APPLICATION_ID, false) => Some(Found::Ours),
        (0 | APPLICATION_ID, true) => Some(Found::Empty),
        _ => None,
    })
}

/// Brings the schema up to date. Of several processes that start at once, one does it and the others wait.
///
/// # Errors
/// [`OpenError::TooNew`], [`OpenError::UnknownOwner`], or what SQLite said. Then nothing was changed.
pub fn migrate(connection: &mut Connection, owners: &Owners) -> Result<(), OpenError> {
    let failed = || OpenError::database("update the database's schema");
    if is_current(connection, owners)? {
        return Ok(());
    }
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed())?;
    let format = current(&transaction, owners)?;
    let due: Vec<_> = owners.migrations().into_iter().filter(|migration| migration.number > format).collect();
    for migration in &due {
        transaction.execute_batch(&SQLITE.render(migration.sql)).map_err(failed())?;
        let row = params![migration.number, owners.oldest_binary(migration.number)];
        let sql = "INSERT INTO store (one, format, oldest_binary, created_at) VALUES (1, $1, $2, now_ms())
            ON CONFLICT (one) DO UPDATE SET format = excluded.format, oldest_binary = excluded.oldest_binary";
        transaction.execute(sql, row).map_err(failed())?;
    }
    if !due.is_empty() {
        note_owners(&transaction, owners).map_err(failed())?;
    }
    transaction.commit().map_err(failed())
}

/// Whether there is nothing to bring up to date. This is looked at without the lock of writers, for which most openings then need
/// not wait.
fn is_current(connection: &Connection, owners: &Owners) -> Result<bool, OpenError> {
    let failed = || OpenError::database("read the database's schema");
    let transaction = connection.unchecked_transaction().map_err(failed())?;
    match look(&transaction).map_err(failed())? {
        Some(Found::Ours) => Ok(current(&transaction, owners)? >= owners.format()),
        _ => Ok(false),
    }
}

fn note_owners(transaction: &Transaction<'_>, owners: &Owners) -> rusqlite::Result<()> {
    for Owner { owner, format, oldest_binary, volatile } in Owner::all(owners) {
        transaction.execute(NOTE_OWNER, params![owner, format, oldest_binary, volatile])?;
    }
    Ok(())
}

/// The number of the schema that is there, 0 for none.
fn current(transaction: &Transaction<'_>, owners: &Owners) -> Result<i64, OpenError> {
    let failed = || OpenError::database("read the database's schema");
    if let Some(Found::Empty) | None = look(transaction).map_err(failed())? {
        transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed())?;
        return Ok(0);
    }
    let (format, oldest_binary) = transaction
        .query_row("SELECT format, oldest_binary FROM store", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .map_err(failed())?;
    let known = owners.format();
    if oldest_binary > known {
        return Err(OpenError::TooNew { format, oldest_binary, known });
    }
    match unknown_owner(transaction, owners, format).map_err(failed())? {
        Some(owner) => Err(OpenError::UnknownOwner { owner }),
        None => Ok(format),
    }
}

fn unknown_owner(connection: &Connection, owners: &Owners, format: i64) -> rusqlite::Result<Option<String>> {
    if format < FORMAT_WITH_OWNERS {
        return Ok(None);
    }
    let mut statement = connection.prepare("SELECT owner FROM owners ORDER BY owner")?;
    let mut there = statement.query_map([], |row| row.get::<_, String>(0))?;
    there.find(|owner| owner.as_ref().map_or(true, |owner| !owners.know(owner))).transpose()
}
