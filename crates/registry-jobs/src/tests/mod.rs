//! What jobs promise, over each engine.

mod dead;
mod failing;
mod handling;
mod inspecting;
mod nodes;
mod order;
mod plans;
mod script;

use std::time::Duration;

use registry_database::{
    Database, Fault, Owners, Session, Step,
    contract::{Bench, STORE},
    step,
};

use crate::{NewJob, SCHEMA, enqueue};

const OWNERS: Owners = Owners::new(&[&STORE, &registry_database::SCHEMA]).on_demand(&[&SCHEMA]);

/// How long a condition is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// The kind of all jobs here.
const KIND: &str = "test";

/// Asks for jobs: lane and subject of each.
struct Ask;

impl Step for Ask {
    type Of = Vec<(String, String)>;
    type Output = ();

    async fn run<S: Session>(&self, session: &S, jobs: &Vec<(String, String)>) -> Result<(), Fault> {
        let jobs: Vec<_> = jobs.iter().map(|(lane, subject)| NewJob { kind: KIND, lane, subject }).collect();
        enqueue(session, &jobs).await
    }
}

step!(Ask);

/// Asks for jobs in a lane, in one transaction.
async fn ask(database: &Database, lane: &str, subjects: &[&str]) {
    let jobs = subjects.iter().map(|subject| (lane.to_owned(), (*subject).to_owned())).collect();
    database.use_owners(&[SCHEMA.owner]).await.unwrap();
    database.write("ask for jobs", Ask, jobs).await.unwrap();
}

/// Asks for so many jobs in a lane: `0`, `1`, …
async fn ask_many(database: &Database, lane: &str, count: usize) {
    let subjects: Vec<String> = (0..count).map(|subject| subject.to_string()).collect();
    ask(database, lane, &subjects.iter().map(String::as_str).collect::<Vec<_>>()).await;
}

/// Waits until a condition is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let all = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, all).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// Waits until a statement gives this.
async fn wait_for(bench: &Bench, sql: &str, expected: &str) {
    until(&format!("{sql} gives {expected}"), async || bench.value(sql).await == expected).await;
}

/// Waits until nothing waits to be done.
async fn wait_until_done(bench: &Bench) {
    wait_for(bench, "SELECT COUNT(*) FROM jobs WHERE state = 0", "0").await;
}

registry_database::on_both_engines! {
    super::OWNERS, registry_testing_postgres::PostgresServer::shared().database();
    order: [
        jobs_of_a_lane_are_done_in_order,
        a_job_that_failed_is_tried_beside_the_others,
        all_lanes_have_their_turn,
        a_node_that_is_woken_looks_at_once,
    ],
    handling: [
        what_panics_is_tried_again_and_stops_nothing,
        what_takes_too_long_has_failed,
        a_job_waits_for_as_long_as_it_is_told,
        a_note_is_kept_with_what_became_of_the_job,
        a_note_that_is_refused_counts_as_a_failure,
        of_a_job_that_is_gone_nothing_is_noted,
        what_can_not_be_kept_is_refused,
    ],
    failing: [
        a_lane_that_fails_is_asked_seldom,
        a_job_that_always_fails_holds_back_no_other,
        lanes_that_fail_leave_slots_to_others,
    ],
    nodes: [
        two_nodes_never_work_on_one_lane,
        the_lane_of_a_node_that_died_is_taken_over,
        a_node_that_lost_a_lane_begins_nothing_there,
        a_node_begins_nothing_after_its_lease,
        a_node_that_stops_gives_its_lanes_back,
        a_node_that_stops_does_not_wait_for_ever,
        a_node_takes_the_lanes_that_it_can_work_on,
        lanes_that_a_node_does_not_take_hold_up_none,
        a_node_that_comes_late_takes_no_attempts_back,
        what_panics_outside_of_attempts_is_not_tried_at_once,
    ],
    dead: [
        a_job_is_dead_after_so_many_attempts,
        dead_jobs_are_replayed_and_discarded,
        dead_jobs_have_an_age_and_a_number,
        lanes_are_counted_and_discarded,
        numbers_say_how_jobs_are_doing,
    ],
    inspecting: [
        jobs_of_every_kind_are_listed,
        dead_jobs_are_discarded_by_kind,
        a_database_without_jobs_lists_none,
    ],
    plans: [statements_read_what_they_are_asked_for],
}
