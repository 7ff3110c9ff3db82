use std::sync::Arc;

use async_trait::async_trait;
use registry_events::{Bounds, Event, Prune};

use super::*;
use crate::{
    Audience, Facts, LookUp, Wanted, WebhookId,
    steps::{FED_MAX, WAITING_MAX},
};

/// Tags in the order of their messages.
async fn tags(bench: &Bench, webhook: i64) -> Vec<String> {
    bench.rows(&format!("SELECT tag FROM webhook_deliveries WHERE webhook = {webhook} ORDER BY number")).await
}

/// All that waits was delivered.
async fn deliver_all(bench: &Bench) {
    bench.run("UPDATE webhook_deliveries SET state = 1, ended_at_ms = 0 WHERE state = 0").await;
}

pub(super) async fn events_become_messages_in_their_order(bench: &Bench) {
    let node = node(&bench.database, &Recorder::new());
    // What happened before is not told, although another webhook has events recorded.
    node.add(&draft("earlier")).await.unwrap();
    moved_many(&bench.database, 1, 2).await;
    let (webhook, _) = node.add(&draft("a")).await.unwrap();
    moved(&bench.database, [(1, "x".into()), (2, "y".into()), (1, "z".into())]).await;
    node.feed_once().await.unwrap();
    node.feed_once().await.unwrap();
    assert_eq!(tags(bench, webhook.id).await, ["x", "y", "z"]);
    let row = bench
        .value(&format!(
            "SELECT sequence, state, kind, repository, name, actor FROM webhook_deliveries
            WHERE tag = 'z' AND webhook = {}",
            webhook.id
        ))
        .await;
    assert_eq!(row, "2|0|tag.moved|1|acme/app-1|ada");
}

pub(super) async fn sequences_have_no_gap_for_each_webhook_and_repository(bench: &Bench) {
    let node = node(&bench.database, &Recorder::new());
    for name in ["a", "b"] {
        let tags = if name == "b" { texts(&["t?"]) } else { Vec::new() };
        node.add(&Draft { tags, ..draft(name) }).await.unwrap();
    }
    for round in 0..3 {
        for repository in 1..=3 {
            moved_many(&bench.database, repository, 10 + round).await;
        }
        node.feed_once().await.unwrap();
        deliver_all(bench).await;
    }
    for (name, each) in [("a", 33), ("b", 30)] {
        for repository in 1..=3 {
            let sql = format!(
                "SELECT d.sequence FROM webhook_deliveries d JOIN webhooks w ON w.id = d.webhook
                WHERE w.name = '{name}' AND d.repository = {repository} ORDER BY d.number"
            );
            let expected: Vec<String> = (1..=each).map(|number: u32| number.to_string()).collect();
            assert_eq!(bench.rows(&sql).await, expected, "{name} {repository}");
        }
    }
}

pub(super) async fn filters_let_pass_what_is_asked_for(bench: &Bench) {
    let node = node(&bench.database, &Recorder::new());
    let some = Draft {
        events: texts(&["tag.moved"]),
        repositories: texts(&["acme/app-1"]),
        tags: texts(&["v*"]),
        ..draft("a")
    };
    let (webhook, _) = node.add(&some).await.unwrap();
    let all = [(1, "v1"), (2, "v1"), (1, "latest"), (1, "v2")];
    moved(&bench.database, all.map(|(repository, tag)| (repository, tag.to_owned()))).await;
    node.feed_once().await.unwrap();
    assert_eq!(tags(bench, webhook.id).await, ["v1", "v2"]);
    // What does not pass was taken all the same: it does not come again.
    let lag = "SELECT s.position - c.position FROM event_stream s, event_consumers c";
    assert_eq!(bench.value(lag).await, "0");
    node.change(&draft("a")).await.unwrap();
    moved(&bench.database, [(9, "other".to_owned())]).await;
    node.feed_once().await.unwrap();
    assert_eq!(tags(bench, webhook.id).await, ["v1", "v2", "other"]);
}

pub(super) async fn what_waits_is_bounded(bench: &Bench) {
    let node = node(&bench.database, &Recorder::new());
    let (webhook, _) = node.add(&draft("a")).await.unwrap();
    moved_many(&bench.database, 1, 1000).await;
    node.feed_once().await.unwrap();
    node.feed_once().await.unwrap();
    let waiting = tags(bench, webhook.id).await.len();
    assert!(waiting >= WAITING_MAX as usize && waiting < WAITING_MAX as usize + FED_MAX, "{waiting}");
    // Nothing is lost: events stay until there is room.
    for _ in 0..20 {
        deliver_all(bench).await;
        node.feed_once().await.unwrap();
    }
    let expected: Vec<String> = (0..1000).map(|number| format!("t{number}")).collect();
    assert_eq!(tags(bench, webhook.id).await, expected);
}

pub(super) async fn two_nodes_feed_a_webhook_once(bench: &Bench) {
    let recorder = Recorder::new();
    let (one, other) = (node(&bench.database, &recorder), node(&bench.other, &recorder));
    let (webhook, _) = one.add(&draft("a")).await.unwrap();
    moved_many(&bench.database, 1, 60).await;
    let feed = |node: &Webhooks| {
        let node = node.clone();
        tokio::spawn(async move {
            for _ in 0..5 {
                node.feed_once().await.unwrap();
            }
        })
    };
    let (first, second) = (feed(&one), feed(&other));
    first.await.unwrap();
    second.await.unwrap();
    assert_eq!(tags(bench, webhook.id).await.len(), 60);
}

pub(super) async fn a_paused_webhook_is_told_later(bench: &Bench) {
    let node = node(&bench.database, &Recorder::new());
    let (webhook, _) = node.add(&draft("a")).await.unwrap();
    node.pause(&name("a")).await.unwrap();
    moved_many(&bench.database, 1, 5).await;
    node.feed_once().await.unwrap();
    assert!(tags(bench, webhook.id).await.is_empty());
    node.resume(&name("a")).await.unwrap();
    node.feed_once().await.unwrap();
    assert_eq!(tags(bench, webhook.id).await.len(), 5);
}

/// Knows that some repositories are gone.
#[derive(Debug)]
struct Gone(Vec<i64>);

#[async_trait]
impl LookUp for Gone {
    async fn may_tell(&self, _: WebhookId, _: Audience, _: &Event) -> bool {
        true
    }

    async fn facts(&self, _: Wanted<'_>) -> Facts {
        Facts::default()
    }

    async fn gone(&self, repositories: &[i64]) -> Vec<i64> {
        repositories.iter().copied().filter(|repository| self.0.contains(repository)).collect()
    }
}

pub(super) async fn numbers_of_repositories_that_are_gone_go(bench: &Bench) {
    let node = node_with(&bench.database, &Recorder::new(), Arc::new(Gone(vec![2, 3])));
    let rows =
        "SELECT w.name, s.repository, s.last FROM webhook_sequences s JOIN webhooks w ON w.id = s.webhook
        ORDER BY w.name, s.repository";
    node.add(&draft("a")).await.unwrap();
    moved(&bench.database, [(1, "x".into()), (2, "y".into()), (3, "z".into())]).await;
    node.feed_once().await.unwrap();
    node.add(&draft("late")).await.unwrap();
    // The last event of a repository that is gone still has to get its number.
    moved(&bench.database, [(2, "deleted".into())]).await;
    node.forget_sequences().await.unwrap();
    assert_eq!(bench.rows(rows).await.len(), 3);
    node.feed_once().await.unwrap();
    assert_eq!(bench.rows(rows).await, ["a|1|1", "a|2|2", "a|3|1", "late|2|1"]);
    bench.database.write("remove events", Prune, Bounds::default()).await.unwrap();
    node.forget_sequences().await.unwrap();
    assert_eq!(bench.rows(rows).await, ["a|1|1"]);
}

pub(super) async fn a_webhook_that_takes_nothing_rests_until_it_may(bench: &Bench) {
    let node = node(&bench.database, &Recorder::new());
    let (full, _) = node.add(&draft("full")).await.unwrap();
    let (paused, _) = node.add(&draft("paused")).await.unwrap();
    node.pause(&name("paused")).await.unwrap();
    moved_many(&bench.database, 1, 80).await;
    node.feed_once().await.unwrap();
    assert!(node.0.resting.has(full.id) && node.0.resting.has(paused.id));
    // As many messages end as there are too many.
    (0..80 - WAITING_MAX).for_each(|_| node.0.resting.ended(full.id));
    assert!(node.0.resting.has(full.id));
    node.0.resting.ended(full.id);
    assert!(!node.0.resting.has(full.id));
    node.resume(&name("paused")).await.unwrap();
    assert!(!node.0.resting.has(paused.id));
}
