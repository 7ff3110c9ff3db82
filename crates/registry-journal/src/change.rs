//! Changes to rows as bytes, and made to a database.
//!
//! A change is one byte for what it is, the table's name after its length in one byte, 8 bytes whose bits say which
//! columns it gives, and the values of those: all of a new row, the key and what is new of a changed one, the key of one
//! that goes. A value is one byte for its type; then nothing for null, 8 bytes for numbers, and for texts and bytes 4
//! bytes of length and as many more.

use rusqlite::{
    Connection, ToSql, params_from_iter,
    types::{ToSqlOutput, ValueRef},
};

use super::{
    error::{JournalError, Result},
    table::{Table, Tables},
};

/// What is done to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Insert = 1,
    Update = 2,
    Delete = 3,
}

impl Operation {
    pub(crate) fn from_number(number: i64) -> Option<Operation> {
        [Operation::Insert, Operation::Update, Operation::Delete]
            .into_iter()
            .find(|operation| *operation as i64 == number)
    }
}

/// A change to a row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Change<'a> {
    pub(crate) operation: Operation,
    pub(crate) table: &'a str,
    /// The columns that have values here, as bits.
    pub(crate) columns: u64,
    pub(crate) values: Vec<ValueRef<'a>>,
}

impl Change<'_> {
    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.push(self.operation as u8);
        bytes.push(u8::try_from(self.table.len()).expect("tables have short names"));
        bytes.extend(self.table.as_bytes());
        bytes.extend(self.columns.to_be_bytes());
        for value in &self.values {
            encode_value(*value, bytes);
        }
    }
}

fn encode_value(value: ValueRef<'_>, bytes: &mut Vec<u8>) {
    let mut sized = |tag: u8, content: &[u8]| {
        bytes.push(tag);
        let length = u32::try_from(content.len()).expect("SQLite's values have at most 1 GB");
        bytes.extend(length.to_be_bytes());
        bytes.extend(content);
    };
    match value {
        ValueRef::Text(text) => sized(3, text),
        ValueRef::Blob(blob) => sized(4, blob),
        ValueRef::Null => bytes.push(0),
        ValueRef::Integer(number) => {
            bytes.push(1);
            bytes.extend(number.to_be_bytes());
        }
        ValueRef::Real(number) => {
            bytes.push(2);
            bytes.extend(number.to_bits().to_be_bytes());
        }
    }
}

/// Takes the next change off `bytes`; none for what is no change.
pub(crate) fn decode<'a>(bytes: &mut &'a [u8]) -> Option<Change<'a>> {
    let operation = Operation::from_number(i64::from(take(bytes, 1)?[0]))?;
    let length = usize::from(take(bytes, 1)?[0]);
    let table = str::from_utf8(take(bytes, length)?).ok()?;
    let columns = u64::from_be_bytes(take(bytes, 8)?.try_into().ok()?);
    let values = (0..columns.count_ones()).map(|_| decode_value(bytes)).collect::<Option<_>>()?;
    Some(Change { operation, table, columns, values })
}

fn decode_value<'a>(bytes: &mut &'a [u8]) -> Option<ValueRef<'a>> {
    let number = |bytes: &mut &'a [u8]| Some(u64::from_be_bytes(take(bytes, 8)?.try_into().ok()?));
    let sized = |bytes: &mut &'a [u8]| {
        let length = u32::from_be_bytes(take(bytes, 4)?.try_into().ok()?);
        take(bytes, length as usize)
    };
    Some(match take(bytes, 1)?[0] {
        0 => ValueRef::Null,
        1 => ValueRef::Integer(number(bytes)? as i64),
        2 => ValueRef::Real(f64::from_bits(number(bytes)?)),
        3 => ValueRef::Text(sized(bytes)?),
        4 => ValueRef::Blob(sized(bytes)?),
        _ => return None,
    })
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

/// A value to be bound as what it is, without a copy.
struct Bound<'a>(ValueRef<'a>);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(self.0))
    }
}

/// Makes the changes of commit `number`, within the caller's transaction. Each must hit the one row that it is about:
/// whatever does not shows that this is another database than the one that the changes were made to.
pub(crate) fn apply(connection: &Connection, tables: &Tables, number: i64, mut changes: &[u8]) -> Result<()> {
    let misfit = |reason: String| JournalError::DoesNotFit { number, reason };
    while !changes.is_empty() {
        let change = decode(&mut changes).ok_or_else(|| misfit("it is not readable".to_owned()))?;
        // A version that journalled this table stored the change.
        if tables.is_left_out(change.table) {
            continue;
        }
        let table = tables.get(change.table).ok_or_else(|| misfit(format!("no table {}", change.table)))?;
        let sql =
            statement(&change, table).ok_or_else(|| misfit(format!("other columns of {}", change.table)))?;
        let run = || {
            let values = change.values.iter().map(|value| Bound(*value));
            connection.prepare_cached(&sql)?.execute(params_from_iter(values))
        };
        let rows =
            run().map_err(|error| misfit(format!("{:?} {}: {error}", change.operation, change.table)))?;
        if rows != 1 {
            return Err(misfit(format!("{:?} of {rows} rows of {}", change.operation, change.table)));
        }
    }
    Ok(())
}

/// The statement for a change. Parameters are numbered in the order of the values.
fn statement(change: &Change<'_>, table: &Table) -> Option<String> {
    let keys = table.keys();
    let fits = match change.operation {
        Operation::Insert => change.columns == table.all(),
        Operation::Update => change.columns & keys == keys && change.columns & !table.all() == 0,
        Operation::Delete => change.columns == keys,
    };
    if !fits {
        return None;
    }
    let given = table.columns.iter().enumerate().filter(|(index, _)| change.columns >> index & 1 == 1);
    let (mut names, mut sets, mut wheres) = (Vec::new(), Vec::new(), Vec::new());
    for (parameter, (_, column)) in (1..).zip(given) {
        let equation = format!("\"{}\" = ?{parameter}", column.name);
        names.push(format!("\"{}\"", column.name));
        if column.is_key { wheres.push(equation) } else { sets.push(equation) }
    }
    let (name, wheres) = (&table.name, wheres.join(" AND "));
    Some(match change.operation {
        Operation::Insert => {
            let values: Vec<String> = (1..=names.len()).map(|parameter| format!("?{parameter}")).collect();
            format!("INSERT INTO \"{name}\" ({}) VALUES ({})", names.join(", "), values.join(", "))
        }
        Operation::Update => format!("UPDATE \"{name}\" SET {} WHERE {wheres}", sets.join(", ")),
        Operation::Delete => format!("DELETE FROM \"{name}\" WHERE {wheres}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::OWNERS;

    #[test]
    fn changes_survive_their_bytes() {
        let values = vec![
            ValueRef::Null,
            ValueRef::Integer(-7),
            ValueRef::Real(1.5),
            ValueRef::Text("ä".as_bytes()),
            ValueRef::Blob(&[0, 255]),
        ];
        let change = Change { operation: Operation::Insert, table: "tags", columns: 0b11111, values };
        let mut bytes = Vec::new();
        change.encode(&mut bytes);
        change.encode(&mut bytes);
        let mut rest = &bytes[..];
        assert_eq!(decode(&mut rest), Some(change.clone()));
        assert_eq!(decode(&mut rest), Some(change));
        assert!(rest.is_empty());
        for length in 0..bytes.len() / 2 {
            assert_eq!(decode(&mut &bytes[..length]), None, "{length}");
        }
    }

    /// As versions stored it that journalled a table which is volatile by now.
    #[test]
    fn a_change_of_a_table_that_is_left_out_by_now_is_passed_over() {
        let connection = Connection::open_in_memory().unwrap();
        let tables = Tables::read(&connection, &OWNERS).unwrap();
        let change = |table| {
            let mut bytes = Vec::new();
            let values = vec![ValueRef::Text(b"team/")];
            Change { operation: Operation::Delete, table, columns: 1, values }.encode(&mut bytes);
            bytes
        };
        for table in OWNERS.volatile() {
            apply(&connection, &tables, 1, &change(table)).unwrap();
        }
        assert!(apply(&connection, &tables, 1, &change("notes")).is_err());
    }
}
