//! The heads of requests: slow, endless, or none at all.

use super::{A_WHILE, SHORT, connect, impatient, still_serves};
use registry_core::api::{Limits, ServeOptions, Tls, TlsOptions};
use registry_testing::{Content, Image, Random, TestRegistry, within};
use std::time::Duration;

#[tokio::test]
async fn a_head_that_does_not_end_is_given_up() {
    let registry = impatient().await;
    for begun in [
        "",
        "GET",
        "GET /v2/ HTTP/1.1\r\n",
        "GET /v2/ HTTP/1.1\r\nhost: x\r\n",
        "GET /v2/ HTTP/1.1\r\nhost: x\r\nx-sl",
    ] {
        let mut connection = connect(&registry).await;
        connection.send(begun).await.unwrap();
        let rest = connection.rest().await;
        assert!(!rest.starts_with(b"HTTP/1.1 2"), "{begun:?}: {}", String::from_utf8_lossy(&rest));
    }
    still_serves(&registry).await;
}

#[tokio::test]
async fn a_head_that_trickles_is_given_up_too() {
    let registry = impatient().await;
    let mut connection = connect(&registry).await;
    connection.send("GET /v2/ HTTP/1.1\r\nhost: x\r\nx-slow: ").await.unwrap();
    let trickle = async {
        // A byte now and then, so that the connection is never silent for long.
        while connection.send("a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within("the registry gives up", trickle).await;
    still_serves(&registry).await;
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let registry = impatient().await;
    let mut connection = connect(&registry).await;
    connection.send("GET /v2/ HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert_eq!(connection.answer().await.unwrap().status, 200);
    assert!(connection.rest().await.is_empty());
}

#[tokio::test]
async fn a_connection_goes_on_after_a_rest_and_after_an_answer_that_was_taken_late() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    // More than the sockets hold, so that the end of the answer waits in the server.
    let blob = Content::random(1, 16 << 20);
    registry.client().push_blob("late", &blob).await.unwrap();
    let mut connection = connect(&registry).await;
    for _ in 0..3 {
        connection
            .send(format!("GET /v2/late/blobs/{} HTTP/1.1\r\nhost: x\r\n\r\n", blob.digest))
            .await
            .unwrap();
        tokio::time::sleep(A_WHILE).await;
        assert_eq!(connection.answer().await.unwrap().body.len(), blob.bytes.len());
        tokio::time::sleep(A_WHILE).await;
        // A head that comes in pieces, with a rest before and between.
        connection.send("GET /v2/ HT").await.unwrap();
        tokio::time::sleep(A_WHILE).await;
        connection.send("TP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        assert_eq!(connection.answer().await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn heads_without_measure_are_refused() {
    let registry = TestRegistry::start().await;
    let large = format!("GET /v2/ HTTP/1.1\r\nhost: x\r\nx-large: {}\r\n\r\n", "a".repeat(300_000));
    let many = format!("GET /v2/ HTTP/1.1\r\nhost: x\r\n{}\r\n", "x-many: 1\r\n".repeat(5000));
    let long = format!("GET /v2/{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(300_000));
    for (what, head) in [("a large header", large), ("many headers", many), ("a long path", long)] {
        let mut connection = connect(&registry).await;
        // The registry may close before everything was sent.
        let _ = connection.send(head).await;
        if let Some(answer) = connection.answer().await {
            assert!(matches!(answer.status.as_u16(), 400 | 414 | 431), "{what}: {}", answer.status);
        }
        assert!(connection.rest().await.is_empty(), "{what}");
    }
    still_serves(&registry).await;
}

#[tokio::test]
async fn a_header_that_never_ends_is_cut_off() {
    // The answer to it must arrive, so that some of what follows is read and thrown away.
    const SENT_BYTES_MAX: usize = 160 * 1024 * 1024;
    let registry = TestRegistry::start().await;
    for begin in ["GET /v2/ HTTP/1.1\r\nhost: x\r\nx-endless: ", "GET /v2/"] {
        let mut connection = connect(&registry).await;
        connection.send(begin).await.unwrap();
        let block = vec![b'a'; 64 * 1024];
        let mut sent_bytes = 0;
        while sent_bytes < SENT_BYTES_MAX && connection.send(&block).await.is_ok() {
            sent_bytes += block.len();
        }
        assert!(sent_bytes < SENT_BYTES_MAX, "{begin:?}: the registry took {sent_bytes} bytes of a head");
    }
    still_serves(&registry).await;
}

#[tokio::test]
async fn noise_is_not_answered_with_success() {
    let registry = impatient().await;
    let mut random = Random::seeded(9);
    let http2_and_noise = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &random.bytes(1000)].concat();
    let mut cases = vec![
        http2_and_noise,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"GET\r\n\r\n".to_vec(),
        b"GET /v2/\r\n\r\n".to_vec(),
        b"GET /v2/ HTTP/9.9\r\nhost: x\r\n\r\n".to_vec(),
        b"GET /v2/ HTTP/1.1\r\nhost x\r\n\r\n".to_vec(),
        b"GET /v2/\x00 HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        b"\r\n\r\n\r\n\r\n".to_vec(),
    ];
    cases.extend((0..8).map(|_| random.bytes(2000).to_vec()));
    for bytes in cases {
        let mut connection = connect(&registry).await;
        let _ = connection.send(&bytes).await;
        let rest = connection.rest().await;
        assert!(!rest.starts_with(b"HTTP/1.1 2"), "{bytes:?}");
    }
    still_serves(&registry).await;
}

#[tokio::test]
async fn old_clients_are_served_and_then_let_go() {
    let registry = TestRegistry::start().await;
    let mut connection = connect(&registry).await;
    connection.send("GET /v2/ HTTP/1.0\r\n\r\n").await.unwrap();
    let answer = connection.answer().await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, b"{}");
    assert!(connection.rest().await.is_empty());
}

#[tokio::test]
async fn old_clients_get_lists_without_chunks() {
    let registry = TestRegistry::start().await;
    registry.client().push("app", "latest", &Image::random(15)).await.unwrap();
    let mut connection = connect(&registry).await;
    connection.send("GET /v2/app/tags/list HTTP/1.0\r\n\r\n").await.unwrap();
    let answer = String::from_utf8(connection.rest().await).unwrap();
    assert!(answer.ends_with("\r\n\r\n{\"name\":\"app\",\"tags\":[\"latest\"]}"), "{answer}");
}

#[tokio::test]
async fn requests_may_name_the_whole_url() {
    let registry = TestRegistry::start().await;
    let mut connection = connect(&registry).await;
    connection
        .send("POST http://other.example/v2/app/blobs/uploads/ HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(connection.answer().await.unwrap().status, 202);
}

#[tokio::test]
async fn a_tls_handshake_that_stops_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let registry = {
        let made = registry_core::selfsigned::find_or_make(folder.path(), &["localhost".to_owned()]).unwrap();
        let tls = Tls::load(TlsOptions::new(made.certificate, made.key));
        let limits = Limits::default().head_timeout(SHORT);
        let serve = ServeOptions::default().tls(Some(std::sync::Arc::new(tls.unwrap()))).limits(limits);
        TestRegistry::with(|builder| builder.serve_options(serve)).await
    };
    for begun in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"] {
        let mut connection = connect(&registry).await;
        connection.send(begun).await.unwrap();
        connection.rest().await;
    }
}
