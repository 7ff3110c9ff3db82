//! What there is to do, so that a database has the owners that it is to have.

use std::collections::{BTreeMap, BTreeSet};

use super::Owners;
use crate::{Migration, OpenError, SCHEMA, Schema};

/// The first schema that has the table of owners.
const FORMAT_WITH_OWNERS: i64 = SCHEMA.migrations[0].number;

/// Reads the table of owners, which is there from [`FORMAT_WITH_OWNERS`] on.
pub(crate) const FOUND_OWNERS: &str = "SELECT owner, format FROM owners";

/// Notes a step that was done: its number, and the oldest binary that can work on the database now.
pub(crate) const NOTE_STEP: &str =
    "INSERT INTO store (one, format, oldest_binary, created_at) VALUES (1, $1, $2, now_ms())
        ON CONFLICT (one) DO UPDATE SET format = excluded.format, oldest_binary = excluded.oldest_binary";

/// Notes an owner in the table of owners.
pub(crate) const NOTE_OWNER: &str =
    "INSERT INTO owners (owner, format, oldest_binary, volatile) VALUES ($1, $2, $3, $4)
        ON CONFLICT (owner) DO UPDATE SET
            format = excluded.format, oldest_binary = excluded.oldest_binary, volatile = excluded.volatile";

/// What a database says of its schema. The default is that of an empty one.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The highest step that was done.
    pub(crate) format: i64,
    /// The oldest binary that can work on it.
    pub(crate) oldest_binary: i64,
    /// The last step of each owner that is there; empty if the table of owners is not there yet.
    pub(crate) owners: BTreeMap<String, i64>,
}

impl Found {
    /// Whether a database of this schema has the table of owners.
    pub(crate) fn has_owners(&self) -> bool {
        self.format >= FORMAT_WITH_OWNERS
    }

    /// Those of the owners that are there.
    #[cfg(all(feature = "sqlite", feature = "postgres"))]
    pub(crate) fn present(&self, owners: &Owners) -> Vec<&'static str> {
        let names = owners.schemas().map(|schema| schema.owner);
        names.filter(|owner| self.owners.contains_key(*owner)).collect()
    }

    /// The last step that was done of an owner, 0 for none.
    fn done(&self, schema: &Schema, is_always: bool) -> i64 {
        match self.owners.get(schema.owner) {
            Some(format) => *format,
            // Before there was a table of owners, all owners did each step that was done.
            None if self.owners.is_empty() && is_always => self.format,
            None => 0,
        }
    }
}

/// What there is to do.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// The steps that are due, in their order, each with the row of `store` after it: [`NOTE_STEP`].
    pub(crate) steps: Vec<Due>,
    /// The rows of the table of owners that change: [`NOTE_OWNER`].
    pub(crate) notes: Vec<Note>,
}

/// A step that is due.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) sql: &'static str,
    pub(crate) format: i64,
    pub(crate) oldest_binary: i64,
}

/// A row of the table of owners.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) owner: &'static str,
    pub(crate) format: i64,
    pub(crate) oldest_binary: i64,
    pub(crate) volatile: String,
}

impl Plan {
    pub(crate) fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.notes.is_empty()
    }
}

impl Owners {
    /// What is to be done to a database, so that it has those owners that are there always, those that it has, and those that are
    /// `wanted`. Nothing, if it has all that.
    ///
    /// # Errors
    /// [`OpenError::UnknownOwner`], also for one that is wanted, and [`OpenError::TooNew`].
    pub(crate) fn plan(&self, found: &Found, wanted: &[&str]) -> Result<Plan, OpenError> {
        self.accept(found, wanted)?;
        let present: Vec<(&'static Schema, i64)> = self
            .always
            .iter()
            .map(|schema| (*schema, true))
            .chain(self.on_demand.iter().map(|schema| (*schema, false)))
            .filter(|(schema, is_always)| {
                let is_there = found.owners.contains_key(schema.owner) || wanted.contains(&schema.owner);
                *is_always || is_there || self.is_all_at_once
            })
            .map(|(schema, is_always)| (schema, found.done(schema, is_always)))
            .collect();
        Ok(Plan { steps: due(found, &present), notes: notes(found, &present) })
    }

    fn accept(&self, found: &Found, wanted: &[&str]) -> Result<(), OpenError> {
        let known: BTreeSet<&str> = self.schemas().map(|schema| schema.owner).collect();
        let there = found.owners.keys().map(String::as_str);
        if let Some(owner) = there.chain(wanted.iter().copied()).find(|owner| !known.contains(owner)) {
            return Err(OpenError::UnknownOwner { owner: owner.to_owned() });
        }
        let (&Found { format, oldest_binary, .. }, known) = (found, self.format());
        if oldest_binary > known {
            return Err(OpenError::TooNew { format, oldest_binary, known });
        }
        Ok(())
    }
}

fn due(found: &Found, present: &[(&'static Schema, i64)]) -> Vec<Due> {
    let of_owner = |(schema, done): &(&'static Schema, i64)| {
        let done = *done;
        schema.migrations.iter().filter(move |migration| migration.number > done)
    };
    let mut migrations: Vec<&Migration> = present.iter().flat_map(of_owner).collect();
    migrations.sort_by_key(|migration| migration.number);
    let (mut format, mut oldest) = (found.format, found.oldest_binary);
    migrations
        .into_iter()
        .map(|Migration { number, oldest_binary, sql }| {
            (format, oldest) = (format.max(*number), oldest.max(*oldest_binary));
            Due { sql, format, oldest_binary: oldest }
        })
        .collect()
}

/// Of each owner that does a step or has no row yet. Its row says what is the case after its last step.
fn notes(found: &Found, present: &[(&'static Schema, i64)]) -> Vec<Note> {
    let note = |(schema, done): &(&'static Schema, i64)| {
        let Schema { owner, volatile, .. } = *schema;
        let &Migration { number: format, oldest_binary, .. } = schema.migrations.last()?;
        let is_current = found.owners.contains_key(*owner) && *done >= format;
        (!is_current).then(|| Note { owner, format, oldest_binary, volatile: volatile.join(" ") })
    };
    present.iter().filter_map(note).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn step(number: i64, oldest_binary: i64, sql: &'static str) -> Migration {
        Migration { number, oldest_binary, sql }
    }

    const THINGS: Schema = Schema {
        owner: "things",
        migrations: &[step(1, 1, "things 1"), step(9, 4, "things 9")],
        volatile: &["lost"],
        content: &[],
    };
    const BUILDS: Schema = Schema {
        owner: "builds",
        migrations: &[step(8, 8, "builds 8"), step(10, 1, "builds 10")],
        volatile: &[],
        content: &[],
    };
    const OWNERS: Owners = Owners::new(&[&THINGS, &SCHEMA]).on_demand(&[&BUILDS]);

    fn found(format: i64, oldest_binary: i64, owners: &[(&str, i64)]) -> Found {
        let owners = owners.iter().map(|(owner, format)| ((*owner).to_owned(), *format)).collect();
        Found { format, oldest_binary, owners }
    }

    /// The steps as `sql → format, oldest binary`, and the owners that are noted.
    fn plan(owners: Owners, found: &Found, wanted: &[&str]) -> (Vec<String>, Vec<String>) {
        let Plan { steps, notes } = owners.plan(found, wanted).unwrap();
        let step = |Due { sql, format, oldest_binary }| match sql.contains("CREATE TABLE owners") {
            true => format!("owners → {format}, {oldest_binary}"),
            false => format!("{sql} → {format}, {oldest_binary}"),
        };
        let note = |Note { owner, format, .. }| format!("{owner} {format}");
        (steps.into_iter().map(step).collect(), notes.into_iter().map(note).collect())
    }

    #[test]
    fn a_new_database_has_nothing_on_demand() {
        let (steps, notes) = plan(OWNERS, &Found::default(), &[]);
        assert_eq!(steps, ["things 1 → 1, 1", "owners → 7, 1", "things 9 → 9, 4"]);
        assert_eq!(notes, ["things 9", "database 7"]);
        let all = plan(OWNERS.all_at_once(), &Found::default(), &[]);
        assert_eq!(all.0.len(), 5);
        assert_eq!(all.1, ["things 9", "database 7", "builds 10"]);
    }

    #[test]
    fn an_owner_comes_after_steps_with_higher_numbers() {
        let without = found(9, 4, &[("things", 9), ("database", 7)]);
        assert!(OWNERS.plan(&without, &[]).unwrap().is_empty());
        let (steps, notes) = plan(OWNERS, &without, &["builds"]);
        assert_eq!(steps, ["builds 8 → 9, 8", "builds 10 → 10, 8"]);
        assert_eq!(notes, ["builds 10"]);
    }

    #[test]
    fn an_owner_that_is_there_is_brought_up_to_date_and_a_newer_one_is_left_alone() {
        let older = found(9, 8, &[("things", 12), ("database", 7), ("builds", 8)]);
        let (steps, notes) = plan(OWNERS, &older, &[]);
        assert_eq!(steps, ["builds 10 → 10, 8"]);
        assert_eq!(notes, ["builds 10"]);
    }

    #[test]
    fn a_database_without_the_table_of_owners_gets_it_and_nothing_on_demand() {
        let (steps, notes) = plan(OWNERS, &found(5, 1, &[]), &[]);
        assert_eq!(steps, ["owners → 7, 1", "things 9 → 9, 4"]);
        assert_eq!(notes, ["things 9", "database 7"]);
    }

    #[test]
    fn an_owner_that_is_not_known_is_named_before_a_number_that_is_too_high() {
        let newer = found(20, 20, &[("things", 20), ("secrets", 15)]);
        let refused = OWNERS.plan(&newer, &[]);
        assert!(
            matches!(&refused, Err(OpenError::UnknownOwner { owner }) if owner == "secrets"),
            "{refused:?}"
        );
        let newer = found(20, 20, &[("things", 20)]);
        assert!(matches!(OWNERS.plan(&newer, &[]), Err(OpenError::TooNew { known: 10, .. })));
        let wanted = OWNERS.plan(&Found::default(), &["webhooks"]);
        assert!(
            matches!(&wanted, Err(OpenError::UnknownOwner { owner }) if owner == "webhooks"),
            "{wanted:?}"
        );
    }
}
