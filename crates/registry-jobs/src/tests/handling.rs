//! What handlers say, and what becomes of it.

use std::{sync::Arc, time::Duration};

use registry_database::{Error, Fault, Session, Statement, Step, contract::Bench, params, step};
use tokio::sync::Semaphore;

use super::{
    Ask, KIND, ask,
    script::{Node, options, policy, retry},
    until, wait_for, wait_until_done,
};
use crate::{
    EnqueueError, FAILURES_BEFORE_PAUSE, Fate, NAME_BYTES_MAX, NewJob, Policy, SCHEMA, SUBJECT_BYTES_MAX,
    Settled, Verdict, enqueue,
};

const ERRORS: &str = "SELECT MAX(error) FROM jobs WHERE state = 1";

pub(super) async fn what_panics_is_tried_again_and_stops_nothing(bench: &Bench) {
    // Not so often that the lane pauses.
    let policy = Policy { attempts_max: FAILURES_BEFORE_PAUSE - 1, ..policy() };
    let node = Node::start_with(&bench.database, options(), policy, None, |job| async move {
        assert!(job.subject != "poison", "a test of work that panics");
        Verdict::Done.into()
    });
    ask(&bench.database, "a", &["poison", "good", "better"]).await;
    ask(&bench.database, "b", &["good"]).await;
    wait_until_done(bench).await;
    assert_eq!(node.log.first_of("a"), ["poison", "good", "better"]);
    assert_eq!(node.log.of("a").iter().filter(|subject| *subject == "poison").count(), 2);
    assert_eq!(bench.rows("SELECT lane, subject, error FROM jobs").await, ["a|poison|the attempt panicked"]);
}

pub(super) async fn what_takes_too_long_has_failed(bench: &Bench) {
    let policy = Policy { attempt_within: Duration::from_millis(20), attempts_max: 2, ..policy() };
    let act = |_| std::future::pending();
    let node = Node::start_with(&bench.database, options(), policy, None, act);
    ask(&bench.database, "a", &["slow"]).await;
    wait_until_done(bench).await;
    assert_eq!(node.log.of("a"), ["slow", "slow"]);
    assert_eq!(bench.value(ERRORS).await, "the attempt took longer than 20ms");
}

pub(super) async fn a_job_waits_for_as_long_as_it_is_told(bench: &Bench) {
    let hour = Duration::from_secs(60 * 60);
    let node = Node::start(&bench.database, move |job| async move {
        if job.attempts == 0 && job.subject == "later" { retry(Some(hour)) } else { Verdict::Done.into() }
    });
    ask(&bench.database, "a", &["later", "now"]).await;
    wait_for(bench, "SELECT COUNT(*) FROM jobs", "1").await;
    bench.advance(hour - Duration::from_secs(1)).await;
    // The node has looked when it has done this.
    ask(&bench.database, "a", &["next"]).await;
    wait_for(bench, "SELECT COUNT(*) FROM jobs", "1").await;
    assert_eq!(node.log.of("a"), ["later", "now", "next"]);
    bench.advance(Duration::from_secs(1)).await;
    wait_until_done(bench).await;
    assert_eq!(node.log.of("a"), ["later", "now", "next", "later"]);
}

/// Asks for a job that says what became of another one.
struct Tell;

impl Step for Tell {
    type Of = Settled;
    type Output = ();

    async fn run<S: Session>(&self, session: &S, settled: &Settled) -> Result<(), Fault> {
        let fate = match settled.fate {
            Fate::Done => "done",
            Fate::Again { .. } => "again",
            Fate::Dead => "dead",
        };
        let subject = format!("{} {fate}", settled.attempts);
        enqueue(session, &[NewJob { kind: "told", lane: "told", subject: &subject }]).await
    }
}

/// As [`Tell`], and then refuses it.
struct Refuse;

impl Step for Refuse {
    type Of = Settled;
    type Output = ();

    async fn run<S: Session>(&self, session: &S, settled: &Settled) -> Result<(), Fault> {
        Tell.run(session, settled).await?;
        Err(Fault::refused("no"))
    }
}

step!(Tell, Refuse);

const TOLD: &str = "SELECT subject FROM jobs WHERE kind = 'told' ORDER BY id";

/// Waits until nothing of the kind of these tests waits.
async fn wait_until_no_test_waits(bench: &Bench) {
    wait_for(bench, &format!("SELECT COUNT(*) FROM jobs WHERE kind = '{KIND}' AND state = 0"), "0").await;
}

pub(super) async fn a_note_is_kept_with_what_became_of_the_job(bench: &Bench) {
    let _node = Node::start(&bench.database, |job| async move {
        let retry = || Verdict::Retry { after: Some(Duration::ZERO), error: "not now".to_owned() };
        match job.subject.as_str() {
            "twice" if job.attempts == 0 => retry().with(Tell),
            "never" => retry().with(Tell),
            _ => Verdict::Done.with(Tell),
        }
    });
    ask(&bench.database, "a", &["twice"]).await;
    wait_until_no_test_waits(bench).await;
    ask(&bench.database, "a", &["never"]).await;
    wait_until_no_test_waits(bench).await;
    assert_eq!(bench.rows(TOLD).await, ["1 again", "2 done", "1 again", "2 again", "3 dead"]);
}

pub(super) async fn a_note_that_is_refused_counts_as_a_failure(bench: &Bench) {
    let node = Node::start(&bench.database, |_| async { Verdict::Done.with(Refuse) });
    ask(&bench.database, "a", &["one"]).await;
    wait_until_no_test_waits(bench).await;
    assert_eq!(node.log.of("a").len(), 3);
    assert_eq!(bench.rows(TOLD).await, [""; 0]);
    assert_eq!(bench.value(ERRORS).await, "what came of the attempt could not be kept: no");
}

pub(super) async fn of_a_job_that_is_gone_nothing_is_noted(bench: &Bench) {
    let gate = Arc::new(Semaphore::new(0));
    let waits = gate.clone();
    let node = Node::start(&bench.database, move |job| {
        let gate = waits.clone();
        async move {
            if job.lane == "a" {
                gate.acquire().await.unwrap().forget();
            }
            match job.subject.as_str() {
                "fails" => retry(None),
                "dies" => Verdict::Dead { error: "no".to_owned() }.with(Tell),
                _ => Verdict::Done.with(Tell),
            }
        }
    });
    for subject in ["done", "fails", "dies"] {
        let seen = node.log.of("a").len();
        ask(&bench.database, "a", &[subject]).await;
        until("the attempt began", async || node.log.of("a").len() > seen).await;
        bench.run(&format!("DELETE FROM jobs WHERE kind = '{KIND}'")).await;
        gate.add_permits(1);
    }
    ask(&bench.database, "a", &["last"]).await;
    gate.add_permits(1);
    wait_until_no_test_waits(bench).await;
    assert_eq!(bench.rows(TOLD).await, ["1 done"]);
    assert_eq!(bench.value("SELECT COUNT(*) FROM job_tries").await, "0");
    // An attempt is counted after it is noted.
    until("the last attempt is counted", async || node.jobs.numbers().await.unwrap()[0].done == 1).await;
    assert_eq!(node.jobs.numbers().await.unwrap()[0].died, 0);
}

pub(super) async fn what_can_not_be_kept_is_refused(bench: &Bench) {
    bench.database.use_owners(&[SCHEMA.owner]).await.unwrap();
    let refused = async |lane: &str, subject: &str| {
        let jobs = vec![("good".to_owned(), "good".to_owned()), (lane.to_owned(), subject.to_owned())];
        match bench.database.write("ask for jobs", Ask, jobs).await {
            Err(Error::Refused(reason)) => reason.downcast::<EnqueueError>().map(|reason| *reason).ok(),
            _ => None,
        }
    };
    assert_eq!(refused("", "").await, Some(EnqueueError::Name));
    assert_eq!(refused(&"a".repeat(NAME_BYTES_MAX + 1), "").await, Some(EnqueueError::Name));
    assert_eq!(refused("a", &"a".repeat(SUBJECT_BYTES_MAX + 1)).await, Some(EnqueueError::Subject));
    assert_eq!(bench.value("SELECT COUNT(*) FROM jobs").await, "0");
    assert_eq!(refused(&"a".repeat(NAME_BYTES_MAX), &"a".repeat(SUBJECT_BYTES_MAX)).await, None);
    let long = Statement::same("SELECT 1 FROM jobs WHERE subject = $1");
    struct Find(Statement);
    impl Step for Find {
        type Of = String;
        type Output = bool;
        async fn run<S: Session>(&self, session: &S, subject: &String) -> Result<bool, Fault> {
            session.exists(self.0, params![subject]).await
        }
    }
    step!(Find);
    assert!(bench.database.read("find", Find(long), "a".repeat(SUBJECT_BYTES_MAX)).await.unwrap());
}
