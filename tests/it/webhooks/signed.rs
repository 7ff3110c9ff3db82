//! Signatures, as the Standard Webhooks project's own library verifies them.

use std::time::Duration;

use http::HeaderMap;
use registry_core::types::Cause;
use registry_testing::{Behaviour, Received, Receiver};
use registry_webhooks::{DeliveryState, WebhookSecret};
use standardwebhooks::Webhook;

use super::{draft, got, name, node};

fn verifies(secret: &WebhookSecret, body: &[u8], headers: &HeaderMap) -> bool {
    Webhook::new(secret.expose()).unwrap().verify(body, headers).is_ok()
}

fn is_good(secret: &WebhookSecret, received: &Received) -> bool {
    verifies(secret, &received.body, &received.headers)
}

#[tokio::test]
async fn a_receiver_verifies_what_it_gets() {
    let receiver = Receiver::start(Behaviour::good()).await;
    let node = node(&["127.0.0.1"]).await;
    let secret = node.add(draft("a", &receiver)).await;
    node.moved(1, &["v1"]).await;
    let received = got(&receiver, 1).await.swap_remove(0);
    assert_eq!((received.method.as_str(), received.path.as_str()), ("POST", "/hook"));
    assert_eq!(received.header("content-type"), "application/cloudevents+json");
    assert!(is_good(&secret, &received));
    let event = received.json();
    assert_eq!(event["id"], received.header("webhook-id"));
    assert_eq!(
        (&event["type"], &event["subject"]),
        (&"registry.tag.moved.v1".into(), &"acme/app-1:v1".into())
    );

    // It is the body, the id, the time and the secret that are verified.
    let other = WebhookSecret::generate().unwrap();
    assert!(!is_good(&other, &received));
    let tampered = String::from_utf8_lossy(&received.body).replace("v1", "v2");
    assert!(!verifies(&secret, tampered.as_bytes(), &received.headers));
    for (header, value) in [("webhook-id", "msg_other"), ("webhook-timestamp", "1700000000")] {
        let mut headers = received.headers.clone();
        headers.insert(header, value.parse().unwrap());
        assert!(!verifies(&secret, &received.body, &headers), "{header}");
    }
}

#[tokio::test]
async fn while_a_secret_is_changed_the_former_one_verifies_too() {
    let receiver = Receiver::start(Behaviour::good()).await;
    let node = node(&["127.0.0.1"]).await;
    let first = node.add(draft("a", &receiver)).await;
    let second = node.webhooks.rotate(&name("a"), Duration::from_secs(3600)).await.unwrap();
    node.moved(1, &["v1"]).await;
    let received = got(&receiver, 1).await.swap_remove(0);
    assert!(is_good(&first, &received) && is_good(&second, &received));

    let third = node.webhooks.rotate(&name("a"), Duration::ZERO).await.unwrap();
    node.moved(1, &["v2"]).await;
    let received = got(&receiver, 2).await.swap_remove(1);
    assert!(is_good(&third, &received) && !is_good(&second, &received) && !is_good(&first, &received));
}

#[tokio::test]
async fn a_message_that_is_sent_again_is_signed_anew_under_its_id() {
    let receiver = Receiver::start(Behaviour::good()).await;
    let node = node(&["127.0.0.1"]).await;
    let secret = node.add(draft("a", &receiver)).await;
    let id = node.webhooks.test(&name("a"), Cause::by("ada")).await.unwrap();
    let test = got(&receiver, 1).await.swap_remove(0);
    assert_eq!(test.header("webhook-id"), id.to_string());
    assert_eq!(test.json()["type"], "registry.webhook.test.v1");
    node.all_are("a", 1, DeliveryState::Delivered).await;

    node.webhooks.redeliver(&name("a"), id).await.unwrap();
    let again = got(&receiver, 2).await.swap_remove(1);
    assert_eq!((again.header("webhook-id"), &again.body), (test.header("webhook-id"), &test.body));
    assert!(is_good(&secret, &again));
    node.all_are("a", 1, DeliveryState::Delivered).await;

    let new = node.webhooks.send_anew(&name("a"), id).await.unwrap();
    let anew = got(&receiver, 3).await.swap_remove(2);
    assert_eq!(anew.header("webhook-id"), new.to_string());
    assert_eq!(anew.json()["data"], test.json()["data"]);
    assert!(is_good(&secret, &anew));
}
