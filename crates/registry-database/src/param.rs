/// A value that a statement is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Param<'a> {
    /// Nothing, of whatever type the statement wants.
    Null,
    /// A number, or a flag as 0 or 1.
    Number(i64),
    /// A text.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// Texts for one statement that takes many: an array for PostgreSQL (`unnest($1::text[])`, `= ANY ($1)`), a JSON list for
    /// SQLite (`json_each($1)`).
    Texts(&'a [&'a str]),
    /// Numbers, likewise.
    Numbers(&'a [i64]),
}

/// A list of [`Param`]s: `params![repository, digest.as_str()]`.
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        &[$($crate::Param::from($value)),*] as &[$crate::Param<'_>]
    };
}

impl From<i64> for Param<'_> {
    fn from(number: i64) -> Self {
        Param::Number(number)
    }
}

impl From<bool> for Param<'_> {
    fn from(flag: bool) -> Self {
        Param::Number(i64::from(flag))
    }
}

impl<'a> From<&'a str> for Param<'a> {
    fn from(text: &'a str) -> Self {
        Param::Text(text)
    }
}

impl<'a> From<&'a String> for Param<'a> {
    fn from(text: &'a String) -> Self {
        Param::Text(text)
    }
}

impl<'a> From<&'a [u8]> for Param<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Param::Bytes(bytes)
    }
}

impl<'a> From<&'a [&'a str]> for Param<'a> {
    fn from(texts: &'a [&'a str]) -> Self {
        Param::Texts(texts)
    }
}

impl<'a> From<&'a [i64]> for Param<'a> {
    fn from(numbers: &'a [i64]) -> Self {
        Param::Numbers(numbers)
    }
}

impl<'a, T> From<Option<T>> for Param<'a>
where
    Param<'a>: From<T>,
{
    fn from(value: Option<T>) -> Self {
        value.map_or(Param::Null, Param::from)
    }
}

/// A number of bytes or rows as the database counts. None that is real is too large.
pub fn signed(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

#[cfg(feature = "sqlite")]
impl rusqlite::ToSql for Param<'_> {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        use rusqlite::types::{ToSqlOutput, ValueRef};
        let json = |list: serde_json::Value| Ok(ToSqlOutput::from(list.to_string()));
        Ok(ToSqlOutput::Borrowed(match *self {
            Param::Texts(texts) => return json(texts.into()),
            Param::Numbers(numbers) => return json(numbers.into()),
            Param::Null => ValueRef::Null,
            Param::Number(number) => ValueRef::Integer(number),
            Param::Text(text) => ValueRef::Text(text.as_bytes()),
            Param::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

#[cfg(feature = "postgres")]
mod postgres {
    use std::error::Error as StdError;

    use tokio_postgres::types::{IsNull, ToSql, Type, private::BytesMut, to_sql_checked};

    use super::Param;

    impl ToSql for Param<'_> {
        fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
            match *self {
                Param::Null => Ok(IsNull::Yes),
                Param::Number(number) if *kind == Type::INT4 => i32::try_from(number)?.to_sql(kind, out),
                Param::Number(number) if *kind == Type::BOOL => (number != 0).to_sql(kind, out),
                Param::Number(number) if i64::accepts(kind) => number.to_sql(kind, out),
                Param::Text(text) if <&str>::accepts(kind) => text.to_sql(kind, out),
                Param::Bytes(bytes) if <&[u8]>::accepts(kind) => bytes.to_sql(kind, out),
                Param::Texts(texts) if <&[&str]>::accepts(kind) => texts.to_sql(kind, out),
                Param::Numbers(numbers) if <&[i64]>::accepts(kind) => numbers.to_sql(kind, out),
                // Sent as it is, it would be read as something else.
                other => Err(format!("a statement wants {kind} and is given {}", other.kind()).into()),
            }
        }

        fn accepts(_: &Type) -> bool {
            // Whether it does depends on the value.
            true
        }

        to_sql_checked!();
    }

    impl Param<'_> {
        /// What it is, without the value, which may be a secret.
        fn kind(&self) -> &'static str {
            match self {
                Param::Null => "nothing",
                Param::Number(_) => "a number",
                Param::Text(_) => "a text",
                Param::Bytes(_) => "bytes",
                Param::Texts(_) => "texts",
                Param::Numbers(_) => "numbers",
            }
        }
    }
}
