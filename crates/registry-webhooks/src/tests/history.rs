use registry_jobs::{Fate, Settled};

use super::*;
use crate::{
    Attempt, Callback, DeliveryState, HISTORY_KEPT_MAX, MessageId, WebhookError, WebhookId,
    steps::{Outcome, WAITING_MAX},
};

/// A webhook with so many messages that wait.
async fn with_messages(bench: &Bench, count: usize) -> (Webhooks, WebhookId) {
    let node = node(&bench.database, &Recorder::new());
    let (webhook, _) = node.add(&draft("a")).await.unwrap();
    moved_many(&bench.database, 1, count).await;
    node.feed_once().await.unwrap();
    (node, webhook.id)
}

async fn newest(node: &Webhooks) -> crate::Delivery {
    node.history(&name("a"), None, 1).await.unwrap().swap_remove(0)
}

async fn end(bench: &Bench, delivery: &crate::Delivery, state: DeliveryState, attempt: Option<Attempt>) {
    let outcome = Outcome {
        delivery: delivery.number,
        webhook: delivery.webhook,
        attempt,
        state,
        disable: None,
        is_well_again: false,
    };
    let settled = Settled { job: 1, attempts: 1, fate: Fate::Done };
    bench.database.write("note an attempt", outcome, settled).await.unwrap();
}

fn attempt(number: i64) -> Attempt {
    Attempt {
        number: 0,
        at_ms: number,
        latency_ms: 12,
        status: Some(500),
        error: Some("the receiver answered 500".into()),
        request_headers: "webhook-id: msg_1".into(),
        answer: Some("no".into()),
    }
}

pub(super) async fn messages_are_listed_the_newest_first(bench: &Bench) {
    let (node, webhook) = with_messages(bench, 25).await;
    let page = node.history(&name("a"), None, 10).await.unwrap();
    let tags: Vec<_> = page.iter().map(|delivery| delivery.event.tag.clone().unwrap()).collect();
    assert_eq!(tags[..3], ["t24", "t23", "t22"]);
    let next = node.history(&name("a"), Some(page[9].number), 100).await.unwrap();
    assert_eq!((next.len(), next[0].event.tag.as_deref()), (15, Some("t14")));
    let first = &next[14];
    assert_eq!((first.webhook, first.sequence, first.state), (webhook, 1, DeliveryState::Waiting));
    assert_eq!(first.event.cause, Cause::by("ada"));
    assert_eq!(node.history(&name("a"), Some(0), 10).await.unwrap(), []);
    let (found, attempts, callbacks) = node.delivery(&name("a"), first.id).await.unwrap();
    assert_eq!((&found, attempts.len(), callbacks.len()), (first, 0, 0));
}

pub(super) async fn a_message_is_sent_again_under_its_id_and_anew_under_another(bench: &Bench) {
    let (node, _) = with_messages(bench, 3).await;
    let sent = newest(&node).await;
    assert!(matches!(node.redeliver(&name("a"), sent.id).await, Err(WebhookError::Waits(_))));
    end(bench, &sent, DeliveryState::Dead, None).await;
    let dead = newest(&node).await;
    assert_eq!((dead.state, dead.ended_at_ms.is_some()), (DeliveryState::Dead, true));
    bench.run("UPDATE webhook_deliveries SET created_at_ms = 1").await;
    node.redeliver(&name("a"), sent.id).await.unwrap();
    let again = newest(&node).await;
    assert!(again.created_at_ms >= sent.created_at_ms, "it waits since it was sent again: {again:?}");
    assert_eq!(crate::Delivery { created_at_ms: sent.created_at_ms, ..again }, sent);

    let id = node.send_anew(&name("a"), sent.id).await.unwrap();
    let anew = newest(&node).await;
    assert_eq!((anew.id, anew.sequence, anew.event), (id, sent.sequence + 1, sent.event));
    assert_ne!(id, sent.id);

    let unknown = MessageId::generate().unwrap();
    node.add(&draft("b")).await.unwrap();
    for (webhook, id) in [("a", unknown), ("b", sent.id)] {
        let error = node.redeliver(&name(webhook), id).await.unwrap_err();
        assert!(matches!(error, WebhookError::UnknownDelivery(_)), "{error}");
        assert!(node.send_anew(&name(webhook), id).await.is_err());
        assert!(node.delivery(&name(webhook), id).await.is_err());
    }
}

/// By the time that a message waits it is given up; one that ended long after it was written has that time anew.
pub(super) async fn a_message_that_is_sent_again_waits_from_then_on(bench: &Bench) {
    let (node, _) = with_messages(bench, 1).await;
    bench.run("UPDATE webhook_deliveries SET state = 2, created_at_ms = 1, ended_at_ms = 1").await;
    let dead = newest(&node).await;
    node.redeliver(&name("a"), dead.id).await.unwrap();
    node.prune_once().await.unwrap();
    assert_eq!(newest(&node).await.state, DeliveryState::Waiting);
}

pub(super) async fn all_since_a_time_are_sent_again(bench: &Bench) {
    let (node, webhook) = with_messages(bench, 60).await;
    bench.run("UPDATE webhook_deliveries SET state = 1, ended_at_ms = 1000 + sequence").await;
    for (repository, count) in [(2, 50), (3, 100)] {
        moved_many(&bench.database, repository, count).await;
        node.feed_once().await.unwrap();
        bench.run("UPDATE webhook_deliveries SET state = 2, ended_at_ms = 2000 WHERE state = 0").await;
    }
    assert_eq!(bench.value("SELECT COUNT(*) FROM webhook_deliveries").await, "210");
    let waiting = format!("SELECT COUNT(*) FROM webhook_deliveries WHERE state = 0 AND webhook = {webhook}");

    // Anew: copies, and no copies of copies.
    assert_eq!(node.redeliver_since(&name("a"), 1051, true).await.unwrap(), 160);
    assert_eq!(bench.value(&waiting).await, "160");
    assert!(matches!(node.redeliver_since(&name("a"), 0, false).await, Err(WebhookError::Busy(_))));
    bench.run("UPDATE webhook_deliveries SET state = 3, ended_at_ms = 3000 WHERE state = 0").await;

    // Under their ids; what was not sent is not sent again.
    let dead = node.history_in(&name("a"), DeliveryState::Dead, None, 100).await.unwrap();
    assert!(dead.len() == 100 && dead.iter().all(|delivery| delivery.state == DeliveryState::Dead));
    assert_eq!(node.redeliver_since(&name("a"), 2000, false).await.unwrap(), 150);
    let dead = node.history_in(&name("a"), DeliveryState::Dead, None, 100).await.unwrap();
    assert_eq!((bench.value(&waiting).await.as_str(), dead.len()), ("150", 0));
    assert_eq!(bench.value("SELECT COUNT(*) FROM webhook_deliveries").await, "370");
    bench.run("UPDATE webhook_deliveries SET state = 1, ended_at_ms = 3000 WHERE state = 0").await;
    assert_eq!(node.redeliver_since(&name("a"), 4000, false).await.unwrap(), 0);
}

pub(super) async fn what_is_sent_by_hand_is_bounded(bench: &Bench) {
    let (node, _) = with_messages(bench, 1).await;
    let mut last = None;
    for _ in 1..WAITING_MAX {
        last = Some(node.test(&name("a"), Cause::by("ada")).await.unwrap());
    }
    let test = newest(&node).await;
    assert_eq!((Some(test.id), test.event.kind), (last, Kind::WebhookTest));
    assert_eq!((test.sequence, test.event.cause), (WAITING_MAX - 1, Cause::by("ada")));
    assert!(test.event.at_ms > 1_700_000_000_000, "by the database's clock");
    assert!(matches!(node.test(&name("a"), Cause::UNKNOWN).await, Err(WebhookError::Busy(WAITING_MAX))));
    assert!(matches!(node.send_anew(&name("a"), test.id).await, Err(WebhookError::Busy(_))));
}

pub(super) async fn attempts_are_noted_and_the_last_ten_kept(bench: &Bench) {
    let (node, _) = with_messages(bench, 1).await;
    let delivery = newest(&node).await;
    for number in 1..=14 {
        end(bench, &delivery, DeliveryState::Waiting, Some(attempt(number))).await;
    }
    end(
        bench,
        &delivery,
        DeliveryState::Delivered,
        Some(Attempt { status: Some(204), error: None, ..attempt(15) }),
    )
    .await;
    let (delivery, attempts, _) = node.delivery(&name("a"), delivery.id).await.unwrap();
    assert_eq!(delivery.state, DeliveryState::Delivered);
    let numbers: Vec<u64> = attempts.iter().map(|attempt| attempt.number).collect();
    assert_eq!(numbers, (6..=15).collect::<Vec<_>>());
    assert_eq!(attempts[0], Attempt { number: 6, ..attempt(6) });
    assert_eq!((attempts[9].status, attempts[9].error.as_deref()), (Some(204), None));
    // An outcome that comes late changes nothing.
    end(bench, &delivery, DeliveryState::Dead, None).await;
    assert_eq!(newest(&node).await.state, DeliveryState::Delivered);
    // Nor does one of a message that has gone with its webhook.
    node.remove(&name("a")).await.unwrap();
    end(bench, &delivery, DeliveryState::Dead, Some(attempt(16))).await;
    assert_eq!(bench.value("SELECT COUNT(*) FROM webhook_attempts").await, "0");
}

pub(super) async fn reports_of_receivers_are_kept_and_bounded(bench: &Bench) {
    let (node, _) = with_messages(bench, 1).await;
    let id = newest(&node).await.id;
    for number in 0..20 {
        let callback = Callback {
            state: "success".into(),
            description: Some(format!("{number} {}", "é".repeat(2000))),
            ..Callback::default()
        };
        assert!(node.report(id, callback).await.unwrap());
    }
    let (_, _, callbacks) = node.delivery(&name("a"), id).await.unwrap();
    assert_eq!((callbacks.len(), callbacks[0].state.as_str()), (10, "success"));
    assert_eq!(callbacks[0].description.as_ref().map(String::len), Some(1024));
    assert!(!node.report(MessageId::generate().unwrap(), Callback::default()).await.unwrap());
}

pub(super) async fn old_messages_are_forgotten(bench: &Bench) {
    let (node, webhook) = with_messages(bench, 3).await;
    let fill = |first: u64, last: u64, ended: &str| {
        format!(
            "WITH RECURSIVE n (i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last})
            INSERT INTO webhook_deliveries (id, webhook, sequence, state, created_at_ms, ended_at_ms, event, position,
                kind, at_ms) SELECT 'msg_' || i, {webhook}, i, 1, 0, {ended}, 1, 1, 'tag.moved', 0 FROM n"
        )
    };
    let count = "SELECT COUNT(*) FROM webhook_deliveries";
    // Ended eight days ago.
    bench.run(&fill(1, 700, "now_ms() - 691200000")).await;
    node.prune_once().await.unwrap();
    assert_eq!(bench.value(count).await, "3");
    // Too many for one webhook.
    bench.run(&fill(1000, 3499, "now_ms()")).await;
    node.0.sent_to.lock().insert(webhook);
    while bench.value(count).await != (HISTORY_KEPT_MAX + 3).to_string() {
        let before = bench.value(count).await;
        node.0.sent_to.lock().insert(webhook);
        node.prune_once().await.unwrap();
        assert_ne!(bench.value(count).await, before);
    }
    let oldest = "SELECT MIN(sequence) FROM webhook_deliveries WHERE state = 1";
    assert_eq!(bench.value(oldest).await, "2500");
    assert_eq!(bench.value("SELECT COUNT(*) FROM webhook_deliveries WHERE state = 0").await, "3");
    // Dead letters do not go for what was delivered after them, and have the same limit.
    bench.run("UPDATE webhook_deliveries SET state = 2, ended_at_ms = now_ms() WHERE sequence = 2500").await;
    bench.run(&fill(4000, 5499, "now_ms()")).await;
    bench.run(&fill(6000, 6500, "now_ms()").replace("i, 1, 0", "i, 2, 0")).await;
    let count = |state: &str| format!("SELECT COUNT(*) FROM webhook_deliveries WHERE state = {state}");
    node.0.sent_to.lock().insert(webhook);
    node.prune_once().await.unwrap();
    assert_eq!(bench.value(&count("2")).await, "502");
    bench.run(&fill(8000, 8599, "now_ms()").replace("i, 1, 0", "i, 2, 0")).await;
    node.0.sent_to.lock().insert(webhook);
    node.prune_once().await.unwrap();
    assert_eq!(bench.value(&count("2")).await, HISTORY_KEPT_MAX.to_string());
}
