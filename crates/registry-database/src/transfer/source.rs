//! The SQLite side: locked, and read in batches.

use std::{path::Path, sync::Arc};

use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags, OptionalExtension, types::ValueRef};
use tokio::{
    sync::mpsc,
    task::{JoinHandle, spawn_blocking},
};

use super::TransferError;
use crate::{OpenError, Owners, Sqlite, SystemClock};

/// How many rows are in memory at once, and how many bytes; one batch more waits to be taken.
const BATCH_ROWS_MAX: usize = 500;
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    Text,
    Bytes,
}

/// A value of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Number(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// A table, as SQLite has it.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) columns: Vec<(String, Kind)>,
    /// The columns of the primary key.
    pub(super) key: Vec<String>,
}

impl Table {
    pub(super) fn column_list(&self) -> String {
        self.columns.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// Reads all rows in the order of the primary key, which is the same in both databases.
    pub(super) fn select(&self) -> String {
        format!("SELECT {} FROM {} ORDER BY {}", self.column_list(), self.name, self.key.join(", "))
    }

    fn is_numbered(&self) -> bool {
        self.key == ["id"] && self.columns.contains(&("id".to_owned(), Kind::Number))
    }
}

pub(super) type Rows = Vec<Vec<Value>>;

/// Batches of rows, in the order of the primary key.
pub(super) struct Batches {
    batches: mpsc::Receiver<Rows>,
    reading: JoinHandle<rusqlite::Result<()>>,
}

impl Batches {
    /// The next ones, none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Rows>, TransferError> {
        if let Some(rows) = self.batches.recv().await {
            return Ok(Some(rows));
        }
        match (&mut self.reading).await {
            Ok(Ok(())) => Ok(None),
            Ok(Err(error)) => Err(TransferError::database("read the SQLite database", error)),
            Err(error) => Err(TransferError::database("read the SQLite database", error)),
        }
    }
}

pub(super) struct Source {
    connection: Arc<Mutex<Connection>>,
    /// Holds the lock of the one that serves.
    _database: Sqlite,
}

/// Opens the source to serve from it, which keeps every other process from that, and brings its schema up to date.
pub(super) async fn open(path: &Path, owners: Owners) -> Result<Sqlite, TransferError> {
    let path = path.to_owned();
    let opening = spawn_blocking(move || {
        // Opening makes what is not there.
        if !path.is_file() {
            return Err(TransferError::NoSource { path });
        }
        let database = Sqlite::open(&path, &owners, Arc::new(SystemClock)).map_err(refused)?;
        database.lock_for_serving().map_err(refused)?;
        Ok(database)
    });
    opening.await.map_err(|error| TransferError::database("open the SQLite database", error))?
}

impl Source {
    /// Keeps every other connection from writing to the database.
    pub(super) async fn take(database: Sqlite) -> Result<Source, TransferError> {
        let taking = spawn_blocking(move || {
            let path = database.path().ok_or(rusqlite::Error::InvalidQuery)?;
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(path, flags)?;
            connection.execute_batch("BEGIN IMMEDIATE")?;
            Ok(Source { connection: Arc::new(Mutex::new(connection)), _database: database })
        });
        let operation = "keep others from writing to the SQLite database";
        let taken = taking.await.map_err(|error| TransferError::database(operation, error))?;
        taken.map_err(|error: rusqlite::Error| TransferError::database(operation, error))
    }

    /// The tables, each after those that it refers to.
    pub(super) async fn tables(&self) -> Result<Vec<Table>, TransferError> {
        self.ask(|connection| {
            let names = parents_first(connection)?;
            names.into_iter().map(|name| table(connection, name)).collect()
        })
        .await
    }

    /// The highest number that each numbered table ever gave, if it gave any.
    pub(super) async fn last_numbers(&self, tables: &[Table]) -> Result<Vec<(String, i64)>, TransferError> {
        let names: Vec<String> =
            tables.iter().filter(|table| table.is_numbered()).map(|table| table.name.clone()).collect();
        self.ask(move |connection| {
            let mut numbers = Vec::new();
            for name in names {
                let highest = format!(
                    "SELECT MAX(number) FROM (SELECT MAX(id) AS number FROM {name}
                        UNION ALL SELECT seq FROM sqlite_sequence WHERE name = $1)"
                );
                let number: Option<Option<i64>> =
                    connection.query_row(&highest, [&name], |row| row.get(0)).optional()?;
                numbers.extend(number.flatten().filter(|number| *number > 0).map(|number| (name, number)));
            }
            Ok(numbers)
        })
        .await
    }

    /// All rows of a table.
    pub(super) fn rows(&self, table: &Table) -> Batches {
        let (sender, batches) = mpsc::channel(1);
        let (connection, select) = (self.connection.clone(), table.select());
        let reading = spawn_blocking(move || read(&connection.lock(), &select, &sender));
        Batches { batches, reading }
    }

    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, TransferError> {
        let connection = self.connection.clone();
        match spawn_blocking(move || work(&connection.lock())).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(TransferError::database("read the SQLite database", error)),
            Err(error) => Err(TransferError::database("read the SQLite database", error)),
        }
    }
}

pub(super) fn refused(error: OpenError) -> TransferError {
    TransferError::Source(error.into())
}

/// The names of all tables, each after those that it refers to: PostgreSQL looks at each row's foreign keys when the row is
/// copied. The order in which tables were made is not that one, since a column that is added later may refer to a later table.
fn parents_first(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let names = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY rowid";
    let mut rest = texts(connection, names, [])?
        .into_iter()
        .map(|name| Ok((parents(connection, &name)?, name)))
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut ordered = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let waits = |parent: &String| rest.iter().any(|(_, name)| name == parent);
        let is_next = |(parents, _): &(Vec<String>, String)| !parents.iter().any(waits);
        // Of tables that refer to each other in a circle the first one is taken; the target says what it lacks.
        let next = rest.iter().position(is_next).unwrap_or(0);
        ordered.push(rest.remove(next).1);
    }
    Ok(ordered)
}

/// The other tables that a table refers to.
fn parents(connection: &Connection, name: &str) -> rusqlite::Result<Vec<String>> {
    let parents = "SELECT DISTINCT \"table\" FROM pragma_foreign_key_list($1) WHERE \"table\" <> $1";
    texts(connection, parents, [name])
}

fn texts(connection: &Connection, sql: &str, params: impl rusqlite::Params) -> rusqlite::Result<Vec<String>> {
    connection.prepare(sql)?.query_map(params, |row| row.get(0))?.collect()
}

fn table(connection: &Connection, name: String) -> rusqlite::Result<Table> {
    let mut statement =
        connection.prepare("SELECT name, type, pk FROM pragma_table_info($1) ORDER BY cid")?;
    let rows = statement.query_map([&name], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?))
    })?;
    let (mut columns, mut key) = (Vec::new(), Vec::new());
    for row in rows {
        let (column, declared, place) = row?;
        let kind = match declared.as_str() {
            "TEXT" => Kind::Text,
            "BLOB" => Kind::Bytes,
            _ => Kind::Number,
        };
        if place > 0 {
            key.push((place, column.clone()));
        }
        columns.push((column, kind));
    }
    key.sort();
    Ok(Table { name, columns, key: key.into_iter().map(|(_, column)| column).collect() })
}

fn read(connection: &Connection, select: &str, sender: &mpsc::Sender<Rows>) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(select)?;
    let columns = statement.column_count();
    let mut rows = statement.query([])?;
    let (mut batch, mut bytes) = (Rows::new(), 0);
    while let Some(row) = rows.next()? {
        let mut values = Vec::with_capacity(columns);
        for column in 0..columns {
            let value = value(row.get_ref(column)?);
            bytes += size_bytes(&value);
            values.push(value);
        }
        batch.push(values);
        if batch.len() == BATCH_ROWS_MAX || bytes >= BATCH_BYTES_MAX {
            // Nobody takes it any more: the transfer has failed already.
            if sender.blocking_send(std::mem::take(&mut batch)).is_err() {
                return Ok(());
            }
            bytes = 0;
        }
    }
    if !batch.is_empty() {
        let _ = sender.blocking_send(batch);
    }
    Ok(())
}

/// Our tables hold no fractions; one that somebody put there would be told as different.
fn value(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Number(number),
        ValueRef::Real(number) => Value::Text(number.to_string()),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
    }
}

fn size_bytes(value: &Value) -> usize {
    match value {
        Value::Null | Value::Number(_) => 8,
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(tables: &str) -> Vec<String> {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(tables).unwrap();
        parents_first(&connection).unwrap()
    }

    #[test]
    fn a_table_comes_after_those_that_it_refers_to() {
        let later_columns =
            "CREATE TABLE links (id INTEGER PRIMARY KEY, thing INTEGER REFERENCES things (id));
            CREATE TABLE things (id INTEGER PRIMARY KEY, made_of INTEGER REFERENCES things (id));
            CREATE TABLE rooms (id INTEGER PRIMARY KEY);
            ALTER TABLE things ADD COLUMN room INTEGER REFERENCES rooms (id);
            CREATE TABLE others (id INTEGER PRIMARY KEY AUTOINCREMENT)";
        assert_eq!(ordered(later_columns), ["rooms", "things", "links", "others"]);
    }

    #[test]
    fn tables_in_a_circle_are_all_there() {
        let circle = "CREATE TABLE one (id INTEGER PRIMARY KEY, other INTEGER REFERENCES two (id));
            CREATE TABLE two (id INTEGER PRIMARY KEY, other INTEGER REFERENCES one (id))";
        assert_eq!(ordered(circle), ["one", "two"]);
    }
}
