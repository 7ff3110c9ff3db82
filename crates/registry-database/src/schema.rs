//! Whose tables a database has, and how they come to be.

use std::collections::BTreeSet;

/// One step from a schema to the next.
#[derive(Debug)]
pub struct Migration {
    /// The schema's number after this step. All owners share one row of numbers, from 1 without gaps: `store.format` is the
    /// number of the last step that was done.
    pub number: i64,
    /// The number of the oldest schema whose binary can still work beside this one.
    pub oldest_binary: i64,
    /// What to do, with words in braces for the [dialect](crate::Dialect).
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

/// The first schema that has the table of owners.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(crate) const FORMAT_WITH_OWNERS: i64 = SCHEMA.migrations[0].number;

/// All owners that a program knows. The first step of all makes the table `store`, with at least the columns `one` (always
/// 1, the key), `format`, `oldest_binary` and `created_at`.
#[derive(Clone, Copy, Debug)]
pub struct Owners(&'static [&'static Schema]);

/// Equal if they have the same names in the same order.
impl PartialEq for Owners {
    fn eq(&self, other: &Owners) -> bool {
        self.schemas().map(|schema| schema.owner).eq(other.schemas().map(|schema| schema.owner))
    }
}

impl Eq for Owners {}

impl Owners {
    /// These, which must include [`SCHEMA`].
    pub const fn new(schemas: &'static [&'static Schema]) -> Owners {
        Owners(schemas)
    }

    /// Their schemas, in the order given.
    pub fn schemas(&self) -> impl Iterator<Item = &'static Schema> + use<> {
        self.0.iter().copied()
    }

    /// All steps, in the order of their numbers.
    pub fn migrations(&self) -> Vec<&'static Migration> {
        let mut all: Vec<_> = self.schemas().flat_map(|schema| schema.migrations).collect();
        all.sort_by_key(|migration| migration.number);
        all
    }

    /// The number of the schema that a program with these owners writes.
    pub fn format(&self) -> i64 {
        self.schemas()
            .flat_map(|schema| schema.migrations)
            .map(|migration| migration.number)
            .max()
            .unwrap_or(0)
    }

    /// The oldest binary that can work on the schema of this number: what the most demanding step up to it asks for.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(crate) fn oldest_binary(&self, format: i64) -> i64 {
        let done = self.migrations().into_iter().filter(|migration| migration.number <= format);
        done.map(|migration| migration.oldest_binary).max().unwrap_or(0)
    }

    /// All tables that a journal leaves out.
    pub fn volatile(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.schemas().flat_map(|schema| schema.volatile).copied()
    }

    /// All tables any row of which makes a database worth keeping.
    pub fn content(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.schemas().flat_map(|schema| schema.content).copied()
    }

    /// A statement, for either engine, of one row and one column: whether a table of [content](Schema::content) has any row.
    /// Of the tables, those are asked of which `is_there` says that the database has them.
    pub fn has_content(&self, mut is_there: impl FnMut(&str) -> bool) -> String {
        let tables = self.content().filter(|table| is_there(table));
        let rows = tables.map(|table| format!(" OR EXISTS (SELECT 1 FROM {table})"));
        format!("SELECT FALSE{}", rows.collect::<String>())
    }

    /// Whether there is an owner of this name.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(crate) fn know(&self, owner: &str) -> bool {
        self.schemas().any(|schema| schema.owner == owner)
    }

    /// What is wrong with the list, for a test of the program that makes it: numbers are not 1, 2, 3, …; a step asks for a
    /// binary of the future; two owners have one name.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (place, migration) in self.migrations().iter().enumerate() {
            let expected = place as i64 + 1;
            if migration.number != expected {
                problems.push(format!("step {} stands where step {expected} should", migration.number));
            }
            if migration.oldest_binary > migration.number {
                problems.push(format!("step {} asks for a binary that does not have it", migration.number));
            }
        }
        let names: BTreeSet<_> = self.schemas().map(|schema| schema.owner).collect();
        if names.len() != self.0.len() {
            problems.push("two owners have one name".to_owned());
        }
        problems
    }
}

/// A row of the table of owners.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(crate) struct Owner {
    pub(crate) owner: &'static str,
    pub(crate) format: i64,
    pub(crate) oldest_binary: i64,
    pub(crate) volatile: String,
}

#[cfg(any(feature = "sqlite", feature = "postgres"))]
impl Owner {
    /// Of each owner that has done a step.
    pub(crate) fn all(owners: &Owners) -> impl Iterator<Item = Owner> + use<> {
        owners.schemas().filter_map(|schema| {
            let last = schema.migrations.last()?;
            let (format, oldest_binary) = (last.number, last.oldest_binary);
            Some(Owner { owner: schema.owner, format, oldest_binary, volatile: schema.volatile.join(" ") })
        })
    }
}

/// Notes an owner in the table of owners.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(crate) const NOTE_OWNER: &str =
    "INSERT INTO owners (owner, format, oldest_binary, volatile) VALUES ($1, $2, $3, $4)
        ON CONFLICT (owner) DO UPDATE SET
            format = excluded.format, oldest_binary = excluded.oldest_binary, volatile = excluded.volatile";

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Schema = Schema {
        owner: "first",
        migrations: &[
            Migration { number: 1, oldest_binary: 1, sql: "" },
            Migration { number: 3, oldest_binary: 4, sql: "" },
        ],
        volatile: &["lost"],
        content: &["kept"],
    };

    #[test]
    fn a_list_with_a_gap_or_a_wish_for_the_future_is_told() {
        let owners = Owners::new(&[&FIRST, &FIRST]);
        assert_eq!(
            owners.problems(),
            [
                "step 1 stands where step 2 should",
                "step 3 asks for a binary that does not have it",
                "step 3 stands where step 4 should",
                "step 3 asks for a binary that does not have it",
                "two owners have one name",
            ]
        );
    }

    #[test]
    fn steps_of_all_owners_are_done_in_the_order_of_their_numbers() {
        let owners = Owners::new(&[&SCHEMA, &FIRST]);
        let numbers: Vec<i64> = owners.migrations().iter().map(|migration| migration.number).collect();
        assert_eq!(numbers, [1, 3, 7]);
        assert_eq!(owners.format(), 7);
        assert_eq!(
            (owners.volatile().collect::<Vec<_>>(), owners.content().collect::<Vec<_>>()),
            (vec!["lost"], vec!["kept"])
        );
    }
}
