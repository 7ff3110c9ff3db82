//! From an empty database, from an old one, and from one that was not journalled.

use std::{sync::Arc, time::Duration};

use registry_database::{Durability, Sqlite};

use super::{Bench, OWNERS, START_MS, close, dump, push, push_text, rows, text_of, write};
use crate::{JournalReport, JournalRole, verify_journal};

const SEEDS: u64 = 8;
const STEPS: usize = 100;

async fn verified(bench: &Bench, name: &str) -> JournalReport {
    let objects = Arc::new(bench.objects.clone());
    let report = verify_journal(&bench.path(name), OWNERS, objects).await.unwrap();
    assert_eq!(report.problems, Vec::<String>::new(), "{report:?}");
    report
}

/// Statements that change rows in every way: one or many at once, whole or in part, numbers, texts, bytes and nulls.
fn some_statement(random: &mut fastrand::Rng) -> String {
    let (one, other) = (random.u8(..20), random.u8(..20));
    match random.u8(..9) {
        0 | 1 => format!("INSERT OR REPLACE INTO people (name) VALUES ('p{one}')"),
        2 | 3 => format!("INSERT OR IGNORE INTO texts VALUES ('t{one}', {other}, x'00ff{one:02x}')"),
        4 => format!(
            "INSERT OR IGNORE INTO pages SELECT 'n{other}', digest, {other}, {one} / 7.0 FROM texts WHERE digest = 't{one}'"
        ),
        5 => format!("UPDATE texts SET bytes = NULL, size = size + 1 WHERE size > {one}"),
        6 => format!(
            "UPDATE pages SET weight = NULL, text = (SELECT MIN(digest) FROM texts) WHERE name < 'n{one}'"
        ),
        7 => format!("DELETE FROM pages WHERE updated_at = {one}"),
        _ => format!("DELETE FROM texts WHERE digest > 't{one}' AND digest NOT IN (SELECT text FROM pages)"),
    }
}

/// Whatever is done, the journal leads to the same rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_lost_is_made_again_row_by_row() {
    for seed in 0..SEEDS {
        let mut random = fastrand::Rng::with_seed(seed);
        // With many snapshots, with few, and with none but the first.
        let bench = Bench::new().snapshots([5, 40, 10_000][seed as usize % 3]);
        let store = bench.open("first").await;
        for step in 0..STEPS {
            if step == STEPS / 2 {
                bench.copy("first", "copy");
            }
            write(&store, Durability::Full, some_statement(&mut random)).await.unwrap();
        }
        store.journal.settled().await.unwrap();
        let expected = dump(&store);
        assert!(expected.len() > 10, "seed {seed}: too little has happened");
        close(store).await;
        verified(&bench, "first").await;
        for name in ["second", "copy"] {
            let again = bench.open(name).await;
            assert_eq!(dump(&again), expected, "seed {seed}, {name}");
            close(again).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_was_made_again_goes_on() {
    let bench = Bench::new();
    let store = bench.open("first").await;
    write(&store, Durability::Full, "INSERT INTO people (name) VALUES ('anna')".to_owned()).await.unwrap();
    push(&store, "one").await.unwrap();
    let people = rows(&store, "SELECT * FROM people");
    let made = rows(&store, "SELECT created_at FROM store");
    assert_eq!(made, [START_MS.to_string()]);
    close(store).await;
    bench.clock.advance(Duration::from_secs(60));
    let store = bench.open("second").await;
    assert_eq!(rows(&store, "SELECT created_at FROM store"), made);
    assert_eq!(rows(&store, "SELECT * FROM people"), people);
    push(&store, "two").await.unwrap();
    close(store).await;
    let store = bench.open("third").await;
    assert!(text_of(&store, "one").is_some() && text_of(&store, "two").is_some());
    verified(&bench, "third").await;
}

/// What sessions of an old database were about may have become content since.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_database_forgets_what_is_volatile_and_a_current_one_does_not() {
    let bench = Bench::new();
    let store = bench.open("first").await;
    push_text(&store, "x").await.unwrap();
    write(&store, Durability::Process, "INSERT INTO sessions VALUES ('a', 1)".to_owned()).await.unwrap();
    bench.copy("first", "old");
    close(store).await;
    let store = bench.open("first").await;
    assert_eq!(rows(&store, "SELECT * FROM sessions"), ["a|1"]);
    push(&store, "later").await.unwrap();
    close(store).await;
    let old = bench.open("old").await;
    assert_eq!(rows(&old, "SELECT * FROM sessions"), [""; 0]);
    assert!(text_of(&old, "later").is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_can_begin_with_a_database_that_has_content() {
    let bench = Bench::new();
    let plain = Sqlite::open(bench.path("first"), &OWNERS, Arc::new(bench.clock.clone())).unwrap();
    let before = |connection: &rusqlite::Connection| {
        Ok(connection.execute("INSERT INTO texts VALUES ('before', 6, NULL)", [])?)
    };
    plain.writer().run("write", Durability::Full, (), before).await.unwrap();
    drop(plain);
    let store = bench.open("first").await;
    push(&store, "after").await.unwrap();
    let expected = dump(&store);
    close(store).await;
    assert_eq!(dump(&bench.open("second").await), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_entries_and_snapshots_go_and_a_database_from_before_them_is_replaced() {
    let bench = Bench::new().snapshots(4);
    let store = bench.open("first").await;
    push(&store, "t0").await.unwrap();
    bench.copy("first", "old");
    for number in 1..20 {
        bench.clock.advance(Duration::from_secs(1));
        push(&store, &format!("t{number}")).await.unwrap();
    }
    let pruned = async {
        while bench.objects.names("journal").first().unwrap().ends_with("01") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), pruned).await.unwrap();
    store.journal.settled().await.unwrap();
    let expected = dump(&store);
    close(store).await;
    assert!(bench.objects.names("snapshots").len() <= 2, "{:?}", bench.objects.names("snapshots"));
    let old = bench.open("old").await;
    assert_eq!(dump(&old), expected);
    close(old).await;
    verified(&bench, "old").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_is_damaged_is_passed_over() {
    let mut bench = Bench::new();
    bench.options.retention = Duration::from_secs(3600);
    bench.options.snapshot_entries = 3;
    let store = bench.open("first").await;
    for number in 0..8 {
        push(&store, &format!("t{number}")).await.unwrap();
    }
    let made = async {
        while bench.objects.names("snapshots").len() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), made).await.unwrap();
    let expected = dump(&store);
    close(store).await;
    // Of the newest that is whole: the stop may have left parts of one that was being made, which nobody looks at.
    let newest = bench.objects.names("snapshots").pop().unwrap();
    bench.objects.damage(&format!("{}/00000000", newest.replacen("snapshots", "snapshot-parts", 1)));
    assert_eq!(dump(&bench.open("second").await), expected);
    let objects = Arc::new(bench.objects.clone());
    let report = verify_journal(&bench.path("first"), OWNERS, objects).await.unwrap();
    assert!(report.problems.iter().any(|problem| problem.contains("not what was stored")), "{report:?}");
}

/// A newer version changes the schema at its start: what was before leads there only by a snapshot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_the_schema_is_carried_by_a_snapshot() {
    let bench = Bench::new();
    let store = bench.open("first").await;
    push(&store, "one").await.unwrap();
    bench.copy("first", "old");
    close(store).await;
    let newer = "UPDATE store SET format = 99; UPDATE owners SET format = 99 WHERE owner = 'pages';
        ALTER TABLE pages ADD COLUMN note TEXT; UPDATE pages SET note = 'new'";
    rusqlite::Connection::open(bench.path("first")).unwrap().execute_batch(newer).unwrap();
    let store = bench.open("first").await;
    push(&store, "two").await.unwrap();
    let expected = dump(&store);
    assert!(expected.iter().any(|row| row.ends_with("|new")));
    close(store).await;
    for name in ["old", "empty"] {
        let store = bench.open(name).await;
        assert_eq!(dump(&store), expected, "{name}");
        close(store).await;
    }
    verified(&bench, "old").await;
}

/// As `registry-gc` does, beside the server or when that is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_on_the_same_database_writes_to_the_same_journal() {
    let mut bench = Bench::new();
    let server = bench.open("first").await;
    push(&server, "one").await.unwrap();
    bench.options.role = JournalRole::Beside;
    let beside = bench.open("first").await;
    for number in 0..10 {
        let (mine, theirs) = (format!("server{number}"), format!("beside{number}"));
        let (mine, theirs) = tokio::join!(push(&server, &mine), push(&beside, &theirs));
        mine.unwrap();
        theirs.unwrap();
    }
    close(server).await;
    push(&beside, "alone").await.unwrap();
    let expected = dump(&beside);
    close(beside).await;
    bench.options.role = JournalRole::Serving;
    assert_eq!(dump(&bench.open("second").await), expected);
    verified(&bench, "first").await;
}
