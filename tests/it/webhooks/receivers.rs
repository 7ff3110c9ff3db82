//! Receivers of every temper.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use registry_testing::{Behaviour, Receiver, eventually};
use registry_webhooks::{ANSWER_BYTES_MAX, Definition, DeliveryState, Draft, Endpoint, State};

use super::{Node, draft, got, name, node, node_over, node_with};

/// An endpoint of the Go registry's configuration: it is asked again after a second.
fn endpoint(text: &str, receiver: &Receiver) -> Definition {
    let timeout = Some(Duration::from_millis(300));
    Endpoint { name: text.into(), url: receiver.url().into(), timeout, ..Endpoint::default() }
        .check()
        .unwrap()
}

/// The same as a webhook in our format.
fn configured(text: &str, receiver: &Receiver) -> Definition {
    let endpoint = endpoint(text, receiver);
    Definition { format: registry_core::types::WebhookFormat::CloudEvents, ..endpoint }
}

fn sequences(received: &[registry_testing::Received], repository: &str) -> Vec<u64> {
    let events =
        received.iter().filter(|received| received.status == Some(204)).map(|received| received.json());
    let of = events.filter(|event| event["data"]["repository"] == repository);
    of.map(|event| event["sequence"].as_str().unwrap().parse().unwrap()).collect()
}

#[tokio::test]
async fn a_receiver_that_fails_at_first_gets_all_without_a_gap() {
    let receiver = Receiver::start(Behaviour::status(500)).await;
    let node = node_with(&[], vec![configured("a", &receiver)]).await;
    for round in 0..10 {
        let tag = format!("v{round}");
        node.moved(1, &[&tag]).await;
        node.moved(2, &[&tag, "latest"]).await;
    }
    got(&receiver, 3).await;
    receiver.behave(Behaviour::good());
    node.all_are("a", 30, DeliveryState::Delivered).await;
    let received = receiver.received();
    for (repository, count) in [("acme/app-1", 10), ("acme/app-2", 20)] {
        let mut seen = sequences(&received, repository);
        seen.sort_unstable();
        assert_eq!(seen, (1..=count).collect::<Vec<u64>>(), "{repository}");
    }
}

#[tokio::test]
async fn messages_to_a_good_receiver_come_in_their_order() {
    let receiver = Receiver::start(Behaviour::good()).await;
    let node = node(&["127.0.0.1"]).await;
    node.add(draft("a", &receiver)).await;
    let tags: Vec<String> = (0..50).map(|number| format!("v{number}")).collect();
    node.moved(1, &tags.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let received = got(&receiver, 50).await;
    assert_eq!(sequences(&received, "acme/app-1"), (1..=50).collect::<Vec<u64>>());
}

#[tokio::test]
async fn two_nodes_send_each_message_once() {
    let receivers = [Receiver::start(Behaviour::good()).await, Receiver::start(Behaviour::good()).await];
    let node = node(&["127.0.0.1"]).await;
    for (number, receiver) in receivers.iter().enumerate() {
        node.add(draft(&format!("w{number}"), receiver)).await;
    }
    // After the first webhook: a node that runs already learns of it within a second.
    let other = node_over(node.database.clone(), &["127.0.0.1"], Vec::new()).await;
    for round in 0..20 {
        let tag = format!("v{round}");
        let tags = [tag.as_str()];
        tokio::join!(node.moved(1, &tags), other.moved(2, &tags));
    }
    for (number, receiver) in receivers.iter().enumerate() {
        node.all_are(&format!("w{number}"), 40, DeliveryState::Delivered).await;
        assert_eq!(receiver.count(), 40);
        for repository in ["acme/app-1", "acme/app-2"] {
            assert_eq!(sequences(&receiver.received(), repository), (1..=20).collect::<Vec<u64>>());
        }
    }
}

#[tokio::test]
async fn a_node_that_stops_leaves_its_webhooks_to_others_at_once() {
    let receiver = Receiver::start(Behaviour::Slow(Duration::from_millis(300))).await;
    let first = node(&["127.0.0.1"]).await;
    first.running[0].abort();
    first.add(draft("a", &receiver)).await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let runs = first.webhooks.clone();
    let running = tokio::spawn(async move {
        let shutdown = async { drop(stopped.await) };
        runs.run_until(shutdown).await;
    });
    first.moved(1, &["v1", "v2", "v3"]).await;
    got(&receiver, 1).await;
    stop.send(()).unwrap();
    running.await.unwrap();
    // What was under way was noted.
    let sent = receiver.count();
    let all = first.history("a").await;
    assert_eq!(all.iter().filter(|delivery| delivery.state == DeliveryState::Delivered).count(), sent);
    let other = node_over(first.database.clone(), &["127.0.0.1"], Vec::new()).await;
    other.all_are("a", 3, DeliveryState::Delivered).await;
    assert_eq!(receiver.count(), 3);
}

#[tokio::test]
async fn a_receiver_that_is_well_again_gets_what_failed_at_once() {
    let receiver = Receiver::start(Behaviour::with_header(503, &[("retry-after", "3600")])).await;
    let node = node(&["127.0.0.1"]).await;
    node.add(draft("a", &receiver)).await;
    node.moved(1, &["v1", "v2", "v3"]).await;
    // None of them is due for an hour.
    got(&receiver, 3).await;
    receiver.behave(Behaviour::good());
    node.moved(1, &["v4"]).await;
    node.all_are("a", 4, DeliveryState::Delivered).await;
}

/// What is noted of an attempt: how the message stands, the status, and a part of the error.
async fn outcome(behaviour: Behaviour) -> (Receiver, Node, DeliveryState, Option<u16>, String) {
    let receiver = Receiver::start(behaviour).await;
    let node = node(&["127.0.0.1"]).await;
    node.add(Draft { timeout: Some(Duration::from_millis(500)), ..draft("a", &receiver) }).await;
    node.moved(1, &["v1"]).await;
    let (delivery, mut attempts) = node.attempted("a", 1).await;
    let attempt = attempts.swap_remove(0);
    assert!(attempt.answer.is_none(), "a machine that only the operator opens is not shown");
    (receiver, node, delivery.state, attempt.status, attempt.error.unwrap_or_default())
}

#[tokio::test]
async fn what_receivers_answer_is_noted() {
    for (behaviour, state, status, error) in [
        (Behaviour::good(), DeliveryState::Delivered, Some(204), ""),
        (Behaviour::Slow(Duration::from_millis(50)), DeliveryState::Delivered, Some(204), ""),
        (Behaviour::status(500), DeliveryState::Waiting, Some(500), "the receiver answered 500"),
        (Behaviour::status(404), DeliveryState::Waiting, Some(404), "the receiver answered 404"),
        (Behaviour::status(304), DeliveryState::Waiting, Some(304), "the receiver answered 304"),
        (Behaviour::Close, DeliveryState::Waiting, None, "127.0.0.1"),
        (Behaviour::Hang, DeliveryState::Waiting, None, "no answer from 127.0.0.1 within 500ms"),
    ] {
        let text = format!("{behaviour:?}");
        let (_, _, seen, seen_status, seen_error) = outcome(behaviour).await;
        assert_eq!((seen, seen_status), (state, status), "{text}");
        assert!(seen_error.contains(error), "{text}: {seen_error}");
    }
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_leads_nowhere() {
    let elsewhere = Receiver::start(Behaviour::good()).await;
    for location in [elsewhere.url(), "http://169.254.169.254/latest/meta-data/"] {
        let redirect = Behaviour::with_header(302, &[("location", location)]);
        let (receiver, _, state, status, _) = outcome(redirect).await;
        assert_eq!((state, status, receiver.count()), (DeliveryState::Waiting, Some(302), 1), "{location}");
    }
    assert_eq!(elsewhere.count(), 0);
}

#[tokio::test]
async fn an_endpoint_of_the_go_registry_may_answer_with_a_redirect() {
    let receiver = Receiver::start(Behaviour::with_header(302, &[("location", "/thanks")])).await;
    let node = node_with(&[], vec![configured("a", &receiver)]).await;
    node.moved(1, &["v1"]).await;
    node.all_are("a", 1, DeliveryState::Delivered).await;
    assert_eq!(receiver.count(), 1);
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_asked_no_more_until_a_person_says_so() {
    let (receiver, node, state, _, error) = outcome(Behaviour::status(410)).await;
    assert_eq!((state, error.contains("410 Gone")), (DeliveryState::Dead, true), "{error}");
    let webhook = node.webhooks.webhook(&name("a")).await.unwrap();
    assert!(matches!(&webhook.state, State::Disabled(reason) if reason.contains("410")), "{webhook:?}");
    node.moved(1, &["v2"]).await;

    // Another webhook has been told of both: this one had its turn as well, and was left alone.
    let other = Receiver::start(Behaviour::good()).await;
    node.add(draft("b", &other)).await;
    node.moved(1, &["v3"]).await;
    got(&other, 1).await;
    assert_eq!(receiver.count(), 1);
    receiver.behave(Behaviour::good());
    node.webhooks.resume(&name("a")).await.unwrap();
    let tags: Vec<_> =
        got(&receiver, 3).await[1..].iter().map(|received| received.json()["data"]["tag"].clone()).collect();
    assert_eq!(tags, ["v2", "v3"]);
}

#[tokio::test]
async fn a_receiver_that_is_busy_is_asked_when_it_wants() {
    let receiver = Receiver::start(Behaviour::with_header(429, &[("retry-after", "3")])).await;
    let node = node_with(&[], vec![configured("a", &receiver)]).await;
    node.moved(1, &["v1"]).await;
    got(&receiver, 1).await;
    receiver.behave(Behaviour::good());
    let received = got(&receiver, 2).await;
    let waited = received[1].at - received[0].at;
    assert!(waited >= Duration::from_secs(3), "{waited:?}, and without Retry-After it would be a second");
}

#[tokio::test]
async fn of_a_long_answer_the_beginning_is_kept() {
    let body = Bytes::from("\u{0}é".repeat(1 << 20));
    let receiver = Receiver::start(Behaviour::Answer { status: 200, headers: Vec::new(), body }).await;
    let node = node_with(&[], vec![configured("a", &receiver)]).await;
    node.moved(1, &["v1"]).await;
    let delivery = node.all_are("a", 1, DeliveryState::Delivered).await.swap_remove(0);
    let answer = node.attempts("a", delivery.id).await[0].answer.clone().unwrap();
    assert!(answer.starts_with(" é é") && answer.len() <= ANSWER_BYTES_MAX, "{} bytes", answer.len());
}

#[tokio::test]
async fn a_private_address_is_not_asked_for_a_user() {
    let receiver = Receiver::start(Behaviour::good()).await;
    // Both were allowed when they were added, and are no more.
    let allowing = node(&["127.0.0.1", "169.254.169.254"]).await;
    allowing.add(draft("a", &receiver)).await;
    let metadata = Draft { url: "https://169.254.169.254/".into(), ..draft("b", &receiver) };
    allowing.add(metadata).await;
    let database = allowing.database.clone();
    drop(allowing);
    let node = node_over(database, &[], Vec::new()).await;
    node.moved(1, &["v1"]).await;
    for (webhook, error) in [("a", "127.0.0.1 is refused"), ("b", "169.254.169.254 is refused")] {
        let (delivery, attempts) = node.attempted(webhook, 1).await;
        assert_eq!((delivery.state, attempts[0].status), (DeliveryState::Waiting, None));
        assert!(attempts[0].error.as_ref().unwrap().contains(error), "{attempts:?}");
    }
    assert_eq!(receiver.count(), 0);
}

#[tokio::test]
async fn what_a_private_machine_answers_is_kept_for_operators_alone() {
    let body = Bytes::from("internal");
    let behaviour = Behaviour::Answer { status: 200, headers: Vec::new(), body };
    let receiver = Receiver::start(behaviour).await;
    let node = node_with(&["127.0.0.1"], vec![configured("operators", &receiver)]).await;
    node.add(draft("users", &receiver)).await;
    node.moved(1, &["v1"]).await;
    for (webhook, kept) in [("operators", Some("internal")), ("users", None)] {
        let delivery = node.all_are(webhook, 1, DeliveryState::Delivered).await.swap_remove(0);
        assert_eq!(node.attempts(webhook, delivery.id).await[0].answer.as_deref(), kept, "{webhook}");
    }
}

#[tokio::test]
async fn receivers_do_not_wait_for_each_other() {
    let (hangs, good) = (Receiver::start(Behaviour::Hang).await, Receiver::start(Behaviour::good()).await);
    let node = node(&["127.0.0.1"]).await;
    node.add(Draft { timeout: Some(Duration::from_secs(30)), ..draft("hangs", &hangs) }).await;
    node.add(draft("good", &good)).await;
    for round in 0..20 {
        node.moved(1, &[&format!("v{round}")]).await;
    }
    node.all_are("good", 20, DeliveryState::Delivered).await;
    assert_eq!(hangs.count(), 1, "one at a time");
}

#[tokio::test]
async fn headers_of_a_person_are_sent_and_shown_by_name_alone() {
    let receiver = Receiver::start(Behaviour::good()).await;
    let node = node(&["127.0.0.1"]).await;
    let headers = BTreeMap::from([("Authorization".to_owned(), vec!["Bearer hidden".to_owned()])]);
    node.add(Draft { headers, ..draft("a", &receiver) }).await;
    node.moved(1, &["v1"]).await;
    let received = got(&receiver, 1).await.swap_remove(0);
    assert_eq!(received.header("authorization"), "Bearer hidden");
    let (_, attempts) = node.attempted("a", 1).await;
    let shown = &attempts[0].request_headers;
    assert!(shown.contains("authorization: …") && !shown.contains("hidden"), "{shown}");
    assert!(
        shown.contains(received.header("webhook-id")) && shown.contains("webhook-signature: …"),
        "{shown}"
    );
    assert!(!shown.contains(received.header("webhook-signature")), "{shown}");
}

#[tokio::test]
async fn a_paused_webhook_sends_nothing_and_then_everything() {
    let receiver = Receiver::start(Behaviour::good()).await;
    let other = Receiver::start(Behaviour::good()).await;
    let node = node(&["127.0.0.1"]).await;
    node.add(draft("a", &receiver)).await;
    node.add(draft("b", &other)).await;
    node.webhooks.pause(&name("a")).await.unwrap();
    node.moved(1, &["v1", "v2"]).await;
    node.webhooks.test(&name("a"), registry_core::types::Cause::UNKNOWN).await.unwrap();
    node.all_are("b", 2, DeliveryState::Delivered).await;
    assert_eq!(receiver.count(), 0);
    node.webhooks.resume(&name("a")).await.unwrap();
    node.all_are("a", 3, DeliveryState::Delivered).await;
}

#[tokio::test]
async fn numbers_tell_of_receivers_that_lag() {
    let (good, bad) =
        (Receiver::start(Behaviour::good()).await, Receiver::start(Behaviour::status(500)).await);
    let node = node(&["127.0.0.1"]).await;
    node.add(draft("bad", &bad)).await;
    node.add(draft("good", &good)).await;
    node.moved(1, &["v1"]).await;
    node.attempted("bad", 1).await;
    node.all_are("good", 1, DeliveryState::Delivered).await;
    let numbers = eventually("the numbers are there", async || {
        let numbers = node.webhooks.numbers().await.unwrap();
        (numbers.delivered == 1 && numbers.failed == 1).then_some(numbers)
    })
    .await;
    let waiting: Vec<_> =
        numbers.webhooks.iter().map(|webhook| (webhook.name.as_str(), webhook.waiting)).collect();
    assert_eq!(waiting, [("bad", 1), ("good", 0)]);
    assert!(numbers.webhooks[0].waiting_since_ms.is_some() && numbers.webhooks[1].waiting_since_ms.is_none());
}
