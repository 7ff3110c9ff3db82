//! Jobs that are not tried any more.

use std::time::Duration;

use registry_database::{
    Fault, Session, Step,
    contract::{Bench, START_MS},
    step,
};

use super::{
    KIND, ask, ask_many,
    script::{Node, retry},
    until, wait_for, wait_until_done,
};
use crate::{
    DEAD_KEPT, DEAD_MAX, DISCARDED_MAX, DeadJob, DeadPosition, Numbers, Verdict, dead::Prune, depth, discard,
    discard_lane, list_dead, replay,
};

struct List(usize);

impl Step for List {
    type Of = Option<DeadPosition>;
    type Output = Vec<DeadJob>;

    async fn run<S: Session>(
        &self,
        session: &S,
        before: &Option<DeadPosition>,
    ) -> Result<Vec<DeadJob>, Fault> {
        list_dead(session, KIND, *before, self.0).await
    }
}

/// Replays or discards a job.
struct Handle {
    is_replay: bool,
}

impl Step for Handle {
    type Of = i64;
    type Output = bool;

    async fn run<S: Session>(&self, session: &S, id: &i64) -> Result<bool, Fault> {
        if self.is_replay { replay(session, *id).await } else { discard(session, *id).await }
    }
}

/// Counts or discards what waits in a lane.
struct OfLane {
    is_discard: bool,
}

impl Step for OfLane {
    type Of = String;
    type Output = u64;

    async fn run<S: Session>(&self, session: &S, lane: &String) -> Result<u64, Fault> {
        match self.is_discard {
            true => discard_lane(session, KIND, lane).await,
            false => depth(session, KIND, lane, 64).await,
        }
    }
}

step!(List, Handle, OfLane);

async fn list(bench: &Bench, before: Option<DeadPosition>, limit: usize) -> Vec<DeadJob> {
    bench.database.read("list dead jobs", List(limit), before).await.unwrap()
}

pub(super) async fn a_job_is_dead_after_so_many_attempts(bench: &Bench) {
    let node = Node::start(&bench.database, |job| async move {
        match job.subject.as_str() {
            "at once" => Verdict::Dead { error: "é".repeat(1_000) + "\0" }.into(),
            _ => retry(None),
        }
    });
    ask(&bench.database, "a", &["at last"]).await;
    wait_until_done(bench).await;
    ask(&bench.database, "b", &["at once"]).await;
    wait_until_done(bench).await;
    assert_eq!(
        (node.log.of("a"), node.log.of("b")),
        (vec!["at last".to_owned(); 3], vec!["at once".to_owned()])
    );
    let dead = |id, lane: &str, subject: &str, error: &str| DeadJob {
        id,
        lane: lane.to_owned(),
        subject: subject.to_owned(),
        created_at_ms: START_MS,
        ended_at_ms: START_MS,
        error: error.to_owned(),
    };
    let expected = [dead(2, "b", "at once", &"é".repeat(512)), dead(1, "a", "at last", "not now")];
    assert_eq!(list(bench, None, 10).await, expected);
    assert_eq!(list(bench, Some(expected[0].position()), 10).await, expected[1..]);
    assert_eq!(list(bench, None, 1).await, expected[..1]);
    assert_eq!(bench.value("SELECT COUNT(*) FROM job_tries").await, "0");
}

pub(super) async fn dead_jobs_are_replayed_and_discarded(bench: &Bench) {
    let handle = async |is_replay, id| {
        bench.database.write("handle a dead job", Handle { is_replay }, id).await.unwrap()
    };
    ask(&bench.database, "a", &["one", "two"]).await;
    assert!(!handle(true, 1).await && !handle(false, 1).await, "it waits");
    let first = Node::start(&bench.database, |_| async { Verdict::Dead { error: "no".to_owned() }.into() });
    wait_until_done(bench).await;
    first.kill().await;
    bench.advance(Duration::from_secs(60)).await;
    assert!(handle(true, 1).await && !handle(true, 1).await);
    assert!(handle(false, 2).await && !handle(false, 2).await);
    assert_eq!(bench.rows("SELECT id, state, ended_at_ms, error FROM jobs").await, ["1|0||"]);
    let node = Node::start(&bench.database, |job| async move {
        if job.attempts == 0 { retry(None) } else { Verdict::Done.into() }
    });
    wait_until_done(bench).await;
    assert_eq!(node.log.of("a"), ["one", "one"]);
    assert_eq!(list(bench, None, 10).await, []);
}

pub(super) async fn dead_jobs_have_an_age_and_a_number(bench: &Bench) {
    ask(&bench.database, "a", &["waits"]).await;
    let bury = |first: usize, count: usize| {
        format!(
            "WITH RECURSIVE n (i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {})
            INSERT INTO jobs (kind, lane, subject, created_at_ms, state, ended_at_ms, error)
                SELECT '{KIND}', 'a', 'dead ' || i, 0, 1, now_ms() + i, 'no' FROM n",
            first + count - 1
        )
    };
    bench.run(&bury(0, 3)).await;
    let prune = async || bench.database.write("prune", Prune, KIND).await.unwrap();
    bench.advance(DEAD_KEPT).await;
    assert_eq!(prune().await, 0);
    bench.advance(Duration::from_millis(2)).await;
    assert_eq!(prune().await, 2);
    bench.run(&bury(0, DEAD_MAX + 1)).await;
    assert_eq!(prune().await, 2);
    assert_eq!(prune().await, 0);
    let count = "SELECT COUNT(*) FROM jobs WHERE subject <> 'dead 0' AND state = 1";
    assert_eq!(bench.value(count).await, DEAD_MAX.to_string());
    assert_eq!(bench.value("SELECT COUNT(*) FROM jobs WHERE state = 0").await, "1");
}

pub(super) async fn lanes_are_counted_and_discarded(bench: &Bench) {
    ask_many(&bench.database, "a", DISCARDED_MAX + 70).await;
    ask_many(&bench.database, "b", 3).await;
    let of_lane = async |lane: &str, is_discard| {
        bench.database.write("look after a lane", OfLane { is_discard }, lane.to_owned()).await.unwrap()
    };
    assert_eq!((of_lane("a", false).await, of_lane("b", false).await, of_lane("c", false).await), (64, 3, 0));
    assert_eq!((of_lane("a", true).await, of_lane("a", true).await), (DISCARDED_MAX as u64, 70));
    assert_eq!((of_lane("a", true).await, of_lane("b", false).await), (0, 3));
}

pub(super) async fn numbers_say_how_jobs_are_doing(bench: &Bench) {
    let node = Node::start(&bench.database, |job| async move {
        match job.subject.as_str() {
            "good" => Verdict::Done.into(),
            "bad" => Verdict::Dead { error: "no".to_owned() }.into(),
            _ => retry(Some(Duration::from_secs(60))),
        }
    });
    let nothing = Numbers { kind: KIND, ..Numbers::default() };
    assert_eq!(node.jobs.numbers().await.unwrap(), [nothing]);
    ask(&bench.database, "a", &["good", "bad", "good"]).await;
    wait_until_done(bench).await;
    bench.advance(Duration::from_secs(1)).await;
    ask(&bench.database, "b", &["later", "later"]).await;
    wait_for(bench, "SELECT COUNT(*) FROM job_tries", "2").await;
    let expected = Numbers {
        kind: KIND,
        waiting: 2,
        waiting_since_ms: Some(START_MS + 1_000),
        dead: 1,
        failing_lanes: 1,
        done: 2,
        failed: 2,
        died: 1,
    };
    // An attempt is counted after it is noted.
    until("all attempts are counted", async || node.jobs.numbers().await.unwrap()[0].failed == 2).await;
    assert_eq!(node.jobs.numbers().await.unwrap(), [expected]);
}
