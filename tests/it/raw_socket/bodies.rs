//! Bodies that stop, and chunks that are none.

use super::{A_WHILE, connect, free, impatient, path_of};
use futures_util::{StreamExt, stream};
use registry_core::types::ErrorCode;
use registry_testing::{Content, Image, Protocol, RawResponse, TestRegistry};

#[tokio::test]
async fn a_body_that_stops_ends_the_request_and_keeps_what_came() {
    let registry = impatient().await;
    let client = registry.client();
    let blob = Content::random(1, 5000);
    for framing in ["content-length: 5000\r\n\r\n", "transfer-encoding: chunked\r\n\r\n1388\r\n"] {
        let session = client.begin_upload("stops").await.unwrap();
        let mut connection = connect(&registry).await;
        let path = path_of(&session, &registry);
        connection.send(format!("PATCH {path} HTTP/1.1\r\nhost: x\r\n{framing}")).await.unwrap();
        connection.send(&blob.bytes[..3000]).await.unwrap();
        let answer = connection.answer().await.unwrap();
        assert_eq!(answer.status, 408, "{framing:?}");
        assert!(answer.is_last(), "{framing:?}");
        assert!(connection.rest().await.is_empty());
        let session = client.upload_status(&session).await.unwrap();
        assert_eq!(session.offset, 3000, "{framing:?}");
        client.finish_upload(&session, &blob.digest, blob.bytes.slice(3000..)).await.unwrap();
        client.pull_blob("stops", &blob).await.unwrap();
    }
}

#[tokio::test]
async fn a_manifest_whose_body_stops_is_given_up() {
    let registry = impatient().await;
    let mut connection = connect(&registry).await;
    connection
        .send("PUT /v2/app/manifests/latest HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{\"schemaVersion\"")
        .await
        .unwrap();
    assert_eq!(connection.answer().await.unwrap().status, 408);
    assert!(connection.rest().await.is_empty());
    registry.client().get("/v2/app/manifests/latest").expect(404).await;
}

#[tokio::test]
async fn chunks_that_are_none_end_the_request() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let client = registry.client();
    for bad in [
        "xyz\r\n",
        "-5\r\n",
        "5 5\r\n",
        "\r\n",
        "ffffffffffffffffff\r\n",
        "10000000000000000\r\n",
        "5;\rx\r\n",
        "0x5\r\n",
        "5\nhello",
    ] {
        let session = client.begin_upload("chunks").await.unwrap();
        let path = path_of(&session, &registry);
        let mut connection = connect(&registry).await;
        let head = format!(
            "PATCH {path} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n4\r\ngood\r\n{bad}"
        );
        connection.send(head).await.unwrap();
        if let Some(answer) = connection.answer().await {
            assert_eq!(answer.status, 400, "{bad:?}");
        }
        assert!(connection.rest().await.is_empty(), "{bad:?}");
        let status = free(&client, &session).await;
        assert!(status.offset <= 4, "{bad:?}: {}", status.offset);
    }
}

#[tokio::test]
async fn a_chunk_with_extensions_without_end_is_cut_off() {
    // The answer to it must arrive, so that some of what follows is read and thrown away.
    const SENT_BYTES_MAX: usize = 160 * 1024 * 1024;
    let registry = TestRegistry::start().await;
    let client = registry.client();
    for begin in ["5;", "0\r\nx-trailer: "] {
        let session = client.begin_upload("endless").await.unwrap();
        let mut connection = connect(&registry).await;
        let path = path_of(&session, &registry);
        let head = format!("PATCH {path} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{begin}");
        connection.send(head).await.unwrap();
        let block = vec![b'a'; 64 * 1024];
        let mut sent_bytes = 0;
        while sent_bytes < SENT_BYTES_MAX && connection.send(&block).await.is_ok() {
            sent_bytes += block.len();
        }
        assert!(sent_bytes < SENT_BYTES_MAX, "{begin:?}: the registry took {sent_bytes} bytes");
        free(&client, &session).await;
    }
}

#[tokio::test]
async fn extensions_and_trailers_are_passed_over() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let session = client.begin_upload("trailers").await.unwrap();
    let mut connection = connect(&registry).await;
    let path = path_of(&session, &registry);
    let request = format!(
        "PATCH {path} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n"
    );
    connection.send(request).await.unwrap();
    assert_eq!(connection.answer().await.unwrap().status, 202);
    assert_eq!(client.upload_status(&session).await.unwrap().offset, 5);
}

#[tokio::test]
async fn requests_may_follow_each_other_without_waiting() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let client = registry.client();
    let image = Image::random(2);
    client.push("app", "latest", &image).await.unwrap();
    let paths: Vec<String> =
        image.blobs.iter().map(|blob| format!("/v2/app/blobs/{}", blob.digest)).collect();
    let mut connection = connect(&registry).await;
    let request = |path: &String| format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    let requests: String = paths.iter().cycle().take(20).map(request).collect();
    connection.send(requests).await.unwrap();
    for blob in image.blobs.iter().cycle().take(20) {
        let answer = connection.answer().await.unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body, blob.bytes);
    }
    // Also when bodies are among them.
    let session = client.begin_upload("app").await.unwrap();
    let path = path_of(&session, &registry);
    let patch = |text: &str| {
        format!("PATCH {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{text}", text.len())
    };
    connection.send([patch("one"), patch("two"), patch("three")].concat()).await.unwrap();
    for _ in 0..3 {
        assert_eq!(connection.answer().await.unwrap().status, 202);
    }
    let whole = Content::new(registry_core::types::MediaType::OCTET_STREAM, "onetwothree");
    let session = client.upload_status(&session).await.unwrap();
    client.finish_upload(&session, &whole.digest, bytes::Bytes::new()).await.unwrap();
}

#[tokio::test]
async fn a_client_may_ask_before_it_sends() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let session = client.begin_upload("expect").await.unwrap();
    let path = path_of(&session, &registry);
    let mut connection = connect(&registry).await;
    let head = |path: &str| {
        format!("PATCH {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n")
    };
    connection.send(head(&path)).await.unwrap();
    assert_eq!(connection.some().await, b"HTTP/1.1 100 Continue\r\n\r\n");
    connection.send("hello").await.unwrap();
    assert_eq!(connection.answer().await.unwrap().status, 202);

    // And is told no without having sent anything.
    let mut connection = connect(&registry).await;
    connection.send(head("/v2/expect/blobs/uploads/00000000-0000-4000-8000-000000000000")).await.unwrap();
    let answer = connection.some().await;
    assert!(answer.starts_with(b"HTTP/1.1 404"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_it_is_sent() {
    let registry = TestRegistry::start().await;
    let mut connection = connect(&registry).await;
    let head = "PUT /v2/app/manifests/latest HTTP/1.1\r\nhost: x\r\ncontent-length: 5000000000\r\n\r\n";
    connection.send(head).await.unwrap();
    let answer: RawResponse = connection.answer().await.unwrap();
    assert_eq!(answer.status, 413);
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(body["errors"][0]["code"], ErrorCode::ManifestInvalid.as_str());
    // Nobody reads five gigabytes to their end for the next request's sake.
    assert!(connection.rest().await.is_empty());
}

#[tokio::test]
async fn an_answer_is_read_by_who_is_still_sending() {
    let registry = TestRegistry::start().await;
    let blob = Content::random(12, 3_000_000);
    let absent = "/v2/app/blobs/uploads/00000000-0000-4000-8000-000000000000";
    for number in 0..20 {
        // The registry knows its answer long before all has been sent; the client must learn it.
        let client = registry.client();
        let patch = client.patch(absent);
        let patch =
            if number % 2 == 0 { patch.body(blob.bytes.clone()) } else { patch.chunked(&blob.bytes, 10_000) };
        let answer = patch.expect(404).await;
        assert_eq!(answer.error_code(), ErrorCode::BlobUploadUnknown);
    }
}

#[tokio::test]
async fn an_upload_by_http2_that_breaks_off_is_kept() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let client = registry.client().speaking(Protocol::Http2);
    let blob = Content::random(11, 400_000);
    let session = client.begin_upload("h2").await.unwrap();
    let half = blob.bytes.slice(..200_000);
    let broken = stream::iter([Ok(half)]).chain(stream::once(async {
        tokio::time::sleep(A_WHILE).await;
        Err(std::io::Error::other("the client has changed its mind"))
    }));
    assert!(client.patch(&session.location).stream(broken).send().await.is_err());
    let session = free(&registry.client(), &session).await;
    assert!(session.offset <= 200_000);
    let rest = blob.bytes.slice(session.offset as usize..);
    client.finish_upload(&session, &blob.digest, rest).await.unwrap();
    client.pull_blob("h2", &blob).await.unwrap();
}
