//! Pulls, for receivers of the Go registry's format: from memory.

use registry_core::types::RequestSource;
use registry_testing::{Behaviour, Content, Receiver, ServerOptions, eventually};
use registry_webhooks::{Endpoint, NOTICES_WAITING_MAX, Notice};

use super::{got, node, node_with};

fn pull(number: usize) -> Notice {
    Notice {
        action: "pull",
        at_ms: 1_796_081_403_592,
        repository: "acme/app".into(),
        from_repository: None,
        tag: Some(format!("v{number}")),
        digest: "sha256:a3aa9a6043e00956389f9e9ac582e89b5acda67f142cb2b9f4ca1ab146b651d7".into(),
        media_type: "application/vnd.oci.image.manifest.v1+json".into(),
        size_bytes: 392,
        is_manifest: true,
        actor: None,
        request: RequestSource::new("1", None, None, "GET", None),
    }
}

fn endpoint(name: &str, receiver: &Receiver) -> Endpoint {
    Endpoint { name: name.into(), url: receiver.url().into(), ..Endpoint::default() }
}

#[tokio::test]
async fn pulls_are_told_in_their_order_to_endpoints_that_want_them() {
    let (all, none) = (Receiver::start(Behaviour::good()).await, Receiver::start(Behaviour::good()).await);
    let ignoring = Endpoint { ignored_actions: vec!["pull".into()], ..endpoint("none", &none) };
    let definitions = [endpoint("all", &all), ignoring].map(|endpoint| endpoint.check().unwrap());
    let node = node_with(&[], definitions.to_vec()).await;
    assert!(node.webhooks.wants_notices());
    (0..20).for_each(|number| node.webhooks.note(&pull(number)));
    let received = got(&all, 20).await;
    let tags: Vec<_> =
        received.iter().map(|received| received.json()["events"][0]["target"]["tag"].clone()).collect();
    assert_eq!(tags, (0..20).map(|number| format!("v{number}")).collect::<Vec<_>>());
    assert_eq!(none.count(), 0);
}

#[tokio::test]
async fn a_failure_is_tried_again_and_loses_no_pull() {
    let receiver = Receiver::start(Behaviour::status(503)).await;
    let node = node_with(&[], vec![endpoint("a", &receiver).check().unwrap()]).await;
    (0..3).for_each(|number| node.webhooks.note(&pull(number)));
    let first = got(&receiver, 1).await.swap_remove(0);
    receiver.behave(Behaviour::good());
    let received = got(&receiver, 4).await;
    assert_eq!(received[1].body, first.body, "the same, with its id");
    let tags: Vec<_> =
        received[1..].iter().map(|received| received.json()["events"][0]["target"]["tag"].clone()).collect();
    assert_eq!(tags, ["v0", "v1", "v2"]);
}

#[tokio::test]
async fn what_waits_in_memory_is_bounded_and_counted() {
    let receiver = Receiver::start(Behaviour::Hang).await;
    let node = node_with(&[], vec![endpoint("a", &receiver).check().unwrap()]).await;
    node.webhooks.note(&pull(0));
    got(&receiver, 1).await;
    (0..NOTICES_WAITING_MAX + 7).for_each(|number| node.webhooks.note(&pull(number)));
    let numbers =
        eventually("the numbers are there", async || Some(node.webhooks.numbers().await.unwrap())).await;
    assert_eq!((numbers.notices_waiting, numbers.notices_dropped), (NOTICES_WAITING_MAX as u64, 7));
}

#[tokio::test]
async fn without_an_endpoint_pulls_are_not_wanted() {
    assert!(!node(&[]).await.webhooks.wants_notices());
}

#[tokio::test]
async fn a_server_tells_what_clients_do_with_blobs() {
    let receiver = Receiver::start(Behaviour::good()).await;
    let endpoints = format!("{{endpoints: [{{name: all, url: \"{}\"}}]}}", receiver.url());
    let server = ServerOptions::new().variable("REGISTRY_NOTIFICATIONS", &endpoints).start().await;
    let (client, blob) = (server.client(), Content::random(1, 100));
    client.push_blob("app", &blob).await.unwrap();
    let path = format!("/v2/app/blobs/{}", blob.digest);
    client.get(&path).expect(200).await;
    client.delete(&path).expect(202).await;
    let told = got(&receiver, 3).await;
    let told: Vec<_> = told.iter().map(|call| call.json()["events"][0].clone()).collect();
    let actions: Vec<_> = told.iter().map(|event| event["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["push", "pull", "delete"]);
    let deleted = &told[2]["target"];
    assert_eq!(deleted["digest"], blob.digest.to_string());
    assert_eq!((&deleted["repository"], deleted.get("url")), (&"app".into(), None), "{deleted}");
}
