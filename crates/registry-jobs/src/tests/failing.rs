//! Receivers that do not work.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use registry_database::contract::Bench;

use super::{
    KIND, ask, ask_many,
    script::{Node, options, policy, retry},
    until, wait_for, wait_until_done,
};
use crate::{FAILURES_BEFORE_PAUSE, JobsOptions, Policy, Verdict, dead::Prune};

const HOUR: Duration = Duration::from_secs(60 * 60);

pub(super) async fn a_lane_that_fails_is_asked_seldom(bench: &Bench) {
    let works = Arc::new(AtomicBool::new(false));
    let is_up = works.clone();
    let node = Node::start(&bench.database, move |job| {
        let works = job.lane != "down" || is_up.load(SeqCst);
        async move { if works { Verdict::Done.into() } else { retry(Some(HOUR)) } }
    });
    let pauses = FAILURES_BEFORE_PAUSE as usize;
    ask_many(&bench.database, "down", 10).await;
    // The node has looked at all lanes several times when it has done this.
    let looked = async || {
        for subject in ["one", "two", "three"] {
            ask(&bench.database, "up", &[subject]).await;
            wait_for(bench, "SELECT COUNT(*) FROM jobs WHERE lane = 'up'", "0").await;
        }
    };
    until("the lane fails", async || node.log.of("down").len() == pauses).await;
    wait_for(bench, "SELECT failures FROM job_lanes WHERE lane = 'down'", "3").await;
    looked().await;
    // What is remembered of the lane stays.
    bench.database.write("prune", Prune, KIND).await.unwrap();
    looked().await;
    assert_eq!(node.log.of("down").len(), pauses);
    // Then one job at a time is begun, and the pauses grow.
    bench.advance(Duration::from_secs(5)).await;
    until("one more is tried", async || node.log.of("down").len() == pauses + 1).await;
    wait_for(bench, "SELECT failures FROM job_lanes WHERE lane = 'down'", "4").await;
    bench.advance(Duration::from_secs(9)).await;
    looked().await;
    assert_eq!(node.log.of("down").len(), pauses + 1);
    // One that is done ends it.
    works.store(true, SeqCst);
    bench.advance(Duration::from_secs(1)).await;
    wait_for(bench, "SELECT COUNT(*) FROM jobs", &(pauses + 1).to_string()).await;
    bench.advance(HOUR).await;
    wait_until_done(bench).await;
    wait_for(bench, "SELECT COUNT(*) FROM job_lanes", "0").await;
}

/// Its receiver is well: others of the lane are begun as if it were not there.
pub(super) async fn a_job_that_always_fails_holds_back_no_other(bench: &Bench) {
    let policy = Policy { attempts_max: 1_000_000, ..policy() };
    let node = Node::start_with(&bench.database, options(), policy, None, |job| async move {
        if job.subject == "poison" { retry(None) } else { Verdict::Done.into() }
    });
    ask(&bench.database, "lane", &["poison"]).await;
    let often = 2 * FAILURES_BEFORE_PAUSE as usize;
    until("it fails again and again", async || node.log.of("lane").len() > often).await;
    ask(&bench.database, "lane", &["good"]).await;
    wait_for(bench, "SELECT COUNT(*) FROM jobs", "1").await;
    assert_eq!(node.log.first_of("lane"), ["poison", "good"]);
}

pub(super) async fn lanes_that_fail_leave_slots_to_others(bench: &Bench) {
    let hanging = Arc::new(AtomicUsize::new(0));
    let counted = hanging.clone();
    let options = JobsOptions { slots: 8, ..options() };
    let policy = Policy { attempts_max: 100, ..policy() };
    let node = Node::start_with(&bench.database, options, policy, None, move |job| {
        let hanging = counted.clone();
        async move {
            if job.lane == "good" {
                return Verdict::Done.into();
            }
            // A receiver that refuses once, and then does not answer any more.
            if job.attempts > 0 {
                hanging.fetch_add(1, SeqCst);
                std::future::pending::<()>().await;
            }
            retry(None)
        }
    });
    for lane in 0..20 {
        ask(&bench.database, &format!("dead {lane}"), &["one"]).await;
    }
    wait_for(bench, "SELECT COUNT(*) FROM job_tries", "20").await;
    until("lanes that fail have what they may have", async || hanging.load(SeqCst) == 2).await;
    ask_many(&bench.database, "good", 100).await;
    wait_for(bench, "SELECT COUNT(*) FROM jobs WHERE lane = 'good'", "0").await;
    assert_eq!((hanging.load(SeqCst), node.log.of("good").len()), (2, 100));
}
