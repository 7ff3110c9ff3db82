//! What webhooks promise over a database of each engine, apart from what is sent.

mod admin;
mod feeding;
mod history;
mod plans;

use std::{sync::Arc, time::Duration};

use registry_database::{
    Database, Fault, Owners, Session, Step,
    contract::{Bench, STORE},
    step,
};
use registry_events::{Kind, NewEvent, Order, Recorder, record};
use registry_outbound::{Outbound, OutboundOptions};
use registry_secrets::{Key, Keys, Secrets};
use registry_types::Cause;

use crate::{Draft, LookUp, NothingKnown, Options, Origin, SCHEMA, WebhookName, Webhooks};

const OWNERS: Owners = Owners::new(&[&STORE, &registry_database::SCHEMA]).on_demand(&[
    &registry_events::SCHEMA,
    &registry_jobs::SCHEMA,
    &registry_secrets::SCHEMA,
    &SCHEMA,
]);

/// Webhooks of a node over a database.
fn node(database: &Database, recorder: &Recorder) -> Webhooks {
    node_with(database, recorder, Arc::new(NothingKnown))
}

/// The same, with what the rest of the registry knows.
fn node_with(database: &Database, recorder: &Recorder, look_up: Arc<dyn LookUp>) -> Webhooks {
    let origin = Origin {
        url: "https://registry.example.com".into(),
        node: "node-1:5000".into(),
        instance: "244818df-46c8-4239-88e9-6177e3c5261c".into(),
        callbacks: None,
    };
    let secrets = Secrets::given(Keys::new(Key::from([7; 32])));
    let outbound = Outbound::new(OutboundOptions::default()).unwrap();
    let options = Options::new(database.clone(), secrets, outbound, recorder.clone(), origin);
    Webhooks::new(Options { look_up, ..options })
}

fn name(text: &str) -> WebhookName {
    text.parse().unwrap()
}

fn draft(name: &str) -> Draft {
    Draft { name: name.into(), url: "https://ci.example.com/hook".into(), ..Draft::default() }
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

/// Records that tags moved in repositories of these numbers.
struct Move(Recorder);

impl Step for Move {
    type Of = Vec<(i64, String)>;
    type Output = ();

    async fn run<S: Session>(&self, session: &S, tags: &Self::Of) -> Result<(), Fault> {
        let names: Vec<String> =
            tags.iter().map(|(repository, _)| format!("acme/app-{repository}")).collect();
        let cause = Cause::by("ada");
        let events: Vec<NewEvent<'_>> = tags
            .iter()
            .zip(&names)
            .map(|((repository, tag), name)| NewEvent {
                tag: Some(tag),
                ..NewEvent::in_repository(Kind::TagMoved, *repository, name, &cause)
            })
            .collect();
        record(session, &self.0, &events).await
    }
}

step!(Move);

/// Records that tags moved, and gives the events their positions.
async fn moved(database: &Database, tags: impl IntoIterator<Item = (i64, String)>) {
    let tags: Vec<_> = tags.into_iter().collect();
    database.write("move tags", Move(Recorder::new()), tags).await.unwrap();
    while database.write("order events", Order, ()).await.unwrap().events > 0 {}
}

/// So many tags of one repository.
async fn moved_many(database: &Database, repository: i64, count: usize) {
    moved(database, (0..count).map(|number| (repository, format!("t{number}")))).await;
}

registry_database::on_both_engines! {
    super::OWNERS, registry_testing_postgres::PostgresServer::shared().database();
    admin: [
        nothing_is_there_before_the_first_webhook,
        a_webhook_is_added_changed_and_removed,
        a_secret_is_shown_once_and_sealed,
        a_rotated_secret_leaves_the_former_for_a_time,
        configured_webhooks_have_names_alone,
        a_disabled_webhook_of_the_configuration_keeps_its_events,
        a_configured_webhook_that_was_removed_elsewhere_is_added_again,
        webhooks_have_a_limit,
    ],
    feeding: [
        events_become_messages_in_their_order,
        sequences_have_no_gap_for_each_webhook_and_repository,
        filters_let_pass_what_is_asked_for,
        what_waits_is_bounded,
        two_nodes_feed_a_webhook_once,
        a_paused_webhook_is_told_later,
        numbers_of_repositories_that_are_gone_go,
        a_webhook_that_takes_nothing_rests_until_it_may,
    ],
    history: [
        messages_are_listed_the_newest_first,
        a_message_is_sent_again_under_its_id_and_anew_under_another,
        a_message_that_is_sent_again_waits_from_then_on,
        all_since_a_time_are_sent_again,
        what_is_sent_by_hand_is_bounded,
        attempts_are_noted_and_the_last_ten_kept,
        reports_of_receivers_are_kept_and_bounded,
        old_messages_are_forgotten,
    ],
    plans: [messages_are_found_by_an_index],
}
