//! What a node does all the time.

use std::task::{Context, Poll, Waker};

use registry_database::contract::{Bench, START_MS};

use tokio::sync::watch::Receiver;

use super::{Move, Remove, add, moved, order_all, taken, wait_for};
use crate::{ConsumerNumbers, Numbers, Recorder, keep_informed, watch};

/// A task that ends with the test.
struct Watching(tokio::task::JoinHandle<()>);

impl Watching {
    fn begin(bench: &Bench, recorder: &Recorder) -> Watching {
        Watching(tokio::spawn(watch(bench.database.clone(), recorder.clone())))
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The first position after this one that the process knows of.
async fn next(positions: &mut Receiver<i64>, after: i64) -> i64 {
    let next = positions.wait_for(|position| *position > after);
    *tokio::time::timeout(super::PATIENCE, next).await.expect("events get positions").unwrap()
}

async fn wait_until_wanted(recorder: &Recorder, is_wanted: bool) {
    let is_so = async || {
        while recorder.is_wanted() != is_wanted {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(super::PATIENCE, is_so()).await.unwrap();
}

pub(super) async fn a_node_that_watches_needs_nothing_else(bench: &Bench) {
    let recorder = Recorder::new();
    let mut positions = recorder.positions();
    let _watching = Watching::begin(bench, &recorder);
    wait_until_wanted(&recorder, false).await;
    add(&bench.other, "a").await;
    wait_until_wanted(&recorder, true).await;
    let tags = vec!["v1".to_owned(), "v2".to_owned()];
    bench.database.write("move tags", Move(recorder.clone()), tags).await.unwrap();
    recorder.committed();
    assert_eq!(next(&mut positions, 0).await, 2);
    // What another process recorded is found as well.
    moved(&bench.other, &["v3"]).await;
    assert_eq!(next(&mut positions, 2).await, 3);
    assert_eq!(taken(&bench.other, "a").await, ["v1", "v2", "v3"]);
    wait_for(bench, "SELECT COUNT(*) FROM events", "0").await;
    bench.other.write("remove a consumer", Remove, "a".to_owned()).await.unwrap();
    wait_until_wanted(&recorder, false).await;
}

pub(super) async fn a_commit_wakes_what_gives_positions(bench: &Bench) {
    let recorder = Recorder::new();
    let is_woken = || {
        let woken = std::pin::pin!(recorder.state().unwrap().woken());
        woken.poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(())
    };
    recorder.committed();
    assert!(!is_woken());
    let record = async || {
        let step = Move(recorder.clone());
        bench.database.write("move a tag", step, vec!["latest".to_owned(); 2]).await.unwrap();
    };
    record().await;
    assert!(!is_woken());
    recorder.committed();
    assert!(is_woken() && !is_woken());
    // One of both has its position: the other may be of a transaction that has not ended.
    recorder.state().unwrap().ordered(1, 1);
    recorder.committed();
    assert!(is_woken());
    recorder.state().unwrap().ordered(5, 6);
    recorder.committed();
    assert!(!is_woken());
    record().await;
    recorder.state().unwrap().all_settled(4);
    recorder.committed();
    assert!(!is_woken());
}

pub(super) async fn what_is_learnt_during_a_look_holds(bench: &Bench) {
    let recorder = Recorder::new();
    let state = recorder.state().unwrap();
    // A look reads that there is no consumer, and says so after this process has added one.
    let before = state.wanted();
    add(&bench.database, "a").await;
    recorder.want();
    state.unwant(before);
    assert!(recorder.is_wanted());
    // It was wanted before as well, and is not any more.
    state.unwant(state.wanted());
    assert!(!recorder.is_wanted());
    recorder.refresh(&bench.database).await.unwrap();
    assert!(recorder.is_wanted());
}

pub(super) async fn a_command_learns_of_consumers_for_as_long_as_it_runs(bench: &Bench) {
    let recorder = Recorder::new();
    recorder.refresh(&bench.database).await.unwrap();
    let informing = tokio::spawn(keep_informed(bench.database.clone(), &recorder));
    assert!(!recorder.is_wanted());
    add(&bench.other, "a").await;
    wait_until_wanted(&recorder, true).await;
    let clone = recorder.clone();
    drop(recorder);
    bench.other.write("remove a consumer", Remove, "a".to_owned()).await.unwrap();
    wait_until_wanted(&clone, false).await;
    drop(clone);
    tokio::time::timeout(super::PATIENCE, informing).await.expect("it ends with the command").unwrap();
}

pub(super) async fn a_node_that_can_not_look_records(bench: &Bench) {
    let recorder = Recorder::new();
    recorder.refresh(&bench.database).await.unwrap();
    assert!(!recorder.is_wanted());
    bench.run("ALTER TABLE event_consumers RENAME TO elsewhere").await;
    let _watching = Watching::begin(bench, &recorder);
    wait_until_wanted(&recorder, true).await;
    bench.run("ALTER TABLE elsewhere RENAME TO event_consumers").await;
    wait_until_wanted(&recorder, false).await;
}

pub(super) async fn a_database_that_fails_is_asked_again(bench: &Bench) {
    let recorder = Recorder::new();
    bench.run("ALTER TABLE event_consumers RENAME TO elsewhere").await;
    let mut positions = recorder.positions();
    let watching = Watching::begin(bench, &recorder);
    recorder.refresh(&bench.database).await.unwrap_err();
    assert!(recorder.is_wanted());
    bench.run("ALTER TABLE elsewhere RENAME TO event_consumers").await;
    add(&bench.other, "a").await;
    moved(&bench.other, &["v1"]).await;
    assert_eq!(next(&mut positions, 0).await, 1);
    drop(watching);
}

pub(super) async fn numbers_say_how_events_are_doing(bench: &Bench) {
    let recorder = Recorder::new();
    let read = async || Numbers::read(&bench.database, &recorder).await.unwrap();
    assert_eq!(read().await, Numbers::default());
    add(&bench.database, "a").await;
    add(&bench.database, "b").await;
    moved(&bench.database, &["v1", "v2"]).await;
    order_all(&bench.database).await;
    taken(&bench.database, "b").await;
    bench.run("UPDATE event_consumers SET lost = 5 WHERE name = 'b'").await;
    let tags = vec!["v3".to_owned(), "v4".to_owned(), "v5".to_owned()];
    bench.database.write("move tags", Move(recorder.clone()), tags).await.unwrap();
    let consumer = |name: &str, lag, lost| ConsumerNumbers { name: name.to_owned(), lag, lost };
    let expected = Numbers {
        recorded: 3,
        waiting: 3,
        waiting_since_ms: Some(START_MS),
        consumers: vec![consumer("a", 2, 0), consumer("b", 0, 5)],
    };
    assert_eq!(read().await, expected);
}
