use crate::Param;

/// One statement of SQL: one text that both engines understand, or one for each of them.
///
/// Parameters are `$1`, `$2`, …, and appear *for the first time* in that order: PostgreSQL counts by number, SQLite by first
/// appearance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Statement {
    /// The text for SQLite.
    pub sqlite: &'static str,
    /// The text for PostgreSQL.
    pub postgres: &'static str,
}

impl Statement {
    /// The same text for both.
    pub const fn same(sql: &'static str) -> Statement {
        Statement { sqlite: sql, postgres: sql }
    }

    /// A text for each, where they must differ.
    pub const fn each(sqlite: &'static str, postgres: &'static str) -> Statement {
        Statement { sqlite, postgres }
    }
}

/// A statement and its values, to be run later.
#[derive(Clone, Debug)]
pub struct Deferred<'a> {
    /// The statement.
    pub statement: Statement,
    /// Its values, in order.
    pub params: Vec<Param<'a>>,
}
