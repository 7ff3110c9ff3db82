//! What can not be one is not made one.

use std::{sync::Arc, time::Duration};

use registry_database::{Durability, Error, Sqlite};

use super::{Bench, OWNERS, TroubledObjects, close, dump, push, rows, text_of, write};
use crate::{JournalError, OpenError, is_journalled, verify_journal};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_writers_one_goes_on_and_one_stops_before_it_answers() {
    let bench = Bench::new();
    let first = bench.open("first").await;
    push(&first, "one").await.unwrap();
    let second = bench.open("second").await;
    push(&first, "two").await.unwrap();
    let refused = push(&second, "three").await.unwrap_err();
    assert!(matches!(refused, Error::Unavailable { .. }), "{refused:?}");
    let lost = tokio::time::timeout(Duration::from_secs(5), second.journal.lost()).await.unwrap();
    assert!(matches!(*lost, JournalError::Fenced { .. }), "{lost:?}");
    assert!(matches!(push(&second, "four").await, Err(Error::Unavailable { .. })));
    push(&first, "five").await.unwrap();
    assert!(second.journal.status().fault.is_some() && first.journal.status().fault.is_none());
    close(second).await;
    // What it kept is another history now.
    let refused = bench.try_open("second").await.unwrap_err();
    assert!(matches!(refused, OpenError::Journal(JournalError::Diverged { .. })), "{refused:?}");
    let expected = dump(&first);
    close(first).await;
    let third = bench.open("third").await;
    assert_eq!(dump(&third), expected);
    assert!(text_of(&third, "three").is_none() && text_of(&third, "five").is_some());
}

/// Both at once, many times: whoever loses has not answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_two_writers_have_acknowledged_is_there() {
    for round in 0..10 {
        let bench = Bench::new();
        close(bench.open("first").await).await;
        let (first, second) = (bench.open("first").await, bench.open("second").await);
        let mut acknowledged = Vec::new();
        for number in 0..5 {
            let names = [format!("a{number}"), format!("b{number}")];
            let (one, two) = tokio::join!(push(&first, &names[0]), push(&second, &names[1]));
            acknowledged.extend(one.is_ok().then(|| names[0].clone()));
            acknowledged.extend(two.is_ok().then(|| names[1].clone()));
        }
        close(first).await;
        close(second).await;
        assert!(!acknowledged.is_empty(), "round {round}");
        let third = bench.open("third").await;
        for name in acknowledged {
            assert!(text_of(&third, &name).is_some(), "round {round}: {name}");
        }
        close(third).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histories_that_went_different_ways_are_not_joined() {
    let bench = Bench::new();
    let store = bench.open("first").await;
    push(&store, "one").await.unwrap();
    close(store).await;
    bench.copy("first", "other");
    let elsewhere = bench.objects.fork();
    let other = bench.open_on("other", &elsewhere).await.unwrap();
    push(&other, "two").await.unwrap();
    push(&other, "three").await.unwrap();
    close(other).await;
    let store = bench.open("first").await;
    push(&store, "four").await.unwrap();
    close(store).await;
    for journal in [&bench.objects, &elsewhere] {
        let name = if std::ptr::eq(journal, &bench.objects) { "other" } else { "first" };
        let refused = bench.open_on(name, journal).await.unwrap_err();
        // The longer one can not tell more than that the journal ends too early.
        let is_refused =
            matches!(refused, OpenError::Journal(JournalError::Diverged { .. } | JournalError::Ahead { .. }));
        assert!(is_refused, "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_lost_what_was_stored_is_refused() {
    let bench = Bench::new();
    let store = bench.open("first").await;
    for name in ["one", "two", "three"] {
        push(&store, name).await.unwrap();
    }
    close(store).await;
    let names = bench.objects.names("journal");
    for name in &names[names.len() - 3..] {
        bench.objects.lose(name);
    }
    let refused = bench.try_open("first").await.unwrap_err();
    assert!(matches!(refused, OpenError::Journal(JournalError::Ahead { .. })), "{refused:?}");
    let empty = TroubledObjects::new();
    let refused = bench.open_on("first", &empty).await.unwrap_err();
    assert!(matches!(refused, OpenError::Journal(JournalError::Ahead { stored: 0, .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gap_in_the_journal_is_refused() {
    let bench = Bench::new();
    let store = bench.open("first").await;
    for name in ["one", "two", "three"] {
        push(&store, name).await.unwrap();
    }
    close(store).await;
    let names = bench.objects.names("journal");
    bench.objects.lose(&names[names.len() / 2]);
    let refused = bench.try_open("second").await.unwrap_err();
    assert!(matches!(refused, OpenError::Journal(JournalError::Damaged { .. })), "{refused:?}");
}

/// A database without a journal in which one statement was done.
async fn unjournalled(bench: &Bench, name: &str, sql: &'static str) {
    let plain = Sqlite::open(bench.path(name), &OWNERS, Arc::new(bench.clock.clone())).unwrap();
    let work = move |connection: &rusqlite::Connection| Ok(connection.execute(sql, [])?);
    plain.writer().run("write", Durability::Full, (), work).await.unwrap();
}

/// Content of every owner counts: people without a page are not thrown away either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_with_content_that_the_journal_does_not_know_is_refused() {
    let bench = Bench::new();
    close(bench.open("first").await).await;
    for (name, sql) in [
        ("texts", "INSERT INTO texts VALUES ('a', 1, NULL)"),
        ("people", "INSERT INTO people (name) VALUES ('anna')"),
    ] {
        unjournalled(&bench, name, sql).await;
        let refused = bench.try_open(name).await.unwrap_err();
        assert!(matches!(refused, OpenError::Journal(JournalError::Foreign)), "{name}: {refused:?}");
    }
    unjournalled(&bench, "sessions", "INSERT INTO sessions VALUES ('a', 1)").await;
    assert_eq!(rows(&bench.open("sessions").await, "SELECT * FROM sessions"), [""; 0]);
}

/// What a caller asks before it opens a database without its journal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_says_that_it_has_a_journal() {
    let bench = Bench::new();
    close(bench.open("first").await).await;
    unjournalled(&bench, "plain", "INSERT INTO texts VALUES ('a', 1, NULL)").await;
    for (name, expected) in [("first", true), ("plain", false)] {
        let database = rusqlite::Connection::open(bench.path(name)).unwrap();
        assert_eq!(is_journalled(&database).unwrap(), expected, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verifying_finds_what_was_changed_behind_the_journal() {
    let bench = Bench::new();
    let store = bench.open("first").await;
    push(&store, "one").await.unwrap();
    let path = bench.path("first");
    let verify = || verify_journal(&path, OWNERS, Arc::new(bench.objects.clone()));
    let report = verify().await.unwrap();
    assert_eq!((report.problems.len(), report.database), (0, Some(report.last)), "{report:?}");
    close(store).await;
    let database = rusqlite::Connection::open(bench.path("first")).unwrap();
    database.execute_batch("UPDATE pages SET updated_at = 1").unwrap();
    drop(database);
    let report = verify().await.unwrap();
    assert_eq!(report.problems, ["database and journal differ in pages"]);
    let last = bench.objects.names("journal").pop().unwrap();
    bench.objects.damage(&last);
    let report = verify().await.unwrap();
    assert!(!report.problems.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_changes_is_refused() {
    let bench = Bench::new();
    let store = bench.open("first").await;
    push(&store, "one").await.unwrap();
    let renamed = write(&store, Durability::Full, "UPDATE pages SET name = 'two'".to_owned()).await;
    assert!(renamed.is_err());
    assert!(text_of(&store, "one").is_some());
}
