//! What is done when.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use registry_database::contract::Bench;

use super::{
    ask, ask_many,
    script::{Node, options, policy, retry},
    until, wait_until_done,
};
use crate::{JobsOptions, Verdict};

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

pub(super) async fn jobs_of_a_lane_are_done_in_order(bench: &Bench) {
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = (running.clone(), most.clone());
    let node = Node::start(&bench.database, move |job| {
        let (running, most) = counted.clone();
        async move {
            if job.lane == "a" {
                most.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
                tokio::task::yield_now().await;
                running.fetch_sub(1, SeqCst);
            }
            Verdict::Done.into()
        }
    });
    ask_many(&bench.database, "a", 40).await;
    ask_many(&bench.database, "b", 20).await;
    wait_until_done(bench).await;
    assert_eq!((node.log.of("a"), node.log.of("b")), (numbers(40), numbers(20)));
    assert_eq!(most.load(SeqCst), 1);
    // Lanes of which nothing is to be remembered are forgotten.
    super::wait_for(bench, "SELECT COUNT(*) FROM job_lanes", "0").await;
}

pub(super) async fn a_job_that_failed_is_tried_beside_the_others(bench: &Bench) {
    let node = Node::start(&bench.database, |job| async move {
        let fails = job.subject.parse::<u32>().unwrap() % 3 == 0 && job.attempts < 2;
        if fails { retry(None) } else { Verdict::Done.into() }
    });
    ask_many(&bench.database, "a", 20).await;
    wait_until_done(bench).await;
    assert_eq!(node.log.first_of("a"), numbers(20));
    let all = node.log.of("a");
    assert_eq!(all.len(), 20 + 2 * 7);
    for number in 0..20 {
        let attempts = all.iter().filter(|subject| **subject == number.to_string()).count();
        assert_eq!(attempts, if number % 3 == 0 { 3 } else { 1 }, "{number}");
    }
    assert_eq!(bench.value("SELECT COUNT(*) FROM jobs").await, "0");
    assert_eq!(bench.value("SELECT COUNT(*) FROM job_tries").await, "0");
}

pub(super) async fn all_lanes_have_their_turn(bench: &Bench) {
    let options = JobsOptions { slots: 1, turn: Duration::from_millis(20), ..options() };
    ask_many(&bench.database, "a", 1_000).await;
    for lane in ["b", "c", "d"] {
        ask(&bench.database, lane, &["one"]).await;
    }
    let act = |_| async { Verdict::Done.into() };
    let node = Node::start_with(&bench.database, options, policy(), None, act);
    until("each lane had a turn", async || ["b", "c", "d"].iter().all(|lane| !node.log.of(lane).is_empty()))
        .await;
    assert!(node.log.of("a").len() < 1_000, "the others waited for all of one lane");
}

pub(super) async fn a_node_that_is_woken_looks_at_once(bench: &Bench) {
    let hour = Duration::from_secs(60 * 60);
    let options = JobsOptions { look_every: hour, ..options() };
    ask(&bench.database, "a", &["one"]).await;
    let act = |_| async { Verdict::Done.into() };
    let node = Node::start_with(&bench.database, options, policy(), None, act);
    wait_until_done(bench).await;
    ask(&bench.database, "a", &["two"]).await;
    node.jobs.wake();
    wait_until_done(bench).await;
    assert_eq!(node.log.of("a"), ["one", "two"]);
}
