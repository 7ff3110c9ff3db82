//! Requests with another one hidden in them.

use super::{connect, path_of};
use registry_testing::{Image, RawResponse, TestRegistry};

#[tokio::test]
async fn lengths_that_can_be_read_in_two_ways_are_refused() {
    for (what, headers) in [
        ("two different lengths", "content-length: 5\r\ncontent-length: 6\r\n"),
        ("two lengths in one", "content-length: 5, 6\r\n"),
        ("a signed length", "content-length: +5\r\n"),
        ("a negative length", "content-length: -5\r\n"),
        ("a hexadecimal length", "content-length: 0x5\r\n"),
        ("an enormous length", "content-length: 99999999999999999999999\r\n"),
        ("chunked, but not last", "transfer-encoding: chunked, identity\r\n"),
        ("an unknown encoding", "transfer-encoding: xchunked\r\n"),
        ("a space before the colon", "transfer-encoding : chunked\r\n"),
        ("a folded header", "transfer-encoding:\r\n chunked\r\n"),
        ("a control character", "transfer-encoding: \x0bchunked\r\n"),
        ("a bare carriage return", "x: a\rtransfer-encoding: chunked\r\n"),
    ] {
        if let Some(answer) = smuggle(what, headers).await {
            assert_eq!(answer.status, 400, "{what}");
        }
    }
}

/// RFC 9112, 6.3: such a request may be answered, but the connection must end.
#[tokio::test]
async fn after_a_request_with_two_lengths_the_connection_ends() {
    for (what, headers) in [
        ("length, then chunked", "content-length: 5\r\ntransfer-encoding: chunked\r\n"),
        ("chunked, then length", "transfer-encoding: chunked\r\ncontent-length: 5\r\n"),
        ("length zero, then chunked", "content-length: 0\r\ntransfer-encoding: chunked\r\n"),
        (
            "chunked, length, chunked",
            "transfer-encoding: chunked\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n",
        ),
    ] {
        let answer = smuggle(what, headers).await.unwrap();
        assert!(matches!(answer.status.as_u16(), 202 | 400), "{what}: {}", answer.status);
        assert!(answer.is_last(), "{what}: {answer:?}");
    }
}

/// Sends a request with headers that two readers may read in two ways, and hides another in its body. That one must not
/// be executed, and the connection must end. Returns the one answer, if there is one.
async fn smuggle(what: &str, headers: &str) -> Option<RawResponse> {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let image = Image::random(1);
    client.push("victim", "latest", &image).await.unwrap();
    let session = client.begin_upload("app").await.unwrap();
    let path = path_of(&session, &registry);
    let hidden = "DELETE /v2/victim/manifests/latest HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut connection = connect(&registry).await;
    let request = format!("PATCH {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n0\r\n\r\n{hidden}{hidden}");
    // The registry may close before it has read everything.
    let _ = connection.send(request).await;
    let answer = connection.answer().await;
    let rest = connection.rest().await;
    assert!(rest.is_empty(), "{what}: a second answer: {}", String::from_utf8_lossy(&rest));
    client.pull("victim", "latest", &image).await.unwrap_or_else(|error| panic!("{what}: {error}"));
    answer
}
