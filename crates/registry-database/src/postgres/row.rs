//! Reading columns as what they are.

use std::{error::Error as StdError, str::FromStr};

use tokio_postgres::{Row, types::FromSql};

use crate::Fault;

/// A column as PostgreSQL has it.
pub fn column<'a, T: FromSql<'a>>(row: &'a Row, index: usize) -> Result<T, Fault> {
    row.try_get(index).map_err(|error| Fault::Unreadable(error.into()))
}

/// A column of text as what it was before it was stored.
pub fn parsed<T>(row: &Row, index: usize) -> Result<T, Fault>
where
    T: FromStr<Err: StdError + Send + Sync + 'static>,
{
    column::<&str>(row, index)?.parse().map_err(|error: T::Err| Fault::Unreadable(error.into()))
}

/// The first column of each row, as [`parsed`].
pub fn all_parsed<T>(rows: &[Row]) -> Result<Vec<T>, Fault>
where
    T: FromStr<Err: StdError + Send + Sync + 'static>,
{
    rows.iter().map(|row| parsed(row, 0)).collect()
}

/// The rows that can be read. One that can not must not keep the others from their turn: it is passed over.
pub fn readable<T>(rows: &[Row], read: impl Fn(&Row) -> Result<T, Fault>) -> Result<Vec<T>, Fault> {
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        match read(row) {
            Ok(value) => found.push(value),
            Err(Fault::Unreadable(error)) => {
                tracing::warn!(%error, "passed over a row that can not be read: {error}");
            }
            Err(fault) => return Err(fault),
        }
    }
    Ok(found)
}

/// A column that can not be negative.
pub fn unsigned(row: &Row, index: usize) -> Result<u64, Fault> {
    u64::try_from(column::<i64>(row, index)?).map_err(|error| Fault::Unreadable(error.into()))
}

/// A number of bytes or rows as the database counts. None that is real is too large.
pub fn signed(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}
