//! Work that panics.

use std::sync::{Arc, mpsc};

use super::{OWNERS, insert, open, place, value};
use crate::{Durability, Error, Fault, Sqlite};

type Work = fn(&rusqlite::Connection) -> Result<(), Fault>;

async fn run(database: &Sqlite, work: Work) -> Result<(), Error> {
    database.writer().run("try", Durability::Full, (), work).await
}

const PANICS: Work = |connection| {
    insert(connection, "half done")?;
    panic!("a test of work that panics")
};

const REFUSES: Work = |connection| {
    insert(connection, "half done")?;
    Err(Fault::refused("no"))
};

#[tokio::test]
async fn a_panic_costs_the_work_that_panicked_and_nothing_else() {
    let (_folder, path) = place();
    let database = open(&path, &OWNERS).unwrap();
    for (number, other) in [(1, REFUSES), (2, |connection| insert(connection, "other"))] as [(u32, Work); 2] {
        let error = run(&database, PANICS).await.unwrap_err();
        assert!(matches!(error, Error::Failed { operation: "try", .. }), "{number}: {error:?}");
        let _ = run(&database, other).await;
        database.writer().check("check").unwrap();
    }
    run(&database, |connection| insert(connection, "last")).await.unwrap();
    assert_eq!(value(&database, "SELECT group_concat(name) FROM things"), "last,other");
}

#[tokio::test]
async fn a_panic_in_the_middle_of_a_commit_leaves_what_was_done_beside_it() {
    let (_folder, path) = place();
    let database = Arc::new(open(&path, &OWNERS).unwrap());
    // The first piece of work waits until the others are queued behind it, so that they are one commit.
    let (go, gone) = mpsc::channel();
    let first = tokio::spawn({
        let database = database.clone();
        async move {
            let wait = move |_: &rusqlite::Connection| gone.recv().map_err(Fault::refused);
            database.writer().run("wait", Durability::Full, (), wait).await
        }
    });
    tokio::task::yield_now().await;
    let works: [Work; 3] =
        [|connection| insert(connection, "before"), PANICS, |connection| insert(connection, "after")];
    let mut running = Vec::new();
    for work in works {
        let database = database.clone();
        running.push(tokio::spawn(async move { run(&database, work).await }));
        tokio::task::yield_now().await;
    }
    go.send(()).unwrap();
    first.await.unwrap().unwrap();
    let mut answers = Vec::new();
    for answer in running {
        answers.push(answer.await.unwrap().is_ok());
    }
    assert_eq!(answers, [true, false, true]);
    assert_eq!(value(&database, "SELECT group_concat(name) FROM things"), "after,before");
}

#[tokio::test]
async fn a_second_panic_in_a_row_stops_the_writer() {
    let (_folder, path) = place();
    let database = open(&path, &OWNERS).unwrap();
    run(&database, |connection| insert(connection, "first")).await.unwrap();
    run(&database, PANICS).await.unwrap_err();
    run(&database, PANICS).await.unwrap_err();
    assert!(matches!(database.writer().check("check"), Err(Error::Unavailable { .. })));
    let later = run(&database, |connection| insert(connection, "later")).await;
    assert!(matches!(later, Err(Error::Unavailable { .. })), "{later:?}");
    assert_eq!(value(&database, "SELECT group_concat(name) FROM things"), "first");
    // The next start reads what is there, and goes on.
    drop(database);
    let database = open(&path, &OWNERS).unwrap();
    run(&database, |connection| insert(connection, "later")).await.unwrap();
}
