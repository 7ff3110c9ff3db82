//! Rows of either engine, and their columns as what they are.

use std::{error::Error as StdError, str::FromStr};

use crate::Fault;

/// A row of either engine. Columns are counted from 0.
#[derive(Debug)]
pub struct Row<'a>(Inner<'a>);

#[derive(Debug)]
enum Inner<'a> {
    #[cfg(feature = "sqlite")]
    Sqlite(&'a rusqlite::Row<'a>),
    #[cfg(feature = "postgres")]
    Postgres(&'a tokio_postgres::Row),
    /// So that the lifetime is used whatever is compiled in.
    #[allow(dead_code, reason = "nothing makes one")]
    None(std::convert::Infallible, &'a ()),
}

#[cfg(feature = "sqlite")]
impl<'a> From<&'a rusqlite::Row<'a>> for Row<'a> {
    fn from(row: &'a rusqlite::Row<'a>) -> Row<'a> {
        Row(Inner::Sqlite(row))
    }
}

#[cfg(feature = "postgres")]
impl<'a> From<&'a tokio_postgres::Row> for Row<'a> {
    fn from(row: &'a tokio_postgres::Row) -> Row<'a> {
        Row(Inner::Postgres(row))
    }
}

#[cfg_attr(
    not(any(feature = "postgres", feature = "sqlite")),
    expect(unused_variables, reason = "without an engine there is no row to read from")
)]
impl Row<'_> {
    /// A column as what it is.
    ///
    /// # Errors
    /// [`Fault::Unreadable`], if it holds something else; so for the others.
    pub fn get<T: FromColumn>(&self, index: usize) -> Result<T, Fault> {
        T::from_column(self, index)
    }

    /// A column of text as what it was before it was stored.
    ///
    /// # Errors
    /// [`Fault::Unreadable`].
    pub fn parsed<T: FromStr<Err: StdError + Send + Sync + 'static>>(
        &self,
        index: usize,
    ) -> Result<T, Fault> {
        self.text(index)?.parse().map_err(|error: T::Err| Fault::Unreadable(error.into()))
    }

    /// A column of text.
    ///
    /// # Errors
    /// [`Fault::Unreadable`].
    pub fn text(&self, index: usize) -> Result<&str, Fault> {
        match &self.0 {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite(row) => {
                row.get_ref(index)?.as_str().map_err(|error| Fault::Unreadable(error.into()))
            }
            #[cfg(feature = "postgres")]
            Inner::Postgres(row) => row.try_get(index).map_err(|error| Fault::Unreadable(error.into())),
            Inner::None(never, ()) => match *never {},
        }
    }

    /// A column of bytes.
    ///
    /// # Errors
    /// [`Fault::Unreadable`].
    pub fn bytes(&self, index: usize) -> Result<&[u8], Fault> {
        match &self.0 {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite(row) => {
                row.get_ref(index)?.as_blob().map_err(|error| Fault::Unreadable(error.into()))
            }
            #[cfg(feature = "postgres")]
            Inner::Postgres(row) => row.try_get(index).map_err(|error| Fault::Unreadable(error.into())),
            Inner::None(never, ()) => match *never {},
        }
    }

    /// A column with a number.
    fn number(&self, index: usize) -> Result<i64, Fault> {
        match &self.0 {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite(row) => Ok(row.get(index)?),
            #[cfg(feature = "postgres")]
            Inner::Postgres(row) => {
                let number = row.try_get::<_, postgres::Number>(index);
                number.map(|number| number.0).map_err(|error| Fault::Unreadable(error.into()))
            }
            Inner::None(never, ()) => match *never {},
        }
    }

    fn is_null(&self, index: usize) -> Result<bool, Fault> {
        match &self.0 {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite(row) => Ok(row.get_ref(index)? == rusqlite::types::ValueRef::Null),
            #[cfg(feature = "postgres")]
            Inner::Postgres(row) => {
                let anything = row.try_get::<_, Option<postgres::Anything>>(index);
                anything.map(|anything| anything.is_none()).map_err(|error| Fault::Unreadable(error.into()))
            }
            Inner::None(never, ()) => match *never {},
        }
    }
}

/// What a column can be read as.
pub trait FromColumn: Sized {
    /// Reads the column.
    ///
    /// # Errors
    /// [`Fault::Unreadable`], if it holds something else.
    fn from_column(row: &Row<'_>, index: usize) -> Result<Self, Fault>;
}

impl FromColumn for i64 {
    fn from_column(row: &Row<'_>, index: usize) -> Result<Self, Fault> {
        row.number(index)
    }
}

/// A number that can not be negative.
impl FromColumn for u64 {
    fn from_column(row: &Row<'_>, index: usize) -> Result<Self, Fault> {
        u64::try_from(row.number(index)?).map_err(|error| Fault::Unreadable(error.into()))
    }
}

/// A flag, which is false if it is 0.
impl FromColumn for bool {
    fn from_column(row: &Row<'_>, index: usize) -> Result<Self, Fault> {
        Ok(row.number(index)? != 0)
    }
}

impl FromColumn for String {
    fn from_column(row: &Row<'_>, index: usize) -> Result<Self, Fault> {
        row.text(index).map(str::to_owned)
    }
}

impl FromColumn for Vec<u8> {
    fn from_column(row: &Row<'_>, index: usize) -> Result<Self, Fault> {
        row.bytes(index).map(<[u8]>::to_vec)
    }
}

impl<T: FromColumn> FromColumn for Option<T> {
    fn from_column(row: &Row<'_>, index: usize) -> Result<Self, Fault> {
        if row.is_null(index)? { Ok(None) } else { T::from_column(row, index).map(Some) }
    }
}

/// A column of text as what it was before it was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<T>(pub T);

impl<T: FromStr<Err: StdError + Send + Sync + 'static>> FromColumn for Text<T> {
    fn from_column(row: &Row<'_>, index: usize) -> Result<Self, Fault> {
        row.parsed(index).map(Text)
    }
}

/// What a row can be read as: its first column, a tuple of its columns, or a type that says so.
pub trait FromRow: Sized {
    /// Reads the row.
    ///
    /// # Errors
    /// [`Fault::Unreadable`], if it holds what was never stored there.
    fn from_row(row: &Row<'_>) -> Result<Self, Fault>;
}

impl<T: FromColumn> FromRow for T {
    fn from_row(row: &Row<'_>) -> Result<Self, Fault> {
        row.get(0)
    }
}

/// A row, or nothing and a warning if it holds what was never stored there: one such row must not keep the others from
/// their turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IfReadable<T>(pub Option<T>);

impl<T: FromRow> FromRow for IfReadable<T> {
    fn from_row(row: &Row<'_>) -> Result<Self, Fault> {
        match T::from_row(row) {
            Ok(value) => Ok(IfReadable(Some(value))),
            Err(Fault::Unreadable(error)) => {
                tracing::warn!(%error, "passed over a row that can not be read: {error}");
                Ok(IfReadable(None))
            }
            Err(fault) => Err(fault),
        }
    }
}

macro_rules! tuples {
    ($($name:ident $index:tt),+) => {
        impl<$($name: FromColumn),+> FromRow for ($($name,)+) {
            fn from_row(row: &Row<'_>) -> Result<Self, Fault> {
                Ok(($(row.get::<$name>($index)?,)+))
            }
        }
    };
}

tuples!(A 0, B 1);
tuples!(A 0, B 1, C 2);
tuples!(A 0, B 1, C 2, D 3);
tuples!(A 0, B 1, C 2, D 3, E 4);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5);

#[cfg(feature = "postgres")]
mod postgres {
    use std::error::Error as StdError;

    use tokio_postgres::types::{FromSql, Type};

    /// A number of any size, or a flag.
    pub(super) struct Number(pub(super) i64);

    impl<'a> FromSql<'a> for Number {
        fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
            Ok(Number(match *kind {
                Type::BOOL => bool::from_sql(kind, raw)?.into(),
                Type::INT2 => i16::from_sql(kind, raw)?.into(),
                Type::INT4 => i32::from_sql(kind, raw)?.into(),
                _ => i64::from_sql(kind, raw)?,
            }))
        }

        fn accepts(kind: &Type) -> bool {
            [Type::BOOL, Type::INT2, Type::INT4, Type::INT8].contains(kind)
        }
    }

    /// A value of any type, of which nothing is read.
    pub(super) struct Anything;

    impl<'a> FromSql<'a> for Anything {
        fn from_sql(_: &Type, _: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
            Ok(Anything)
        }

        fn accepts(_: &Type) -> bool {
            true
        }
    }
}
