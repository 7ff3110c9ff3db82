//! Layers large enough to be sent in a way of their own, and what else happens on their connections.

use std::time::Duration;

use registry_core::api::ServeOptions;
use registry_testing::{Content, RawConnection, TestRegistry, eventually};

use super::{SHORT, connect, impatient};

const LAYER_BYTES: usize = 8_000_000;

async fn pushed(registry: &TestRegistry, seed: u64) -> (Content, String) {
    let layer = Content::random(seed, LAYER_BYTES);
    registry.client().push_blob("app", &layer).await.unwrap();
    let path = format!("/v2/app/blobs/{}", layer.digest);
    (layer, path)
}

#[tokio::test]
async fn layers_and_what_is_asked_after_them_share_a_connection() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let (layer, path) = pushed(&registry, 31).await;
    let get = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    let head = format!("HEAD {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    let part = format!("GET {path} HTTP/1.1\r\nhost: x\r\nrange: bytes=1000000-5999999\r\n\r\n");
    let mut connection = connect(&registry).await;
    for _ in 0..3 {
        // All at once: what follows a layer has arrived before the layer is sent.
        let all = [&get[..], &head, &part, "GET /v2/ HTTP/1.1\r\nhost: x\r\n\r\n", &get].concat();
        connection.send(all).await.unwrap();
        assert_eq!(connection.answer().await.unwrap().body, layer.bytes);
        assert_eq!(connection.answer_to_head().await.unwrap().headers["content-length"], "8000000");
        let answer = connection.answer().await.unwrap();
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (206, &layer.bytes[1_000_000..6_000_000]));
        assert_eq!(connection.answer().await.unwrap().status, 200);
        assert_eq!(connection.answer().await.unwrap().body, layer.bytes);
    }
}

#[tokio::test]
async fn a_layer_that_takes_long_is_followed_by_another_request() {
    const BURST_BYTES: usize = 1_000_000;
    let registry = impatient().await;
    let layer = Content::random(32, 20 * BURST_BYTES);
    registry.client().push_blob("app", &layer).await.unwrap();
    let mut connection = connect(&registry).await;
    let get = format!("GET /v2/app/blobs/{} HTTP/1.1\r\nhost: x\r\n\r\n", layer.digest);
    connection.send(get).await.unwrap();
    let mut received = Vec::new();
    // Longer than a head may take, and than a connection may be idle; no pause is as long as a peer may stall.
    while received.len() < layer.bytes.len() {
        tokio::time::sleep(SHORT / 5).await;
        let enough = received.len() + BURST_BYTES;
        while received.len() < enough.min(layer.bytes.len()) {
            let some = connection.some().await;
            assert!(!some.is_empty(), "cut off after {} bytes", received.len());
            received.extend(some);
        }
    }
    connection.send("GET /v2/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    received.extend(connection.rest().await);
    let begin = received.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let (body, next) = received[begin..].split_at(layer.bytes.len());
    assert!(body == layer.bytes && next.starts_with(b"HTTP/1.1 200 OK\r\n"));
}

/// Until a registry that was told to stop has closed its listener.
async fn takes_no_connection(address: &str) {
    eventually("the listener is closed", async || RawConnection::open(address).await.err().map(drop)).await;
}

#[tokio::test]
async fn a_registry_that_stops_sends_its_layers_to_the_end() {
    let serve = ServeOptions::default().drain(Duration::from_secs(20));
    let registry = TestRegistry::on_disk(|builder| builder.serve_options(serve)).await;
    let (layer, path) = pushed(&registry, 33).await;
    let mut connection = RawConnection::open_narrow(registry.address()).await.unwrap();
    let then = "GET /v2/ HTTP/1.1\r\nhost: x\r\n\r\n";
    connection.send(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n{then}")).await.unwrap();
    let mut received = connection.some().await;
    assert!(received.starts_with(b"HTTP/1.1 200 OK\r\n"));
    let address = registry.address().to_owned();
    let stop = tokio::spawn(registry.stop());
    takes_no_connection(&address).await;
    received.extend(connection.rest().await);
    // No request begins any more.
    assert!(received.ends_with(&layer.bytes), "{} bytes came", received.len());
    tokio::time::timeout(Duration::from_secs(5), stop).await.unwrap().unwrap();
}

/// The last piece of a layer may wait in a buffer when the registry is told to stop. Connections that end with their answer are
/// served by hyper alone.
#[tokio::test]
async fn a_registry_that_stops_sends_the_last_piece_too() {
    const READERS: usize = 16;
    let serve = ServeOptions::default().drain(Duration::from_secs(20));
    let registry = TestRegistry::on_disk(|builder| builder.serve_options(serve)).await;
    let (layer, path) = pushed(&registry, 35).await;
    let mut readers = Vec::new();
    for index in 0..READERS {
        let mut connection = RawConnection::open_narrow(registry.address()).await.unwrap();
        connection
            .send(format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"))
            .await
            .unwrap();
        // Each stops at another place.
        let mut received = Vec::new();
        while received.len() < index * LAYER_BYTES / READERS {
            received.extend(connection.some().await);
        }
        readers.push((connection, received));
    }
    let address = registry.address().to_owned();
    let stop = tokio::spawn(registry.stop());
    takes_no_connection(&address).await;
    for (mut connection, mut received) in readers {
        received.extend(connection.rest().await);
        assert!(received.ends_with(&layer.bytes[1_000_000..]), "{} bytes came", received.len());
    }
    tokio::time::timeout(Duration::from_secs(5), stop).await.unwrap().unwrap();
}

#[tokio::test]
async fn what_was_sent_of_a_layer_is_counted() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let (layer, path) = pushed(&registry, 34).await;
    let sent_bytes = || {
        let text = registry.app().metrics.render();
        let lines = text.lines().filter(|line| {
            line.starts_with("registry_http_response_size_bytes_sum") && line.contains("blob")
        });
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>()
    };
    let before = sent_bytes();
    let mut connection = RawConnection::open_narrow(registry.address()).await.unwrap();
    connection.send(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")).await.unwrap();
    let begin = connection.some().await;
    assert!(begin.starts_with(b"HTTP/1.1 200 OK\r\n"));
    // Not before it is over.
    assert!((sent_bytes() - before).abs() < 1.0);
    let mut received_bytes = begin.len();
    while received_bytes < LAYER_BYTES {
        received_bytes += connection.some().await.len();
    }
    eventually("the layer is counted", async || {
        (sent_bytes() - before >= layer.bytes.len() as f64).then_some(())
    })
    .await;
}
