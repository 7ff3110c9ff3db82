//! Whose tables a database has.

#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod plan;

use std::collections::{BTreeMap, BTreeSet};

#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(crate) use self::plan::{FOUND_OWNERS, Found, NOTE_OWNER, NOTE_STEP, Plan};
use crate::{Database, Migration, OpenError, Schema};

/// All owners that a program knows. The first step of all makes the table `store`, with at least the columns `one` (always
/// 1, the key), `format`, `oldest_binary` and `created_at`.
///
/// Most owners are there always: opening a database makes their tables. Those [on demand](Self::on_demand) come when a feature
/// is first used, so a program without that feature opens every database in which it was never used.
#[derive(Clone, Copy, Debug)]
pub struct Owners {
    always: &'static [&'static Schema],
    on_demand: &'static [&'static Schema],
    /// Whether opening makes the tables of those on demand as well.
    is_all_at_once: bool,
}

/// Equal if they have the same names in the same order.
impl PartialEq for Owners {
    fn eq(&self, other: &Owners) -> bool {
        let names = |owners: &Owners| owners.schemas().map(|schema| schema.owner).collect::<Vec<_>>();
        self.always.len() == other.always.len() && names(self) == names(other)
    }
}

impl Eq for Owners {}

impl Owners {
    /// These, which must include [`SCHEMA`](crate::SCHEMA).
    pub const fn new(always: &'static [&'static Schema]) -> Owners {
        Owners { always, on_demand: &[], is_all_at_once: false }
    }

    /// And these, whose tables are made when they are first used: [`Database::use_owners`](crate::Database::use_owners).
    ///
    /// A database may have any of them or none. So the steps of such an owner change nothing but its own tables, no other
    /// owner's tables refer to them, and whatever reads them asks [`Database::has_owner`](crate::Database::has_owner) before.
    pub const fn on_demand(mut self, schemas: &'static [&'static Schema]) -> Owners {
        self.on_demand = schemas;
        self
    }

    /// The same, but opening makes the tables of all: for a journal, which follows the tables that it saw at its start.
    pub const fn all_at_once(mut self) -> Owners {
        self.is_all_at_once = true;
        self
    }

    /// Their schemas: those that are there always, then those on demand, in the order given.
    pub fn schemas(&self) -> impl Iterator<Item = &'static Schema> + use<> {
        self.always.iter().chain(self.on_demand).copied()
    }

    /// All steps, in the order of their numbers.
    pub fn migrations(&self) -> Vec<&'static Migration> {
        let mut all: Vec<_> = self.schemas().flat_map(|schema| schema.migrations).collect();
        all.sort_by_key(|migration| migration.number);
        all
    }

    /// The number of the schema that a program with these owners knows: the highest of any step.
    pub fn format(&self) -> i64 {
        self.migrations().last().map_or(0, |migration| migration.number)
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

    /// What is wrong with the list, for a test of the program that makes it: two steps have one number, an owner's steps are not
    /// in order, a step asks for a binary of the future, two owners have one name.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut by_number = BTreeMap::new();
        let mut names = BTreeSet::new();
        for schema in self.schemas() {
            let Schema { owner, migrations, .. } = schema;
            if !names.insert(owner) {
                problems.push(format!("two owners have the name {owner}"));
            }
            if !migrations.is_sorted_by(|one, next| one.number < next.number) {
                problems.push(format!("the steps of {owner} are not in the order of their numbers"));
            }
            for Migration { number, oldest_binary, .. } in *migrations {
                if let Some(other) = by_number.insert(number, owner) {
                    problems.push(format!("{other} and {owner} have a step {number}"));
                }
                if oldest_binary > number {
                    problems.push(format!("step {number} asks for a binary that does not have it"));
                }
            }
        }
        problems
    }

    /// The numbers below the highest that no owner of the list has: the steps of owners that this program was built without. A
    /// program that has all owners has none.
    pub fn gaps(&self) -> Vec<i64> {
        let numbers: BTreeSet<i64> = self.migrations().iter().map(|migration| migration.number).collect();
        (1..self.format()).filter(|number| !numbers.contains(number)).collect()
    }
}

impl Database {
    /// Makes the tables of these owners, as far as they are not there, all in one transaction. They are owners of the list that the
    /// database was opened with. Of several nodes that ask at once, one does it and the others wait. Nothing to do costs one read.
    ///
    /// **Cancellation**: all of them are made, or none.
    ///
    /// # Errors
    /// [`OpenError::UnknownOwner`], if the list has no such owner. [`OpenError::Followed`], if the database has a journal, whose
    /// server makes the tables of [all](Owners::all_at_once) owners when it starts. Or what the database said. Then nothing was
    /// made.
    #[cfg_attr(
        not(any(feature = "sqlite", feature = "postgres")),
        allow(unused_variables, reason = "without an engine there is no database to ask")
    )]
    pub async fn use_owners(&self, wanted: &[&'static str]) -> Result<(), OpenError> {
        match *self {
            #[cfg(feature = "sqlite")]
            Database::Sqlite(ref database) => database.use_owners(wanted).await,
            #[cfg(feature = "postgres")]
            Database::Postgres(ref pool) => pool.use_owners(wanted).await,
        }
    }

    /// Whether the database has the tables of an owner: a read, for work in the background that has nothing to do without.
    ///
    /// # Errors
    /// What the database said.
    #[cfg_attr(
        not(any(feature = "sqlite", feature = "postgres")),
        allow(unused_variables, reason = "without an engine there is no database to ask")
    )]
    pub async fn has_owner(&self, owner: &str) -> Result<bool, OpenError> {
        match *self {
            #[cfg(feature = "sqlite")]
            Database::Sqlite(ref database) => database.has_owner(owner),
            #[cfg(feature = "postgres")]
            Database::Postgres(ref pool) => pool.has_owner(owner).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SCHEMA;

    const FIRST: Schema = Schema {
        owner: "first",
        migrations: &[
            Migration { number: 1, oldest_binary: 1, sql: "" },
            Migration { number: 3, oldest_binary: 4, sql: "" },
        ],
        volatile: &["lost"],
        content: &["kept"],
    };

    const CONFUSED: Schema = Schema {
        owner: "first",
        migrations: &[
            Migration { number: 9, oldest_binary: 1, sql: "" },
            Migration { number: 3, oldest_binary: 1, sql: "" },
        ],
        volatile: &[],
        content: &[],
    };

    #[test]
    fn what_is_wrong_with_a_list_is_told() {
        assert_eq!(
            Owners::new(&[&FIRST]).on_demand(&[&CONFUSED]).problems(),
            [
                "step 3 asks for a binary that does not have it",
                "two owners have the name first",
                "the steps of first are not in the order of their numbers",
                "first and first have a step 3",
            ]
        );
    }

    #[test]
    fn steps_of_all_owners_are_listed_in_the_order_of_their_numbers() {
        let owners = Owners::new(&[&SCHEMA]).on_demand(&[&FIRST]);
        let numbers: Vec<i64> = owners.migrations().iter().map(|migration| migration.number).collect();
        assert_eq!(numbers, [1, 3, 7]);
        assert_eq!((owners.format(), owners.gaps()), (7, vec![2, 4, 5, 6]));
        assert_eq!(
            (owners.volatile().collect::<Vec<_>>(), owners.content().collect::<Vec<_>>()),
            (vec!["lost"], vec!["kept"])
        );
    }
}
