//! What the database itself knows of its journal: where it is, and the commits that may not be stored yet.
//!
//! Two tables, which are made when the journal begins and which no other database has. `journal_state` has one row: which
//! journal, the number of the last commit and its hash. `journal_entries` keeps each commit, in the transaction that makes
//! it, until some later transaction finds that it is stored; so whatever process comes next can store it.

use registry_database::sqlite::statement::{all, execute, exists, one};
use rusqlite::{Connection, OptionalExtension, params};

use super::record::{self, Hash, Kind, NO_HASH, Record};

const CREATE: &str = "
CREATE TABLE IF NOT EXISTS journal_state (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    id     BLOB NOT NULL,
    number INTEGER NOT NULL,
    hash   BLOB NOT NULL,
    format INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS journal_entries (
    number INTEGER PRIMARY KEY,
    record BLOB NOT NULL
);
";

/// Where a database is in its journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// The hash of the journal's first commit.
    pub(crate) id: Hash,
    /// The last commit.
    pub(crate) number: i64,
    /// Its hash.
    pub(crate) hash: Hash,
    /// The schema that its changes are made to: the sum of its owners' last steps.
    pub(crate) format: i64,
}

/// A commit that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) number: i64,
    pub(crate) record: Vec<u8>,
}

/// None for a database without a journal.
pub(crate) fn state(connection: &Connection) -> rusqlite::Result<Option<State>> {
    let table = "SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND name = 'journal_state'";
    if !exists(connection, table, [])? {
        return Ok(None);
    }
    read_state(connection)
}

fn read_state(connection: &Connection) -> rusqlite::Result<Option<State>> {
    let sql = "SELECT id, number, hash, format FROM journal_state WHERE one = 1";
    one(connection, sql, [], |row| {
        Ok(State { id: row.get(0)?, number: row.get(1)?, hash: row.get(2)?, format: row.get(3)? })
    })
}

/// Adds a commit with these changes and keeps it. To be called in the transaction that makes them.
pub(crate) fn append(connection: &Connection, changes: &[u8]) -> rusqlite::Result<Kept> {
    let before = read_state(connection)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    keep(connection, Some(before), before.format, Kind::Changes, changes)
}

/// Begins the journal, or begins it anew after the schema has changed: a commit before which there must be a snapshot.
/// None if the journal is of this schema already.
pub(crate) fn rebase(connection: &Connection) -> rusqlite::Result<Option<Kept>> {
    connection.execute_batch(CREATE)?;
    let format = schema_number(connection)?;
    let before = read_state(connection)?;
    if before.is_some_and(|before| before.format == format) {
        return Ok(None);
    }
    keep(connection, before, format, Kind::Rebase, &[]).map(Some)
}

/// Stands for the tables and columns that changes are made to: all steps of all owners raise it, also those of an owner that comes
/// after steps with higher numbers, which do not raise `store.format`.
fn schema_number(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT SUM(format) FROM owners", [], |row| row.get(0))
}

fn keep(
    connection: &Connection,
    before: Option<State>,
    format: i64,
    kind: Kind,
    changes: &[u8],
) -> rusqlite::Result<Kept> {
    let at_ms = connection.prepare_cached("SELECT now_ms()")?.query_row([], |row| row.get(0))?;
    let number = before.map_or(1, |before| before.number + 1);
    let previous = before.map_or(NO_HASH, |before| before.hash);
    let record = Record { number, previous, at_ms, format, kind, changes }.encode();
    let hash = record::hash(&record);
    execute(
        connection,
        "INSERT INTO journal_entries (number, record) VALUES (?1, ?2)",
        params![number, record],
    )?;
    set_state(connection, &State { id: before.map_or(hash, |before| before.id), number, hash, format })?;
    Ok(Kept { number, record })
}

pub(crate) fn set_state(connection: &Connection, state: &State) -> rusqlite::Result<()> {
    let sql = "INSERT INTO journal_state (one, id, number, hash, format) VALUES (1, ?1, ?2, ?3, ?4)
        ON CONFLICT (one) DO UPDATE SET
            id = excluded.id, number = excluded.number, hash = excluded.hash, format = excluded.format";
    execute(connection, sql, params![state.id, state.number, state.hash, state.format]).map(drop)
}

/// The commits that are kept after `after`, in order, until they have `bytes_max`; at least one, if there is one.
pub(crate) fn kept(connection: &Connection, after: i64, bytes_max: usize) -> rusqlite::Result<Vec<Kept>> {
    let mut statement = connection
        .prepare_cached("SELECT number, record FROM journal_entries WHERE number > ?1 ORDER BY number")?;
    let mut rows = statement.query([after])?;
    let (mut kept, mut bytes): (Vec<Kept>, usize) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let next = Kept { number: row.get(0)?, record: row.get(1)? };
        bytes += next.record.len();
        if !kept.is_empty() && bytes > bytes_max {
            break;
        }
        kept.push(next);
    }
    Ok(kept)
}

/// One commit that is kept.
pub(crate) fn kept_one(connection: &Connection, number: i64) -> rusqlite::Result<Option<Vec<u8>>> {
    one(connection, "SELECT record FROM journal_entries WHERE number = ?1", [number], |row| row.get(0))
}

/// The number of the first commit that is kept.
pub(crate) fn first_kept(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT MIN(number) FROM journal_entries";
    connection.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional().map(Option::flatten)
}

/// Forgets the commits up to this one, which are stored.
pub(crate) fn forget(connection: &Connection, through: i64) -> rusqlite::Result<()> {
    execute(connection, "DELETE FROM journal_entries WHERE number <= ?1", [through]).map(drop)
}

/// Whether any commit that is kept says that a snapshot has to come before it.
pub(crate) fn keeps_rebase(connection: &Connection, after: i64) -> rusqlite::Result<bool> {
    let records: Vec<Vec<u8>> = all(
        connection,
        "SELECT SUBSTR(record, 1, 57) FROM journal_entries WHERE number > ?1",
        [after],
        |row| row.get(0),
    )?;
    let is_rebase =
        |record: &Vec<u8>| Record::decode(record).is_some_and(|record| record.kind == Kind::Rebase);
    Ok(records.iter().any(is_rebase))
}
