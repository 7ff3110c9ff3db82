//! Who waits for the store, and for how long.

use std::{sync::Arc, time::Duration};

use registry_database::{Durability, Error};

use super::{Bench, close, dump, name_text, push, push_text, rows, text_of, write};

const SOON: Duration = Duration::from_millis(100);
const LATE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_and_those_who_settle_wait_for_the_store_and_readers_do_not() {
    let bench = Bench::new();
    let store = Arc::new(bench.open("first").await);
    let text = push_text(&store, "one").await.unwrap();
    bench.objects.hold(true);
    let pushing = tokio::spawn({
        let store = store.clone();
        async move { name_text(&store, "one", &text).await }
    });
    let seen = async {
        while text_of(&store, "one").is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LATE, seen).await.unwrap();
    let settled = tokio::time::timeout(SOON, store.journal.settled()).await;
    assert!(settled.is_err(), "a promise of what is not stored");
    assert!(!pushing.is_finished());
    let status = store.journal.status();
    assert!(status.committed > status.stored && status.pending_bytes > 0, "{status:?}");
    bench.objects.hold(false);
    pushing.await.unwrap().unwrap();
    tokio::time::timeout(LATE, store.journal.settled()).await.unwrap().unwrap();
    let status = store.journal.status();
    assert_eq!((status.stored, status.pending_bytes, status.behind), (status.committed, 0, Duration::ZERO));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_committed_while_an_entry_is_on_its_way_goes_into_the_next() {
    let bench = Bench::new();
    let store = Arc::new(bench.open("first").await);
    push_text(&store, "first").await.unwrap();
    let before = bench.entries();
    bench.objects.hold(true);
    let mut pushing = Vec::new();
    for number in 0..40 {
        let store = store.clone();
        pushing.push(tokio::spawn(async move { push_text(&store, &format!("text {number}")).await }));
    }
    let committed = async {
        while rows(&store, "SELECT COUNT(*) FROM texts") != ["41"] {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(LATE, committed).await.unwrap();
    bench.objects.hold(false);
    for push in pushing {
        push.await.unwrap().unwrap();
    }
    assert!(bench.entries() - before <= 2, "{} entries for 40 pushes", bench.entries() - before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_make_no_entries_and_do_not_wait() {
    let bench = Bench::new();
    let store = bench.open("first").await;
    push_text(&store, "first").await.unwrap();
    let before = bench.entries();
    bench.objects.hold(true);
    let session = async {
        for sql in ["INSERT INTO sessions VALUES ('a', 0)", "UPDATE sessions SET state = 5"] {
            write(&store, Durability::Process, sql.to_owned()).await.unwrap();
        }
    };
    tokio::time::timeout(LATE, session).await.unwrap();
    bench.objects.hold(false);
    store.journal.settled().await.unwrap();
    assert_eq!(bench.entries(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_lost_on_its_way_changes_nothing() {
    let bench = Bench::new();
    let store = bench.open("first").await;
    for number in 0..5 {
        bench.objects.lose_answers(number % 3);
        push(&store, &format!("t{number}")).await.unwrap();
    }
    let expected = dump(&store);
    close(store).await;
    assert_eq!(dump(&bench.open("second").await), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_store_is_down_nothing_is_begun_and_afterwards_all_goes_on() {
    let bench = Bench::new();
    let store = Arc::new(bench.open("first").await);
    push(&store, "one").await.unwrap();
    bench.objects.set_down(true);
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { push(&store, "two").await }
    });
    // Once the commit has waited for long, no more is begun.
    let refused = async {
        for attempt in 0.. {
            match tokio::time::timeout(SOON, push_text(&store, &format!("three {attempt}"))).await {
                Ok(Err(Error::Unavailable { .. })) => return,
                Ok(other) => panic!("{other:?}"),
                Err(_) => tokio::time::sleep(SOON).await,
            }
        }
    };
    tokio::time::timeout(LATE, refused).await.unwrap();
    assert!(!waiting.is_finished());
    assert!(text_of(&store, "one").is_some(), "reading goes on");
    bench.objects.set_down(false);
    waiting.await.unwrap().unwrap();
    push(&store, "four").await.unwrap();
    store.database.writer().check("look").unwrap();
}

/// What was committed and not stored is stored by the next start, or is not needed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_stores_what_the_last_run_had_not() {
    let bench = Bench::new();
    let store = Arc::new(bench.open("first").await);
    let text = push_text(&store, "one").await.unwrap();
    bench.objects.hold(true);
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { name_text(&store, "one", &text).await }
    });
    let seen = async {
        while text_of(&store, "one").is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LATE, seen).await.unwrap();
    waiting.abort();
    let _ = waiting.await;
    close(Arc::into_inner(store).unwrap()).await;
    let before = bench.entries();
    bench.objects.hold(false);
    let store = bench.open("first").await;
    assert_eq!(bench.entries(), before + 1);
    let expected = dump(&store);
    close(store).await;
    assert_eq!(dump(&bench.open("second").await), expected);
}
