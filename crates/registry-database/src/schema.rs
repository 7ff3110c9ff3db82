//! The tables of one owner, and how they come to be.

/// One step from a schema to the next.
#[derive(Debug)]
pub struct Migration {
    /// The schema's number after this step. All owners share one row of numbers, from 1: `store.format` is the highest number of
    /// the steps that were done.
    pub number: i64,
    /// The number of the oldest schema whose binary can still work beside this one.
    pub oldest_binary: i64,
    /// What to do, with words in braces for the [dialect](crate::Dialect). A step of an owner
    /// [on demand](crate::Owners::on_demand) changes its owner's tables only: steps with higher numbers may have been done before it.
    pub sql: &'static str,
}

/// The tables of one owner: of one crate.
#[derive(Debug)]
pub struct Schema {
    /// The owner's name, as it is in the table `owners`.
    pub owner: &'static str,
    /// All steps, in order. Append only: what was released never changes.
    pub migrations: &'static [Migration],
    /// Tables that a journal of changes leaves out: losing them loses nothing that was promised. No other table refers to
    /// one of them, and each may be emptied when a database is made again from its journal.
    pub volatile: &'static [&'static str],
    /// Tables any row of which makes a database worth keeping. A database that has no row in any of them is empty, and may
    /// be replaced by what a journal holds.
    pub content: &'static [&'static str],
}

/// What this crate keeps itself: the table of owners.
pub const SCHEMA: Schema = Schema {
    owner: "database",
    migrations: &[
        // An older binary that starts beside this one does not look at owners; there are no others yet.
        Migration { number: 7, oldest_binary: 1, sql: OWNERS },
    ],
    volatile: &[],
    content: &[],
};

/// `format` and `oldest_binary` are those of the owner's last step, `volatile` its volatile tables, separated by spaces.
const OWNERS: &str = r"
CREATE TABLE owners (
    owner         {text} NOT NULL PRIMARY KEY,
    format        BIGINT NOT NULL,
    oldest_binary BIGINT NOT NULL,
    volatile      {text} NOT NULL
){clustered};
";
