//! Several nodes, and the end of one.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use registry_database::contract::Bench;
use tokio::sync::Semaphore;

use super::{
    ask, ask_many,
    script::{Node, options, policy, retry},
    until, wait_for, wait_until_done,
};
use crate::{Attempted, Job, JobsOptions, Policy, Verdict};

type Waiting = Pin<Box<dyn Future<Output = Attempted> + Send>>;

/// Attempts that wait at a gate.
fn at(gate: &Arc<Semaphore>) -> impl Fn(Job) -> Waiting + use<> {
    let gate = gate.clone();
    move |_| {
        let gate = gate.clone();
        Box::pin(async move {
            gate.acquire().await.unwrap().forget();
            Verdict::Done.into()
        })
    }
}

async fn done(_: Job) -> Attempted {
    Verdict::Done.into()
}

pub(super) async fn two_nodes_never_work_on_one_lane(bench: &Bench) {
    let is_busy = Arc::new(AtomicBool::new(false));
    let act = || {
        let is_busy = is_busy.clone();
        move |job: Job| {
            let is_busy = is_busy.clone();
            async move {
                if job.lane == "a" {
                    assert!(!is_busy.swap(true, SeqCst), "two at once");
                    tokio::task::yield_now().await;
                    is_busy.store(false, SeqCst);
                }
                Verdict::Done.into()
            }
        }
    };
    let options = JobsOptions { turn: Duration::from_millis(5), ..options() };
    let one = Node::start_with(&bench.database, options.clone(), policy(), None, act());
    let other = Node::start_with(&bench.other, options, policy(), None, act());
    for round in 0..20 {
        ask_many(&bench.database, "a", 10).await;
        ask_many(&bench.other, &format!("lane {round}"), 2).await;
    }
    wait_until_done(bench).await;
    let (one, other) = (one.log.of("a"), other.log.of("a"));
    assert_eq!(one.len() + other.len(), 200, "{one:?} {other:?}");
}

pub(super) async fn the_lane_of_a_node_that_died_is_taken_over(bench: &Bench) {
    ask_many(&bench.database, "a", 3).await;
    let never = Arc::new(Semaphore::new(0));
    let dies = Node::start(&bench.database, at(&never));
    until("it works on the lane", async || dies.log.of("a").len() == 1).await;
    let log = dies.log.clone();
    dies.kill().await;
    let other = Node::start(&bench.other, done);
    ask(&bench.other, "b", &["one"]).await;
    wait_for(bench, "SELECT COUNT(*) FROM jobs WHERE lane = 'b'", "0").await;
    bench.advance(Duration::from_secs(29)).await;
    ask(&bench.other, "b", &["two"]).await;
    wait_for(bench, "SELECT COUNT(*) FROM jobs WHERE lane = 'b'", "0").await;
    assert_eq!(other.log.of("a"), [""; 0]);
    bench.advance(Duration::from_secs(1)).await;
    wait_until_done(bench).await;
    // What it was at is done again.
    assert_eq!(
        (log.of("a"), other.log.of("a")),
        (vec!["0".into()], vec!["0".into(), "1".into(), "2".into()])
    );
}

pub(super) async fn a_node_that_lost_a_lane_begins_nothing_there(bench: &Bench) {
    ask_many(&bench.database, "a", 3).await;
    let gate = Arc::new(Semaphore::new(0));
    let options = JobsOptions { renew_every: Duration::ZERO, ..options() };
    let node = Node::start_with(&bench.database, options, policy(), None, at(&gate));
    until("it works on the lane", async || node.log.of("a").len() == 1).await;
    // As if it had slept for so long that another one took the lane.
    let taken = "UPDATE job_lanes SET holder = 'other', until_ms = now_ms() + 1000000 WHERE lane = 'a'";
    bench.run(taken).await;
    gate.add_permits(10);
    ask(&bench.database, "b", &["one"]).await;
    wait_for(bench, "SELECT COUNT(*) FROM jobs WHERE lane = 'b'", "0").await;
    wait_for(bench, "SELECT COUNT(*) FROM jobs WHERE lane = 'a'", "2").await;
    assert_eq!(node.log.of("a"), ["0"]);
    // It does not give back what is not its own.
    assert_eq!(bench.value("SELECT holder FROM job_lanes WHERE lane = 'a'").await, "other");
}

pub(super) async fn a_node_begins_nothing_after_its_lease(bench: &Bench) {
    // It has a lane for no time at all, by its own clock. The database's stands still.
    let options = JobsOptions { lease: Duration::ZERO, ..options() };
    ask(&bench.database, "a", &["one"]).await;
    let late = Node::start_with(&bench.database, options, policy(), None, done);
    until("it has taken the lane", async || {
        !bench.rows("SELECT lane FROM job_lanes").await.is_empty() || !late.log.of("a").is_empty()
    })
    .await;
    let other = Node::start(&bench.other, done);
    wait_until_done(bench).await;
    assert_eq!((late.log.of("a"), other.log.of("a")), (vec![], vec!["one".to_owned()]));
}

pub(super) async fn a_node_that_stops_gives_its_lanes_back(bench: &Bench) {
    ask_many(&bench.database, "a", 3).await;
    let gate = Arc::new(Semaphore::new(0));
    let mut node = Node::start(&bench.database, at(&gate));
    until("it works on the lane", async || node.log.of("a").len() == 1).await;
    let log = node.log.clone();
    node.stop();
    until("it stops", async || *node.jobs.0.is_stopping.borrow()).await;
    // What is under way is done to its end, and nothing else is begun.
    gate.add_permits(10);
    node.stopped().await;
    assert_eq!(log.of("a"), ["0"]);
    let left = "SELECT (SELECT COUNT(*) FROM jobs), (SELECT COUNT(*) FROM job_lanes)";
    assert_eq!(bench.value(left).await, "2|0");
    let other = Node::start(&bench.other, done);
    wait_until_done(bench).await;
    assert_eq!(other.log.of("a"), ["1", "2"]);
}

pub(super) async fn a_node_that_stops_does_not_wait_for_ever(bench: &Bench) {
    ask(&bench.database, "a", &["one"]).await;
    let never = Arc::new(Semaphore::new(0));
    let options = JobsOptions { drain: Duration::from_millis(20), ..options() };
    let mut node = Node::start_with(&bench.database, options, policy(), None, at(&never));
    until("it works on the lane", async || node.log.of("a").len() == 1).await;
    node.stop();
    node.stopped().await;
    assert_eq!(bench.rows("SELECT subject FROM jobs WHERE state = 0").await, ["one"]);
}

pub(super) async fn a_node_takes_the_lanes_that_it_can_work_on(bench: &Bench) {
    for lane in ["a", "b", "c"] {
        ask(&bench.database, lane, &["one", "two"]).await;
    }
    let start = |database, lane| Node::start_with(database, options(), policy(), Some(lane), done);
    let (a, b) = (start(&bench.database, "a"), start(&bench.other, "b"));
    wait_for(bench, "SELECT COUNT(*) FROM jobs", "2").await;
    assert_eq!((a.log.lanes(), b.log.lanes()), (vec!["a".to_owned(); 2], vec!["b".to_owned(); 2]));
    assert_eq!(bench.rows("SELECT DISTINCT lane FROM jobs").await, ["c"]);
}

pub(super) async fn lanes_that_a_node_does_not_take_hold_up_none(bench: &Bench) {
    for lane in 0..100 {
        ask(&bench.database, &format!("lane {lane}"), &["one"]).await;
    }
    ask(&bench.database, "own", &["one"]).await;
    // It looks once, and again only when it has done something.
    let options = JobsOptions { slots: 2, look_every: Duration::from_secs(3600), ..options() };
    let node = Node::start_with(&bench.database, options, policy(), Some("own"), done);
    wait_for(bench, "SELECT COUNT(*) FROM jobs WHERE lane = 'own'", "0").await;
    assert_eq!(node.log.lanes(), ["own"]);
}

pub(super) async fn a_node_that_comes_late_takes_no_attempts_back(bench: &Bench) {
    ask(&bench.database, "a", &["one"]).await;
    let gate = Arc::new(Semaphore::new(0));
    let waits = gate.clone();
    let mut node = Node::start(&bench.database, move |_| {
        let gate = waits.clone();
        async move {
            gate.acquire().await.unwrap().forget();
            retry(None)
        }
    });
    until("it works on the lane", async || node.log.of("a").len() == 1).await;
    // As if another node had taken the lane, and had failed twice.
    bench.run("UPDATE job_lanes SET holder = 'other', until_ms = now_ms() + 1000000 WHERE lane = 'a'").await;
    bench
        .run(
            "INSERT INTO job_tries (job, kind, lane, attempts, due_at_ms, error)
            SELECT id, kind, lane, 2, now_ms() + 1000000, 'later' FROM jobs",
        )
        .await;
    node.stop();
    gate.add_permits(1);
    node.stopped().await;
    assert_eq!(bench.value("SELECT attempts, error FROM job_tries").await, "2|later");
}

pub(super) async fn what_panics_outside_of_attempts_is_not_tried_at_once(bench: &Bench) {
    ask(&bench.database, "a", &["one"]).await;
    let panics = Policy { attempts_max: 0, ..policy() };
    let mut node = Node::start_with(&bench.database, options(), panics, None, done);
    until("it panics", async || !node.log.of("a").is_empty()).await;
    node.stop();
    let log = node.log.clone();
    node.stopped().await;
    assert_eq!(log.of("a"), ["policy"]);
    assert_eq!(bench.value("SELECT COUNT(*) FROM job_lanes WHERE until_ms > now_ms()").await, "1");
    bench.advance(Duration::from_secs(30)).await;
    let other = Node::start(&bench.other, done);
    wait_until_done(bench).await;
    assert_eq!(other.log.of("a"), ["one"]);
}
