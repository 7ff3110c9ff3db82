//! What owners' tables may be, so that a journal can carry them.

use std::sync::Arc;

use registry_database::{Fault, Owners, Sqlite, SystemClock, sqlite::statement::all};
use rusqlite::{Connection, Row};

use super::table::{self, COLUMNS_MAX, OWN_TABLES, Table};

/// Words in the names of columns that change while something is at work, joined by `_` to others: each change of one would
/// be an object in the store. A new word for such a thing is added here.
const CHANGING_WORDS: &[&str] = &[
    "attempt",
    "attempts",
    "claim",
    "claimed",
    "claims",
    "heartbeat",
    "heartbeats",
    "offset",
    "polled",
    "seen",
    "touched",
    "tries",
    "used",
];

/// The longest name of a table, in bytes: its length is stored in one.
const NAME_BYTES_MAX: usize = 255;

/// What is wrong with the tables of these owners, for a test of the program that lists them: what [a journal](crate) could
/// not carry, or would lose. Nothing, if all is well.
pub fn problems(owners: &Owners) -> Vec<String> {
    let database = match Sqlite::open_in_memory(&owners.all_at_once(), Arc::new(SystemClock)) {
        Ok(database) => database,
        Err(error) => return vec![format!("the tables can not be made: {error}")],
    };
    let read = |connection: &Connection| Ok::<_, Fault>(problems_in(connection, owners)?);
    let found = database.readers().read("look at the tables", read);
    found.unwrap_or_else(|error| vec![format!("the tables can not be read: {error}")])
}

fn problems_in(database: &Connection, owners: &Owners) -> rusqlite::Result<Vec<String>> {
    let mut problems = unknown_tables(database, owners)?;
    problems.extend(virtual_tables(database)?);
    problems.extend(triggers(database)?);
    for table in table::journalled(database, owners)? {
        problems.extend(problems_of(&table));
        problems.extend(references(database, owners, &table)?);
    }
    Ok(problems)
}

/// Tables that an owner declares and does not make, or declares to be both worth keeping and nothing to lose.
fn unknown_tables(database: &Connection, owners: &Owners) -> rusqlite::Result<Vec<String>> {
    let mut problems = Vec::new();
    for table in owners.volatile().chain(owners.content()) {
        let is_there = "SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND name = $1";
        if !database.prepare_cached(is_there)?.exists([table])? {
            problems.push(format!("there is no table {table}"));
        }
    }
    let both = owners.content().filter(|content| owners.volatile().any(|volatile| volatile == *content));
    problems.extend(both.map(|table| format!("{table} is content, and is volatile")));
    Ok(problems)
}

fn virtual_tables(database: &Connection) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'virtual' ORDER BY name";
    all(database, sql, [], |row| Ok(format!("{} is a virtual table", row.get::<_, String>(0)?)))
}

/// What a trigger does is journalled as what it is, and would be done twice when the journal is replayed.
fn triggers(database: &Connection) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT tbl_name FROM main.sqlite_schema WHERE type = 'trigger' ORDER BY name";
    all(database, sql, [], |row| Ok(format!("{} has a trigger", row.get::<_, String>(0)?)))
}

fn problems_of(table: &Table) -> Vec<String> {
    let name = &table.name;
    let mut problems = Vec::new();
    if OWN_TABLES.contains(&name.as_str()) || name.len() > NAME_BYTES_MAX {
        problems.push(format!("{name} can not be the name of a journalled table"));
    }
    if table.keys() == 0 {
        problems.push(format!("{name} has no primary key"));
    }
    if table.columns.len() > COLUMNS_MAX {
        problems.push(format!("{name} has more than {COLUMNS_MAX} columns"));
    }
    let changing = table.columns.iter().map(|column| &column.name).filter(|column| changes_at_work(column));
    problems
        .extend(changing.map(|column| format!("{name}.{column} changes at work, and {name} is journalled")));
    problems
}

fn changes_at_work(column: &str) -> bool {
    column.split('_').any(|word| CHANGING_WORDS.contains(&word))
}

/// What a foreign key does by itself, such as `ON DELETE CASCADE`, would be done twice as well.
fn references(database: &Connection, owners: &Owners, table: &Table) -> rusqlite::Result<Vec<String>> {
    let sql =
        "SELECT \"table\", on_delete, on_update FROM pragma_foreign_key_list($1) WHERE seq = 0 ORDER BY 1";
    let read = |row: &Row<'_>| Ok((row.get(0)?, [row.get(1)?, row.get(2)?]));
    let references: Vec<(String, [String; 2])> = all(database, sql, [&table.name], read)?;
    let mut problems = Vec::new();
    for (referred, actions) in references {
        if owners.volatile().any(|volatile| volatile == referred) {
            problems.push(format!("{} refers to {referred}, which is volatile", table.name));
        }
        let acts = actions.iter().find(|action| !matches!(action.as_str(), "RESTRICT" | "NO ACTION"));
        problems.extend(acts.map(|action| format!("a reference of {} acts by itself: {action}", table.name)));
    }
    Ok(problems)
}

#[cfg(test)]
mod tests {
    use registry_database::{Migration, SCHEMA, Schema};

    use super::*;
    use crate::tests::OWNERS;

    const STORE: &str = "CREATE TABLE store (one INTEGER PRIMARY KEY, format BIGINT NOT NULL,
        oldest_binary BIGINT NOT NULL, created_at BIGINT NOT NULL);";

    const ALL_WRONG: Schema = Schema {
        owner: "wrong",
        migrations: &[
            Migration { number: 1, oldest_binary: 1, sql: STORE },
            Migration {
                number: 2,
                oldest_binary: 1,
                sql: "CREATE TABLE sessions (id {text} NOT NULL PRIMARY KEY, claimed_until BIGINT);
                    CREATE TABLE builds (id {id}, session {text} REFERENCES sessions (id), attempts BIGINT,
                        claimed_by {text}, secrets_epoch BIGINT);
                    CREATE TABLE log (line {text});
                    CREATE TABLE steps (id {id}, build BIGINT REFERENCES builds (id) ON DELETE CASCADE);
                    CREATE TRIGGER steps_log AFTER INSERT ON steps BEGIN INSERT INTO log VALUES ('step'); END;
                    CREATE VIRTUAL TABLE names USING rtree (id, low, high);",
            },
        ],
        volatile: &["sessions", "heartbeats"],
        content: &["builds", "sessions"],
    };

    #[test]
    fn each_kind_of_table_that_can_not_be_journalled_is_found() {
        let problems = problems(&Owners::new(&[&ALL_WRONG, &SCHEMA]));
        for expected in [
            "there is no table heartbeats",
            "sessions is content, and is volatile",
            "names is a virtual table",
            "builds.attempts changes at work, and builds is journalled",
            "builds.claimed_by changes at work, and builds is journalled",
            "builds refers to sessions, which is volatile",
            "log has no primary key",
            "steps has a trigger",
            "a reference of steps acts by itself: CASCADE",
        ] {
            assert!(problems.iter().any(|problem| problem == expected), "{expected}: {problems:?}");
        }
        assert!(!problems.iter().any(|problem| problem.contains("secrets_epoch")), "{problems:?}");
    }

    #[test]
    fn nothing_is_wrong_with_tables_that_keep_the_rules() {
        assert_eq!(problems(&OWNERS), Vec::<String>::new());
    }
}
