//! What can not be one is not made one.

use std::{sync::Arc, time::Duration};

use super::{Bench, close, dump, push, resolve};
use crate::{JournalError, MetadataError, OpenError, Options, SqliteStore, verify_journal};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_writers_one_goes_on_and_one_stops_before_it_answers() {
    let bench = Bench::new();
    let first = bench.open("first").await;
    push(&first, "one").await.unwrap();
    let second = bench.open("second").await;
    push(&first, "two").await.unwrap();
    let refused = push(&second, "three").await.unwrap_err();
    assert!(matches!(refused, MetadataError::Unavailable { .. }), "{refused:?}");
    let lost = tokio::time::timeout(Duration::from_secs(5), second.journal_lost()).await.unwrap();
    assert!(matches!(*lost, JournalError::Fenced { .. }), "{lost:?}");
    assert!(matches!(push(&second, "four").await, Err(MetadataError::Unavailable { .. })));
    push(&first, "five").await.unwrap();
    assert!(crate::Identity::check(&second).await.is_err());
    crate::Identity::check(&first).await.unwrap();
    close(second).await;
    // What it kept is another history now.
    let refused = bench.try_open("second").await.unwrap_err();
    assert!(matches!(refused, OpenError::Journal(JournalError::Diverged { .. })), "{refused:?}");
    let expected = dump(&first);
    close(first).await;
    let third = bench.open("third").await;
    assert_eq!(dump(&third), expected);
    assert!(resolve(&third, "three").await.is_none() && resolve(&third, "five").await.is_some());
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
            assert!(resolve(&third, &name).await.is_some(), "round {round}: {name}");
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
    let elsewhere = bench.journal.fork();
    let other = bench.open_on("other", &elsewhere).await.unwrap();
    push(&other, "two").await.unwrap();
    push(&other, "three").await.unwrap();
    close(other).await;
    let store = bench.open("first").await;
    push(&store, "four").await.unwrap();
    close(store).await;
    for journal in [&bench.journal, &elsewhere] {
        let name = if std::ptr::eq(journal, &bench.journal) { "other" } else { "first" };
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
    let names = bench.journal.names("journal");
    for name in &names[names.len() - 3..] {
        bench.journal.lose(name);
    }
    let refused = bench.try_open("first").await.unwrap_err();
    assert!(matches!(refused, OpenError::Journal(JournalError::Ahead { .. })), "{refused:?}");
    let empty = super::MemoryJournal::new();
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
    let names = bench.journal.names("journal");
    bench.journal.lose(&names[names.len() / 2]);
    let refused = bench.try_open("second").await.unwrap_err();
    assert!(matches!(refused, OpenError::Journal(JournalError::Damaged { .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_the_journal_does_not_know_is_refused_and_so_is_one_without_its_journal() {
    let bench = Bench::new();
    let clock = Arc::new(bench.clock.clone());
    close(bench.open("first").await).await;
    let plain = SqliteStore::open(bench.path("plain"), Options::default(), clock.clone()).unwrap();
    push(&plain, "one").await.unwrap();
    drop(plain);
    let refused = bench.try_open("plain").await.unwrap_err();
    assert!(matches!(refused, OpenError::Journal(JournalError::Foreign)), "{refused:?}");
    let refused = SqliteStore::open(bench.path("first"), Options::default(), clock).unwrap_err();
    assert!(matches!(refused, OpenError::Journalled { .. }), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verifying_finds_what_was_changed_behind_the_journal() {
    let bench = Bench::new();
    let store = bench.open("first").await;
    push(&store, "one").await.unwrap();
    let path = bench.path("first");
    let verify = || verify_journal(&path, Arc::new(bench.journal.clone()));
    let report = verify().await.unwrap();
    assert_eq!((report.problems.len(), report.database), (0, Some(report.last)), "{report:?}");
    close(store).await;
    let database = rusqlite::Connection::open(bench.path("first")).unwrap();
    database.execute_batch("UPDATE tags SET updated_at = 1").unwrap();
    drop(database);
    let report = verify().await.unwrap();
    assert_eq!(report.problems, ["database and journal differ in tags"]);
    let last = bench.journal.names("journal").pop().unwrap();
    bench.journal.damage(&last);
    let report = verify().await.unwrap();
    assert!(!report.problems.is_empty());
}

/// The database was lost before there was a journal: a new one must not take the store over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_does_not_begin_for_a_store_of_another_database() {
    let mut bench = Bench::new();
    bench.options.store_id = Some("of-another".to_owned());
    let refused = bench.try_open("first").await.unwrap_err();
    assert!(matches!(refused, OpenError::Journal(JournalError::NotTogether { .. })), "{refused:?}");
    assert_eq!(bench.entries(), 0);
    let clock = Arc::new(bench.clock.clone());
    let plain = SqliteStore::open(bench.path("right"), Options::default(), clock).unwrap();
    crate::Identity::bind_store(&plain, "of-another").await.unwrap();
    drop(plain);
    bench.open("right").await;
}
