//! Owners on demand.

use std::sync::Arc;

use registry_database::{Durability, Migration, OpenError as DatabaseError, Owners, SCHEMA, Schema, Sqlite};

use super::{Bench, PAGES, PEOPLE, close, dump, push, write};
use crate::{JournalRole, OpenError, verify_journal};

/// Its only step has a lower number than one that is done always.
const BUILDS: Schema = Schema {
    owner: "builds",
    migrations: &[Migration {
        number: 5,
        oldest_binary: 5,
        sql: "CREATE TABLE builds (id {id}, name {text} NOT NULL);
            CREATE TABLE workers (name {text} NOT NULL PRIMARY KEY){clustered};",
    }],
    volatile: &["workers"],
    content: &["builds"],
};

const SMALL: Owners = Owners::new(&[&PAGES, &PEOPLE, &SCHEMA]);
const ALL: Owners = Owners::new(&[&PAGES, &PEOPLE, &SCHEMA]).on_demand(&[&BUILDS]);

/// The program with the feature starts on what the one without has left. Both databases that know less, and none, are brought to
/// the same end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_journal_begins_anew_when_an_owner_comes() {
    let bench = Bench::new();
    let store = bench.open_with("first", SMALL).await.unwrap();
    push(&store, "one").await.unwrap();
    bench.copy("first", "old");
    close(store).await;

    let store = bench.open_with("first", ALL).await.unwrap();
    store.database.use_owners(&["builds"]).await.unwrap();
    let insert = "INSERT INTO builds (name) VALUES ('two'); INSERT INTO workers VALUES ('busy')";
    write(&store, Durability::Full, insert.to_owned()).await.unwrap();
    push(&store, "three").await.unwrap();
    let expected: Vec<String> = dump(&store).into_iter().filter(|row| !row.starts_with("workers")).collect();
    assert!(expected.contains(&"builds: 1|two".to_owned()), "{expected:?}");
    close(store).await;

    for name in ["old", "empty"] {
        let store = bench.open_with(name, ALL).await.unwrap();
        assert_eq!(dump(&store), expected, "{name}");
        close(store).await;
    }
    let report = verify_journal(&bench.path("old"), ALL, Arc::new(bench.objects.clone())).await.unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    let refused = bench.open_with("first", SMALL).await;
    assert!(
        matches!(&refused, Err(OpenError::Database(DatabaseError::UnknownOwner { owner })) if owner == "builds"),
        "{refused:?}"
    );
}

/// The server would not note what is written to tables that it has not seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_a_journal_no_tables_are_made() {
    let mut bench = Bench::new();
    let server = bench.open_with("first", SMALL).await.unwrap();
    bench.options.role = JournalRole::Beside;
    let beside = bench.open_with("first", ALL).await.unwrap();
    let refused = beside.database.use_owners(&["builds"]).await;
    assert!(matches!(&refused, Err(DatabaseError::Followed { owners }) if owners == "builds"), "{refused:?}");
    assert!(!beside.database.has_owner("builds").unwrap());
    close(beside).await;
    close(server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_begins_with_owners_that_were_used_before() {
    let bench = Bench::new();
    let plain = Sqlite::open(bench.path("first"), &ALL, Arc::new(bench.clock.clone())).unwrap();
    plain.use_owners(&["builds"]).await.unwrap();
    let insert = |connection: &rusqlite::Connection| Ok(connection.execute_batch(INSERT)?);
    plain.writer().run("insert", Durability::Full, (), insert).await.unwrap();
    drop(plain);
    let store = bench.open_with("first", ALL).await.unwrap();
    let expected = dump(&store);
    close(store).await;
    let store = bench.open_with("empty", ALL).await.unwrap();
    assert_eq!(dump(&store), expected);
    close(store).await;
}

const INSERT: &str = "INSERT INTO builds (name) VALUES ('before')";
