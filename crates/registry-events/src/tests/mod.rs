//! What events promise, over each engine.

mod on_demand;
mod ordering;
mod plans;
mod pruning;
mod recording;
mod taking;
mod watching;

use std::time::Duration;

use registry_database::{
    Database, Error, Fault, Owners, Session, Step,
    contract::{Bench, STORE},
    step,
};
use registry_types::Cause;

use crate::{
    Event, Kind, NewEvent, ORDERED_MAX, Order, Recorder, SCHEMA, add_consumer, record, remove_consumer, take,
};

const OWNERS: Owners = Owners::new(&[&STORE, &SCHEMA, &registry_database::SCHEMA]);

/// How long a condition is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// Records that tags moved, in one transaction.
struct Move(Recorder);

impl Step for Move {
    type Of = Vec<String>;
    type Output = ();

    async fn run<S: Session>(&self, session: &S, tags: &Vec<String>) -> Result<(), Fault> {
        let event = |tag| NewEvent {
            tag: Some(tag),
            ..NewEvent::in_repository(Kind::TagMoved, 7, "acme/app", &Cause::UNKNOWN)
        };
        let events: Vec<NewEvent<'_>> = tags.iter().map(|tag| event(tag.as_str())).collect();
        record(session, &self.0, &events).await
    }
}

/// Takes events, at most so many.
struct Take(usize);

impl Step for Take {
    type Of = String;
    type Output = Vec<Event>;

    async fn run<S: Session>(&self, session: &S, consumer: &String) -> Result<Vec<Event>, Fault> {
        take(session, consumer, self.0).await
    }
}

/// Takes events, and then refuses that.
struct TakeAndRefuse;

impl Step for TakeAndRefuse {
    type Of = String;
    type Output = ();

    async fn run<S: Session>(&self, session: &S, consumer: &String) -> Result<(), Fault> {
        assert_ne!(take(session, consumer, 100).await?, []);
        Err(Fault::refused("no"))
    }
}

struct Add;

impl Step for Add {
    type Of = String;
    type Output = ();

    async fn run<S: Session>(&self, session: &S, consumer: &String) -> Result<(), Fault> {
        add_consumer(session, consumer).await
    }
}

struct Remove;

impl Step for Remove {
    type Of = String;
    type Output = bool;

    async fn run<S: Session>(&self, session: &S, consumer: &String) -> Result<bool, Fault> {
        remove_consumer(session, consumer).await
    }
}

step!(Move, Take, TakeAndRefuse, Add, Remove);

async fn add(database: &Database, consumer: &str) {
    database.write("add a consumer", Add, consumer.to_owned()).await.unwrap();
}

/// Records that these tags moved, in one transaction.
async fn moved(database: &Database, tags: &[&str]) {
    let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    database.write("move tags", Move(Recorder::new()), tags).await.unwrap();
}

/// Records that so many tags moved: `0`, `1`, …
async fn moved_many(database: &Database, count: usize) {
    let tags = (0..count).map(|tag| tag.to_string()).collect();
    database.write("move tags", Move(Recorder::new()), tags).await.unwrap();
}

async fn try_take(database: &Database, consumer: &str, limit: usize) -> Result<Vec<Event>, Error> {
    database.write("take events", Take(limit), consumer.to_owned()).await
}

/// The tags of the next events of a consumer, at most 100.
async fn taken(database: &Database, consumer: &str) -> Vec<String> {
    let events = try_take(database, consumer, 100).await.unwrap();
    events.into_iter().filter_map(|event| event.tag).collect()
}

/// Gives all events their positions.
async fn order_all(database: &Database) {
    while database.write("order events", Order, ()).await.unwrap().events == ORDERED_MAX {}
}

/// Waits until a statement gives this.
async fn wait_for(bench: &Bench, sql: &str, expected: &str) {
    let is_so = async || {
        while bench.value(sql).await != expected {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, is_so())
        .await
        .unwrap_or_else(|_| panic!("{sql} does not become {expected}"));
}

registry_database::on_both_engines! {
    super::OWNERS, registry_testing_postgres::PostgresServer::shared().database();
    recording: [
        nothing_is_written_while_there_is_no_consumer,
        events_come_back_as_they_were_recorded,
        what_is_rolled_back_records_nothing,
    ],
    ordering: [
        two_nodes_that_order_at_once_leave_no_gap,
        without_a_consumer_nothing_is_ordered,
    ],
    taking: [
        each_consumer_takes_each_event_once,
        two_nodes_share_a_consumer,
        what_was_not_kept_is_taken_again,
        an_event_that_can_not_be_read_stops_none,
        consumers_have_limits,
    ],
    pruning: [
        events_go_when_all_have_taken_them,
        a_consumer_that_lags_too_far_is_moved_on_and_told,
        events_have_an_age,
        without_consumers_all_events_go,
    ],
    watching: [
        a_node_that_watches_needs_nothing_else,
        a_commit_wakes_what_gives_positions,
        what_is_learnt_during_a_look_holds,
        a_node_that_can_not_look_records,
        a_command_learns_of_consumers_for_as_long_as_it_runs,
        a_database_that_fails_is_asked_again,
        numbers_say_how_events_are_doing,
    ],
    plans: [statements_read_what_they_are_asked_for],
}
