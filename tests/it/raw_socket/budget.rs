//! What peers make a server hold has a bound, however many they are and however little they take.

use super::http2::Http2;
use registry_core::types::MediaType;
use registry_testing::{Client, Content, RawConnection, Server, ServerOptions, TestRegistry, eventually};

const MIB: usize = 1024 * 1024;

/// What a server may hold, whatever its peers do.
const MEMORY_BYTES_MAX: u64 = 128_000_000;

async fn still_serves(server: &Server) {
    let client = server.client();
    client.get("/v2/").expect(200).await;
    let blob = Content::random(77, 10_000);
    client.push_blob("others", &blob).await.unwrap();
    client.pull_blob("others", &blob).await.unwrap();
}

#[track_caller]
fn holds_little(server: &Server) {
    let held = server.memory_bytes();
    assert!(held < MEMORY_BYTES_MAX, "the server holds {} MB", held / 1_000_000);
}

/// A manifest of about four megabytes that refers to nothing, told from others by its number.
async fn push_large_manifest(client: &Client, repository: &str, number: usize) -> Content {
    let config = Content::new(MediaType::OCTET_STREAM, "{}");
    client.push_blob(repository, &config).await.unwrap();
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"a/b","digest":"{}","size":2}},"layers":[],"annotations":{{"n":"{number}","x":"{}"}}}}"#,
        MediaType::OCI_MANIFEST,
        config.digest,
        "x".repeat(4 * MIB - 1000),
    );
    let manifest = Content::new(MediaType::OCI_MANIFEST, text);
    let path = format!("/v2/{repository}/manifests/v{number}");
    client
        .put(&path)
        .header("content-type", manifest.media_type.as_str())
        .body(manifest.bytes.clone())
        .expect(201)
        .await;
    manifest
}

#[tokio::test]
async fn ranges_on_many_connections_are_not_mapped_at_once() {
    const CONNECTIONS: usize = 1100;
    const RANGES: usize = 64;
    let server = Server::start().await;
    let blob = Content::random(1, RANGES * MIB + RANGES);
    server.client().push_blob("ranges", &blob).await.unwrap();
    let before = server.mappings();
    let ranges: Vec<String> = (0..RANGES)
        .map(|number| number * (MIB + 1))
        .map(|first| format!("{first}-{}", first + MIB - 1))
        .collect();
    let request = format!(
        "GET /v2/ranges/blobs/{} HTTP/1.1\r\nhost: localhost\r\nrange: bytes={}\r\n\r\n",
        blob.digest,
        ranges.join(",")
    );
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut connection = RawConnection::open_narrow(server.address()).await.unwrap();
        connection.send(&request).await.unwrap();
        connections.push(connection);
    }
    for connection in &mut connections {
        let begun = connection.some().await;
        assert!(begun.starts_with(b"HTTP/1.1 206"), "{}", String::from_utf8_lossy(&begun));
    }
    let mapped = server.mappings() - before;
    assert!(mapped <= CONNECTIONS + 200, "{mapped} pieces are mapped for {CONNECTIONS} connections");
    holds_little(&server);
    still_serves(&server).await;
}

#[tokio::test]
async fn readers_of_one_manifest_share_it() {
    let server = Server::start().await;
    let manifest = push_large_manifest(&server.client(), "large", 0).await;
    let path = format!("/v2/large/manifests/{}", manifest.digest);
    let mut closed = Http2::open(server.address(), 0).await;
    closed.get(std::iter::repeat_n(path.as_str(), 100)).await;
    let answered = closed.answers(100).await;
    assert!((16..=100).contains(&answered), "{answered} were answered");
    let mut slow = Vec::new();
    for _ in 0..60 {
        let mut connection = RawConnection::open_narrow(server.address()).await.unwrap();
        connection.send(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await.unwrap();
        let begun = connection.some().await;
        assert!(begun.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&begun));
        slow.push(connection);
    }
    holds_little(&server);
    still_serves(&server).await;
}

#[tokio::test]
async fn different_manifests_are_refused_when_they_are_too_many() {
    const CONNECTIONS: usize = 8;
    /// As many as one connection may have at once.
    const EACH: usize = 3;
    let server = Server::start().await;
    let mut paths = Vec::new();
    for number in 0..CONNECTIONS * EACH {
        push_large_manifest(&server.client(), "large", number).await;
        paths.push(format!("/v2/large/manifests/v{number}"));
    }
    let mut closed = Vec::new();
    let mut served = 0;
    for paths in paths.chunks(EACH) {
        let mut connection = Http2::open(server.address(), 0).await;
        connection.get(paths.iter().map(String::as_str)).await;
        served += connection.answers(EACH).await;
        closed.push(connection);
    }
    assert!((EACH..CONNECTIONS * EACH / 2).contains(&served), "{served} were served");
    let client = server.client();
    let unlucky = client.get(&paths[CONNECTIONS * EACH - 1]).expect(503).await;
    assert_eq!(unlucky.must_have("retry-after"), "1");
    holds_little(&server);
    still_serves(&server).await;
    // What they held comes back with their end.
    drop(closed);
    eventually("there is memory again", async || {
        (client.get(&paths[CONNECTIONS * EACH - 1]).send().await.unwrap().status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn manifests_that_do_not_end_are_counted_before_they_come() {
    let server = Server::start().await;
    for framing in ["content-length: 4194304\r\n\r\n", "transfer-encoding: chunked\r\n\r\n400000\r\n"] {
        let head = format!(
            "PUT /v2/app/manifests/x HTTP/1.1\r\nhost: localhost\r\ncontent-type: {}\r\n{framing}",
            MediaType::OCI_MANIFEST
        );
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..60 {
            let (address, head) = (server.address().to_owned(), head.clone());
            waiting.spawn(async move {
                let mut connection = RawConnection::open(&address).await.unwrap();
                connection.send(head).await.unwrap();
                connection.send(vec![b' '; 4 * MIB - 1]).await.unwrap();
                // The last byte is missing; whatever is refused is told so.
                let answer = connection.answer().await;
                (answer.map(|answer| answer.status.as_u16()), connection)
            });
        }
        let mut refused = Vec::new();
        while refused.len() < 51 {
            let (status, connection) = waiting.join_next().await.unwrap().unwrap();
            assert_eq!(status, Some(503), "{framing:?}");
            refused.push(connection);
        }
        holds_little(&server);
        still_serves(&server).await;
        waiting.shutdown().await;
    }
}

#[tokio::test]
async fn layers_that_nobody_takes_over_http2_hold_little() {
    let server = ServerOptions::new().variable("REGISTRY_HTTP_LIMITS_BODYIDLETIMEOUT", "5m").start().await;
    let client = server.client();
    let blob = Content::random(2, 4 * MIB);
    client.push_blob("layers", &blob).await.unwrap();
    let path = format!("/v2/layers/blobs/{}", blob.digest);
    let mut connections = Vec::new();
    for _ in 0..10 {
        let mut connection = Http2::open(server.address(), 1).await;
        connection.get(std::iter::repeat_n(path.as_str(), 100)).await;
        connection.answers(100).await;
        connections.push(connection);
    }
    holds_little(&server);
    still_serves(&server).await;
    drop(connections);
}

#[tokio::test]
async fn an_http2_answer_that_waits_for_its_window_ends_with_the_patience() {
    let registry = super::impatient().await;
    let client = registry.client();
    let blob = Content::random(3, 1000);
    client.push_blob("short", &blob).await.unwrap();
    let path = format!("/v2/short/blobs/{}", blob.digest);
    drop(client);
    let mut closed = Http2::open(registry.address(), 0).await;
    closed.get([path.as_str()]).await;
    assert_eq!(closed.answers(1).await, 1);
    super::no_connection_left(&registry).await;
    eventually("what it held is back", async || {
        (registry.server().budget.memory_bytes() == 0 && registry.server().budget.files() == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_address_holds_no_more_connections_than_its_share() {
    let registry = super::impatient_with(|limits| limits.connections_per_address(Some(3))).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut connection = super::connect(&registry).await;
        connection.send("GET /v2/ HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        assert_eq!(connection.answer().await.unwrap().status, 200);
        held.push(connection);
    }
    let mut refused = super::connect(&registry).await;
    let _ = refused.send("GET /v2/ HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(refused.rest().await.is_empty());
    drop(held);
    super::no_connection_left(&registry).await;
    super::still_serves(&registry).await;
}

#[tokio::test]
async fn idle_connections_leave_descriptors_for_requests() {
    const CONNECTIONS: usize = 300;
    let server = ServerOptions::new().open_files(512).start().await;
    server.log().wait_for("serves 128 connections at once").await;
    let client = server.client();
    let blob = Content::random(5, 2_000_000);
    client.push_blob("few", &blob).await.unwrap();
    let mut idle = Vec::new();
    for _ in 0..CONNECTIONS {
        idle.push(RawConnection::open(server.address()).await.unwrap());
    }
    // The client has its connection; nothing that it asks for lacks a descriptor.
    client.pull_blob("few", &blob).await.unwrap();
    assert!(server.open_files() < 512 - 64, "{} files are open", server.open_files());
}

#[tokio::test]
async fn many_connections_of_one_address_leave_memory_to_others() {
    const CONNECTIONS: usize = 24;
    /// Proxies that are trusted name their clients, so this test can be several of them.
    const FROM: [&str; 2] = ["192.0.2.1", "192.0.2.2"];
    let config = "version: 0.1\nhttp: {trustedproxies: [127.0.0.0/8]}\n";
    let server = ServerOptions::new().config(config).start().await;
    let client = server.client();
    let mut paths = Vec::new();
    for number in 0..CONNECTIONS {
        push_large_manifest(&client, "large", number).await;
        paths.push(format!("/v2/large/manifests/v{number}"));
    }
    let mut held = Vec::new();
    let mut statuses = Vec::new();
    for path in &paths[1..] {
        let mut connection = RawConnection::open_narrow(server.address()).await.unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nx-forwarded-for: {}\r\n\r\n", FROM[0]);
        connection.send(request).await.unwrap();
        statuses.push(connection.some().await[9..12].to_vec());
        held.push(connection);
    }
    let served = statuses.iter().filter(|status| *status == b"200").count();
    assert_eq!(served, 6, "two thirds of 36 MiB are six manifests of almost 4 MiB");
    assert!(statuses.iter().all(|status| status == b"200" || status == b"503"));
    client.get(&paths[0]).header("x-forwarded-for", FROM[0]).expect(503).await;
    client.get(&paths[0]).header("x-forwarded-for", FROM[1]).expect(200).await;
    server.log().wait_for("http.trustedproxies").await;
    drop(held);
    eventually("there is memory again", async || {
        let answer = client.get(&paths[0]).header("x-forwarded-for", FROM[0]).send().await.unwrap();
        (answer.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_length_that_is_said_holds_nothing() {
    const CONNECTIONS: usize = 60;
    let registry = TestRegistry::start().await;
    let mut waiting = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut connection = super::connect(&registry).await;
        let head = format!(
            "PUT /v2/app/manifests/x HTTP/1.1\r\nhost: localhost\r\ncontent-type: {}\r\ncontent-length: 4194304\r\n\r\n ",
            MediaType::OCI_MANIFEST
        );
        connection.send(head).await.unwrap();
        waiting.push(connection);
    }
    let held = eventually("all of them are read", async || {
        let held = registry.server().budget.memory_bytes();
        (held >= CONNECTIONS * 256 * 1024).then_some(held)
    })
    .await;
    assert!(held <= CONNECTIONS * 256 * 1024, "{held} bytes are held for {CONNECTIONS} bytes");
    super::still_serves(&registry).await;
}

/// What a manifest becomes when it is parsed counts as well, for as long as it waits for the database.
#[tokio::test]
async fn many_manifests_of_many_small_parts_hold_little() {
    const CONNECTIONS: usize = 300;
    let server = Server::start().await;
    let annotations: Vec<String> = (0..9_900).map(|number| format!("\"{number}\":\"\"")).collect();
    let annotations = annotations.join(",");
    let mut pushes = tokio::task::JoinSet::new();
    let config = Content::new(MediaType::OCTET_STREAM, "{}");
    server.client().push_blob("parts", &config).await.unwrap();
    for number in 0..CONNECTIONS {
        let text = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"a/b","digest":"{}","size":2}},"layers":[],"annotations":{{"n":"{number}",{annotations}}}}}"#,
            MediaType::OCI_MANIFEST,
            config.digest,
        );
        let client = server.client();
        pushes.spawn(async move {
            let path = format!("/v2/parts/manifests/v{number}");
            let push = client.put(&path).header("content-type", MediaType::OCI_MANIFEST.as_str());
            push.body(text).send().await.unwrap().status.as_u16()
        });
    }
    let statuses = pushes.join_all().await;
    assert!(statuses.iter().all(|status| [201, 503].contains(status)), "{statuses:?}");
    assert!(statuses.iter().filter(|status| **status == 201).count() >= 10, "{statuses:?}");
    let peak = server.memory_peak_bytes();
    assert!(peak < MEMORY_BYTES_MAX, "the server held {} MB", peak / 1_000_000);
    still_serves(&server).await;
}

#[tokio::test]
async fn a_large_head_counts_while_its_body_is_waited_for() {
    const PADDING_BYTES: usize = 40_000;
    let registry = TestRegistry::start().await;
    let session = registry.client().begin_upload("app").await.unwrap();
    let path = super::path_of(&session, &registry);
    let mut connection = super::connect(&registry).await;
    let padding = "x".repeat(PADDING_BYTES);
    let head =
        format!("PATCH {path} HTTP/1.1\r\nhost: localhost\r\nx: {padding}\r\ncontent-length: 10\r\n\r\nabc");
    connection.send(head).await.unwrap();
    let held = || registry.server().budget.memory_bytes();
    eventually("the head is counted", async || (held() >= PADDING_BYTES).then_some(())).await;
    connection.send("defghij").await.unwrap();
    assert!(connection.some().await.starts_with(b"HTTP/1.1 202"));
    eventually("the head is answered", async || (held() == 0).then_some(())).await;
}

#[tokio::test]
async fn uploads_count_as_open_files() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let session = client.begin_upload("app").await.unwrap();
    let path = super::path_of(&session, &registry);
    let mut connection = super::connect(&registry).await;
    let head = format!("PATCH {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nabc");
    connection.send(head).await.unwrap();
    let files = || registry.server().budget.files();
    eventually("the upload is counted", async || (files() == 1).then_some(())).await;
    drop(connection);
    eventually("the upload is over", async || (files() == 0).then_some(())).await;
}
