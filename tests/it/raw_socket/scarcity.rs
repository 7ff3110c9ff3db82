//! Readers that take nothing, and too little of what a server needs.

use super::{A_WHILE, SHORT, connect, impatient, impatient_with, no_connection_left};
use registry_testing::{Content, Image, Protocol, RawConnection, ServerOptions};
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_reader_that_takes_nothing_is_cut_off() {
    let registry = impatient().await;
    let client = registry.client();
    let blob = Content::random(6, 16_000_000);
    client.push_blob("slow", &blob).await.unwrap();
    drop(client);
    let mut readers = Vec::new();
    for _ in 0..3 {
        let mut connection = RawConnection::open_narrow(registry.address()).await.unwrap();
        let request = format!("GET /v2/slow/blobs/{} HTTP/1.1\r\nhost: x\r\n\r\n", blob.digest);
        connection.send(request).await.unwrap();
        readers.push(connection);
    }
    no_connection_left(&registry).await;
    for mut reader in readers {
        assert!(reader.rest().await.len() < blob.bytes.len());
    }
}

#[tokio::test]
async fn a_reader_that_is_merely_slow_is_served() {
    const BURST_BYTES: usize = 2_000_000;
    let registry = impatient().await;
    let blob = Content::random(7, 20_000_000);
    registry.client().push_blob("slow", &blob).await.unwrap();
    let mut connection = connect(&registry).await;
    let request =
        format!("GET /v2/slow/blobs/{} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", blob.digest);
    connection.send(request).await.unwrap();
    let (started, mut received) = (Instant::now(), Vec::new());
    while received.len() + BURST_BYTES < blob.bytes.len() {
        // A pause that is shorter than what is allowed; all of them together are longer.
        tokio::time::sleep(SHORT / 6).await;
        let enough = received.len() + BURST_BYTES;
        while received.len() < enough {
            let some = connection.some().await;
            assert!(!some.is_empty(), "cut off after {} bytes", received.len());
            received.extend(some);
        }
    }
    assert!(started.elapsed() > SHORT);
    received.extend(connection.rest().await);
    assert!(received.ends_with(&blob.bytes));
}

#[tokio::test]
async fn a_reader_that_takes_nothing_of_http2_is_cut_off() {
    let registry = impatient().await;
    let blob = Content::random(10, 16_000_000);
    registry.client().push_blob("slow", &blob).await.unwrap();
    let client = registry.client().speaking(Protocol::Http2);
    let mut downloads = Vec::new();
    for _ in 0..3 {
        let download = client.get(&format!("/v2/slow/blobs/{}", blob.digest)).open().await.unwrap();
        assert_eq!(download.status, 200);
        downloads.push(download);
    }
    drop(client);
    // Its connection answers pings and is never silent. It takes nothing all the same.
    no_connection_left(&registry).await;
    for mut download in downloads {
        let mut received_bytes = 0;
        while let Ok(Some(bytes)) = download.next().await {
            received_bytes += bytes.len();
        }
        assert!(received_bytes < blob.bytes.len());
    }
}

#[tokio::test]
async fn hundreds_of_slow_readers_take_little_memory() {
    const READERS: usize = 200;
    const GROWTH_BYTES_MAX: u64 = 6 * 1024 * 1024;
    let server = ServerOptions::new().variable("REGISTRY_HTTP_LIMITS_BODYIDLETIMEOUT", "60s").start().await;
    let blob = Content::random(8, 16_000_000);
    server.client().push_blob("slow", &blob).await.unwrap();
    server.client().pull_blob("slow", &blob).await.unwrap();
    let before = server.memory_bytes();
    let mut readers = Vec::new();
    for _ in 0..READERS {
        let mut connection = RawConnection::open_narrow(server.address()).await.unwrap();
        let request = format!("GET /v2/slow/blobs/{} HTTP/1.1\r\nhost: localhost\r\n\r\n", blob.digest);
        connection.send(request).await.unwrap();
        assert!(connection.some().await.starts_with(b"HTTP/1.1 200"));
        readers.push(connection);
    }
    let growth = server.memory_bytes().saturating_sub(before);
    assert!(growth < GROWTH_BYTES_MAX, "{READERS} slow readers take {growth} bytes");
    server.client().pull_blob("slow", &blob).await.unwrap();
    drop(readers);
}

#[tokio::test]
async fn hundreds_of_slow_readers_of_http2_take_little_memory() {
    const CONNECTIONS: usize = 7;
    const READERS_EACH: usize = 30;
    const GROWTH_BYTES_MAX: u64 = 64 * 1024 * 1024;
    let server = ServerOptions::new().variable("REGISTRY_HTTP_LIMITS_BODYIDLETIMEOUT", "60s").start().await;
    let blob = Content::random(16, 16_000_000);
    server.client().push_blob("slow", &blob).await.unwrap();
    server.client().pull_blob("slow", &blob).await.unwrap();
    let before = server.memory_bytes();
    let mut readers = Vec::new();
    for _ in 0..CONNECTIONS {
        let client = server.client().speaking(Protocol::Http2);
        for _ in 0..READERS_EACH {
            readers.push(client.get(&format!("/v2/slow/blobs/{}", blob.digest)).open().await.unwrap());
        }
    }
    // As much as the registry wants to keep ready for them.
    tokio::time::sleep(A_WHILE).await;
    let growth = server.memory_bytes().saturating_sub(before);
    assert!(growth < GROWTH_BYTES_MAX, "{} slow readers take {growth} bytes", readers.len());
    server.client().pull_blob("slow", &blob).await.unwrap();
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_their_turn() {
    let registry = impatient_with(|limits| {
        limits.connections_max(3).idle_timeout(Duration::from_secs(60)).head_timeout(Duration::from_secs(60))
    })
    .await;
    let mut inside = Vec::new();
    for _ in 0..3 {
        let mut connection = connect(&registry).await;
        connection.send("GET /v2/ HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        assert_eq!(connection.answer().await.unwrap().status, 200);
        inside.push(connection);
    }
    let mut outside = connect(&registry).await;
    outside.send("GET /v2/ HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(tokio::time::timeout(A_WHILE, outside.answer()).await.is_err(), "a fourth connection was served");
    drop(inside.pop());
    assert_eq!(outside.answer().await.unwrap().status, 200);
}

#[tokio::test]
async fn too_few_files_are_a_failure_and_no_loss() {
    let server = ServerOptions::new().start().await;
    let image = Image::random(14);
    server.client().push("app", "latest", &image).await.unwrap();
    let mut failed = 0;
    // From a registry that can not even accept a connection to one that lacks nothing.
    for spare in 0..6 {
        server.limit_open_files(Some(server.open_files() + spare));
        for seed in 0..4 {
            let (client, image) = (server.client(), Image::random(200 + seed));
            let push = async { client.push("app", &format!("t{seed}"), &image).await };
            match tokio::time::timeout(SHORT, push).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    failed += 1;
                    assert!(
                        error.is_disconnect() || error.status().is_some_and(|status| status >= 500),
                        "{error}"
                    );
                }
                Err(_) => failed += 1,
            }
        }
    }
    assert!(failed > 0, "pushes need no files");
    server.limit_open_files(None);
    server.client().pull("app", "latest", &image).await.unwrap();
    for seed in 0..4 {
        let image = Image::random(200 + seed);
        server.client().push("app", &format!("t{seed}"), &image).await.unwrap();
        server.client().pull("app", &format!("t{seed}"), &image).await.unwrap();
    }
}

#[tokio::test]
async fn sessions_that_are_begun_take_no_memory() {
    const GROWTH_BYTES_MAX: u64 = 4 * 1024 * 1024;
    let server = ServerOptions::new().start().await;
    let client = server.client();
    for _ in 0..200 {
        client.begin_upload("warm/up").await.unwrap();
    }
    let before = server.memory_bytes();
    for number in 0..2000 {
        client.begin_upload(&format!("many/r{number}")).await.unwrap();
    }
    let growth = server.memory_bytes().saturating_sub(before);
    assert!(growth < GROWTH_BYTES_MAX, "2000 sessions take {growth} bytes");
}
