//! Running one statement, and reading its columns as what they are.

use std::{error::Error as StdError, str::FromStr};

use rusqlite::{Connection, OptionalExtension, Params, Row, types::Type};

use super::fault::is_unreadable;

/// The only row, if there is one.
///
/// # Errors
/// SQLite's.
pub fn one<T>(
    connection: &Connection,
    sql: &str,
    parameters: impl Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Option<T>> {
    connection.prepare_cached(sql)?.query_row(parameters, read).optional()
}

/// Whether there is a row.
///
/// # Errors
/// SQLite's.
pub fn exists(connection: &Connection, sql: &str, parameters: impl Params) -> rusqlite::Result<bool> {
    connection.prepare_cached(sql)?.exists(parameters)
}

/// All rows.
///
/// # Errors
/// SQLite's.
pub fn all<T>(
    connection: &Connection,
    sql: &str,
    parameters: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    connection.prepare_cached(sql)?.query_map(parameters, read)?.collect()
}

/// The first `limit` rows that can be read. One that can not must not keep the others from their turn: it is passed over.
///
/// # Errors
/// SQLite's.
pub fn readable<T>(
    connection: &Connection,
    sql: &str,
    parameters: impl Params,
    limit: usize,
    mut read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(parameters)?;
    let mut found = Vec::new();
    while found.len() < limit
        && let Some(row) = rows.next()?
    {
        found.extend(if_readable(read(row))?);
    }
    Ok(found)
}

/// None, and a warning, if a row holds what was never stored there.
///
/// # Errors
/// Any other error.
pub fn if_readable<T>(read: rusqlite::Result<T>) -> rusqlite::Result<Option<T>> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(error) if is_unreadable(&error) => {
            tracing::warn!(%error, "passed over a row that can not be read: {error}");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Changes rows, and says how many.
///
/// # Errors
/// SQLite's.
pub fn execute(connection: &Connection, sql: &str, parameters: impl Params) -> rusqlite::Result<usize> {
    connection.prepare_cached(sql)?.execute(parameters)
}

/// A column of text as what it was before it was stored.
///
/// # Errors
/// SQLite's.
pub fn parsed<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: FromStr<Err: StdError + Send + Sync + 'static>,
{
    let text = row.get_ref(column)?.as_str()?;
    text.parse().map_err(|error| unreadable(column, error))
}

/// A column that can not be negative.
///
/// # Errors
/// SQLite's.
pub fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

/// A number of bytes or rows as the database counts. None that is real is too large.
pub fn signed(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// What a column holds is not what was ever stored there.
pub fn unreadable(column: usize, error: impl StdError + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}
