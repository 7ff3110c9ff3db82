//! Owners on demand.

use super::{THINGS, open, place, value};
use crate::{Database, Durability, Fault, Migration, OpenError, Owners, SCHEMA, Schema, Sqlite, SystemClock};
use std::sync::Arc;

pub(crate) const BUILDS: Schema = Schema {
    owner: "builds",
    migrations: &[
        Migration {
            number: 5,
            oldest_binary: 5,
            sql: "CREATE TABLE builds (id {id}, name {text} NOT NULL);",
        },
        Migration {
            number: 9,
            oldest_binary: 1,
            sql: "CREATE TABLE workers (name {text} NOT NULL PRIMARY KEY){clustered};",
        },
    ],
    volatile: &["workers"],
    content: &["builds"],
};

/// Its second step fails.
const BROKEN: Schema = Schema {
    owner: "broken",
    migrations: &[
        Migration { number: 10, oldest_binary: 1, sql: "CREATE TABLE whole (id {id});" },
        Migration { number: 11, oldest_binary: 1, sql: "CREATE TABLE whole (id {id});" },
    ],
    volatile: &[],
    content: &[],
};

const SMALL: Owners = Owners::new(&[&THINGS, &SCHEMA]);
const ALL: Owners = Owners::new(&[&THINGS, &SCHEMA]).on_demand(&[&BUILDS, &BROKEN]);

async fn insert(database: &Sqlite, sql: &'static str) {
    let work =
        move |connection: &rusqlite::Connection| -> Result<(), Fault> { Ok(connection.execute_batch(sql)?) };
    database.writer().run("insert", Durability::Full, (), work).await.unwrap();
}

#[tokio::test]
async fn a_program_without_a_feature_opens_what_never_used_it() {
    let (_folder, path) = place();
    let database = open(&path, &ALL).unwrap();
    assert!(!database.has_owner("builds").unwrap());
    assert_eq!(value(&database, "SELECT format || ' ' || oldest_binary FROM store"), "7 2");
    drop(database);
    drop(open(&path, &SMALL).unwrap());

    let database = Database::Sqlite(Arc::new(open(&path, &ALL).unwrap()));
    database.use_owners(&["builds"]).await.unwrap();
    database.use_owners(&["builds"]).await.unwrap();
    assert!(database.has_owner("builds").await.unwrap());
    let Database::Sqlite(sqlite) = &database else { unreachable!() };
    insert(sqlite, "INSERT INTO builds (name) VALUES ('first')").await;
    assert_eq!(value(sqlite, "SELECT name FROM builds"), "first");
    // Step 5 came after step 7.
    assert_eq!(value(sqlite, "SELECT format || ' ' || oldest_binary FROM store"), "9 5");
    drop(database);

    let refused = open(&path, &SMALL);
    assert!(matches!(&refused, Err(OpenError::UnknownOwner { owner }) if owner == "builds"), "{refused:?}");
    let again = open(&path, &ALL).unwrap();
    assert_eq!(value(&again, "SELECT name FROM builds"), "first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_use_an_owner_at_once_make_it_once() {
    let (_folder, path) = place();
    let processes: Vec<_> = (0..4).map(|_| open(&path, &ALL).unwrap()).collect();
    let using: Vec<_> = processes
        .into_iter()
        .map(|process| tokio::spawn(async move { process.use_owners(&["builds"]).await.map(|()| process) }))
        .collect();
    for process in using {
        let process = process.await.unwrap().unwrap();
        assert_eq!(value(&process, "SELECT COUNT(*) FROM builds"), "0");
    }
}

#[tokio::test]
async fn of_owners_that_are_used_together_all_come_or_none() {
    let database = Sqlite::open_in_memory(&ALL, Arc::new(SystemClock)).unwrap();
    let failed = database.use_owners(&["builds", "broken"]).await;
    assert!(matches!(failed, Err(OpenError::Database { .. })), "{failed:?}");
    assert_eq!(value(&database, "SELECT COUNT(*) FROM sqlite_schema WHERE name IN ('builds', 'whole')"), "0");
    let unknown = database.use_owners(&["webhooks"]).await;
    assert!(matches!(&unknown, Err(OpenError::UnknownOwner { owner }) if owner == "webhooks"), "{unknown:?}");
    database.use_owners(&["builds"]).await.unwrap();
    assert!(database.has_owner("builds").unwrap());
}

#[test]
fn a_list_can_ask_for_all_at_once() {
    let (_folder, path) = place();
    drop(open(&path, &SMALL).unwrap());
    let owners = Owners::new(&[&THINGS, &SCHEMA]).on_demand(&[&BUILDS]).all_at_once();
    let database = open(&path, &owners).unwrap();
    assert_eq!(value(&database, "SELECT COUNT(*) FROM builds"), "0");
}
