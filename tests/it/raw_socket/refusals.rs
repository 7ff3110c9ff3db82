//! Answers that are sent while the client still sends: they arrive.

use std::sync::Arc;

use super::{connect, path_of};
use registry_core::auth::{AnonymousAccess, Authenticated};
use registry_testing::{RawConnection, RawResponse, TestRegistry};

/// Up to here the rest of a body is read and the connection is kept.
const KEPT_BYTES: usize = 256 * 1024;

const SIZES: [usize; 3] = [100_000, 5_000_000, 20_000_000];

/// Sends all of a request before it reads, as many programs do.
async fn send_first(
    connection: &mut RawConnection,
    line: &str,
    size_bytes: usize,
    is_chunked: bool,
) -> RawResponse {
    let block = vec![b'x'; 50_000];
    let framing = if is_chunked {
        "transfer-encoding: chunked".to_owned()
    } else {
        format!("content-length: {size_bytes}")
    };
    connection.send(format!("{line} HTTP/1.1\r\nhost: x\r\n{framing}\r\n\r\n")).await.unwrap();
    for _ in 0..size_bytes / block.len() {
        if is_chunked {
            connection.send(format!("{:x}\r\n", block.len())).await.expect("it may send");
        }
        connection.send(&block).await.expect("it may send");
        if is_chunked {
            connection.send("\r\n").await.expect("it may send");
        }
    }
    if is_chunked {
        connection.send("0\r\n\r\n").await.expect("it may send");
    }
    connection.answer().await.unwrap_or_else(|| panic!("{line}: no answer after {size_bytes} bytes"))
}

#[tokio::test]
async fn an_early_answer_reaches_a_client_that_sends_first() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let absent = "/v2/app/blobs/uploads/00000000-0000-4000-8000-000000000000";
    for size_bytes in SIZES {
        for (line, status) in [
            (format!("PATCH {absent}"), 404),
            (format!("PUT {absent}?digest=sha256:x"), 400),
            ("POST /v2/UPPER/blobs/uploads/".to_owned(), 400),
            ("PUT /v2/app/blobs/x".to_owned(), 405),
            ("POST /v2/app/tags/list".to_owned(), 405),
            ("POST /nowhere".to_owned(), 404),
        ] {
            for is_chunked in [false, true] {
                let mut connection = connect(&registry).await;
                let answer = send_first(&mut connection, &line, size_bytes, is_chunked).await;
                assert_eq!(answer.status, status, "{line}, {size_bytes} bytes");
                assert_eq!(answer.is_last(), size_bytes > KEPT_BYTES, "{line}, {size_bytes} bytes");
                if !answer.is_last() {
                    connection.send("GET /v2/ HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
                    assert_eq!(connection.answer().await.unwrap().status, 200, "{line}");
                }
            }
        }
    }
}

#[tokio::test]
async fn so_does_that_of_a_handler_which_began_to_read() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let client = registry.client();
    for is_chunked in [false, true] {
        // Longer than a manifest may be: refused at once, or after four megabytes.
        let mut connection = connect(&registry).await;
        let answer =
            send_first(&mut connection, "PUT /v2/app/manifests/latest", 20_000_000, is_chunked).await;
        assert_eq!(answer.status, 413);
        // Shorter than it says.
        let session = client.begin_upload("app").await.unwrap();
        let path = path_of(&session, &registry);
        let mut connection = connect(&registry).await;
        let line = format!("PATCH {path}");
        let head =
            format!("{line} HTTP/1.1\r\nhost: x\r\ncontent-range: 7-9\r\ncontent-length: 5000000\r\n\r\n");
        connection.send(head).await.unwrap();
        connection.send(vec![b'x'; 5_000_000]).await.expect("it may send");
        assert!(connection.answer().await.expect("there is an answer").status.is_client_error());
    }
}

#[tokio::test]
async fn so_does_one_to_a_head_that_can_not_be_read() {
    let registry = TestRegistry::start().await;
    for head in ["PUT /v2/ HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n", "\u{1}\u{2}\r\n\r\n"] {
        let mut connection = connect(&registry).await;
        connection.send([head.as_bytes(), &vec![b'x'; 5_000_000]].concat()).await.expect("it may send");
        assert_eq!(connection.answer().await.expect("there is an answer").status, 400);
        assert!(connection.rest().await.is_empty());
    }
}

#[tokio::test]
async fn so_does_one_to_somebody_unknown() {
    let nobody = Arc::new(Authenticated { anonymous: AnonymousAccess::None });
    let registry = TestRegistry::with(|builder| builder.authorizer(nobody)).await;
    for size_bytes in SIZES {
        let mut connection = connect(&registry).await;
        let answer = send_first(&mut connection, "PUT /v2/app/manifests/latest", size_bytes, false).await;
        assert!(matches!(answer.status.as_u16(), 401 | 403), "{}", answer.status);
    }
}

#[tokio::test]
async fn a_client_that_waits_for_the_answer_gets_it_soon() {
    let registry = TestRegistry::start().await;
    // It has said that more will come, and does not send it before it knows the answer.
    let mut connection = connect(&registry).await;
    let head = "POST /v2/UPPER/blobs/uploads/ HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n";
    connection.send(head).await.unwrap();
    let answer = connection.answer().await.unwrap();
    assert_eq!(answer.status, 400);
    assert!(answer.is_last());
    assert!(connection.rest().await.is_empty());
    // One that waits for permission is not given it.
    let mut connection = connect(&registry).await;
    let head = "POST /v2/UPPER/blobs/uploads/ HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\nexpect: 100-continue\r\n\r\n";
    connection.send(head).await.unwrap();
    assert!(connection.some().await.starts_with(b"HTTP/1.1 400"));
}

#[tokio::test]
async fn a_stop_does_not_wait_long_for_clients_that_send_on() {
    let registry = TestRegistry::start().await;
    let mut connection = connect(&registry).await;
    let head = "POST /v2/UPPER/blobs/uploads/ HTTP/1.1\r\nhost: x\r\ncontent-length: 50000000\r\n\r\n";
    connection.send(head).await.unwrap();
    assert_eq!(connection.answer().await.unwrap().status, 400);
    registry.stop().await;
}

#[tokio::test]
async fn bodies_and_hosts_that_can_be_read_in_two_ways_are_refused() {
    let registry = TestRegistry::start().await;
    for headers in [
        "host: x\r\ntransfer-encoding: chunked, chunked\r\n",
        "host: x\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        "host: x\r\ntransfer-encoding: gzip, chunked\r\n",
        "host:\r\ncontent-length: 0\r\n",
        "host: \r\ncontent-length: 0\r\n",
    ] {
        let mut connection = connect(&registry).await;
        let request = format!("POST /v2/app/blobs/uploads/ HTTP/1.1\r\n{headers}\r\n0\r\n\r\n");
        connection.send(request).await.unwrap();
        assert_eq!(connection.answer().await.unwrap().status, 400, "{headers:?}");
    }
}
