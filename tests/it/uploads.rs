//! Uploads: every way to send a blob, and every way in which it can go wrong.

mod digests;

use std::{io, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, future::join, stream};
use registry_core::{
    Purge,
    digest::{Algorithm, Digest},
    types::{ErrorCode, MediaType},
};
use registry_testing::{
    Client, Content, Random, RawConnection, Server, TestRegistry, UploadSession, eventually,
};
use tokio::sync::oneshot;

#[tokio::test]
async fn a_blob_in_chunks() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let client = registry.client();
    let blob = Content::random(1, 300_000);
    let mut session = client.begin_upload("chunks").await.unwrap();
    for start in (0..blob.bytes.len()).step_by(70_000) {
        let chunk = blob.bytes.slice(start..blob.bytes.len().min(start + 70_000));
        let patch = client.patch(&session.location).header("content-range", range_of(start, &chunk));
        let response = patch.body(chunk.clone()).expect(202).await;
        assert_eq!(response.must_have("range"), format!("0-{}", start + chunk.len() - 1));
        assert_eq!(response.must_have("content-length"), "0");
        session = UploadSession::of(&response).unwrap();
    }
    client.finish_upload(&session, &blob.digest, Bytes::new()).await.unwrap();
    client.pull_blob("chunks", &blob).await.unwrap();
}

#[tokio::test]
async fn the_last_chunk_may_come_with_the_closing_put() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let client = registry.client();
    let blob = Content::random(2, 100_000);
    let session = begun(&client, "last", &blob.bytes[..60_000]).await;
    let last = blob.bytes.slice(60_000..);
    let put = client.put(&session.closing(&blob.digest)).header("content-range", range_of(60_000, &last));
    put.body(last).expect(201).await;
    client.pull_blob("last", &blob).await.unwrap();
}

#[tokio::test]
async fn a_blob_in_one_put() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let client = registry.client();
    for (seed, is_chunked) in [(3, false), (4, true)] {
        let blob = Content::random(seed, 100_000);
        let session = client.begin_upload("put").await.unwrap();
        let put = client.put(&session.closing(&blob.digest));
        let put = if is_chunked { put.chunked(&blob.bytes, 1000) } else { put.body(blob.bytes.clone()) };
        assert_eq!(put.expect(201).await.must_have("docker-content-digest"), blob.digest.to_string());
        client.pull_blob("put", &blob).await.unwrap();
    }
}

#[tokio::test]
async fn a_blob_in_one_post() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let client = registry.client();
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let bytes = Random::seeded(5).bytes(100_000);
        let blob = Content::hashed(algorithm, MediaType::OCTET_STREAM, bytes);
        let post = client.post(&format!("/v2/post/blobs/uploads/?digest={}", blob.digest));
        let response = post.body(blob.bytes.clone()).expect(201).await;
        assert!(response.location().ends_with(&format!("/v2/post/blobs/{}", blob.digest)));
        client.pull_blob("post", &blob).await.unwrap();
    }
}

#[tokio::test]
async fn locations_are_urls_that_scripts_can_extend() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let session = client.begin_upload("team/app").await.unwrap();
    let start = format!("{}/v2/team/app/blobs/uploads/{}", registry.url(), session.id);
    assert!(session.location.starts_with(&start), "{}", session.location);
    assert!(session.location.contains('?'), "{}", session.location);
    let blob = Content::random(6, 10);
    client
        .put(&format!("{}&digest={}", session.location, blob.digest))
        .body(blob.bytes.clone())
        .expect(201)
        .await;
}

#[tokio::test]
async fn the_status_says_what_has_arrived() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let client = registry.client();
    let session = client.begin_upload("status").await.unwrap();
    let response = client.get(&session.location).expect(204).await;
    assert_eq!(response.must_have("range"), "0-0");
    let session = begun(&client, "status", b"0123456789").await;
    for response in
        [client.get(&session.location).expect(204).await, client.head(&session.location).expect(204).await]
    {
        assert_eq!(response.must_have("range"), "0-9");
        assert_eq!(response.must_have("docker-upload-uuid"), session.id);
        assert_eq!(response.location(), session.location);
    }
}

#[tokio::test]
async fn an_upload_goes_on_where_the_connection_was_cut() {
    let memory = TestRegistry::start().await;
    let disk = TestRegistry::on_disk(|builder| builder).await;
    let blob = Content::random(7, 600_000);
    let mut random = Random::seeded(8);
    let mut cuts = vec![1, 2, 63, 64, 4096, 65_535, 65_536, 262_143, 262_144, 262_145, 524_288, 599_999];
    cuts.extend((0..4).map(|_| random.within(1..600_000) as usize));
    for registry in [memory, disk] {
        for cut in &cuts {
            let is_chunked = random.one_in(2);
            let is_reset = random.one_in(2);
            let session = cut_off(&registry, &blob, *cut, is_chunked, is_reset).await;
            resume(&registry.client(), "cut", &session, &blob).await;
        }
    }
}

/// Sends a part of a blob and breaks the connection. Returns the session as the registry sees it, once it has noticed.
async fn cut_off(
    registry: &TestRegistry,
    blob: &Content,
    cut: usize,
    is_chunked: bool,
    is_reset: bool,
) -> UploadSession {
    let client = registry.client();
    let session = client.begin_upload("cut").await.unwrap();
    in_flight(registry, 0).await;
    let mut connection = RawConnection::open(registry.address()).await.unwrap();
    let path = session.location.strip_prefix(registry.url()).unwrap();
    let length = if is_chunked {
        format!("transfer-encoding: chunked\r\n\r\n{:x}", blob.bytes.len())
    } else {
        format!("content-length: {}\r\n", blob.bytes.len())
    };
    connection.send(format!("PATCH {path} HTTP/1.1\r\nhost: x\r\n{length}\r\n")).await.unwrap();
    connection.send(&blob.bytes[..cut]).await.unwrap();
    in_flight(registry, 1).await;
    if is_reset {
        connection.reset().unwrap()
    } else {
        drop(connection)
    }
    eventually("the session is free", async || {
        let answer = client.patch(&session.location).send().await.unwrap();
        (answer.status == 202).then(|| UploadSession::of(&answer).unwrap())
    })
    .await
}

/// Sends what is missing, and finds the blob whole.
async fn resume(client: &Client, repository: &str, session: &UploadSession, blob: &Content) {
    let status = client.upload_status(session).await.unwrap();
    assert_eq!(status.offset, session.offset);
    let rest = blob.bytes.slice(status.offset as usize..);
    let patch =
        client.patch(&status.location).header("content-range", range_of(status.offset as usize, &rest));
    let session = UploadSession::of(&patch.body(rest).expect(202).await).unwrap();
    client.finish_upload(&session, &blob.digest, Bytes::new()).await.unwrap();
    client.pull_blob(repository, blob).await.unwrap();
}

#[tokio::test]
async fn what_arrived_before_an_orderly_cut_is_kept() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let blob = Content::random(9, 400_000);
    for cut in [1, 1000, 262_144, 399_999] {
        let session = cut_off(&registry, &blob, cut, false, false).await;
        assert_eq!(session.offset, cut as u64);
    }
}

#[tokio::test]
async fn an_upload_goes_on_after_the_server_was_killed() {
    let server = Server::start().await;
    let blob = Content::random(10, 1_000_000);
    let session = begun(&server.client(), "killed", &blob.bytes[..700_000]).await;
    let path = session.location.strip_prefix(&server.url()).unwrap().to_owned();
    let server = server.restart().await;
    let session = UploadSession { location: format!("{}{path}", server.url()), ..session };
    assert_eq!(server.client().upload_status(&session).await.unwrap().offset, 700_000);
    resume(&server.client(), "killed", &session, &blob).await;
}

#[tokio::test]
async fn a_cancelled_upload_is_gone() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let client = registry.client();
    let blob = Content::random(11, 1000);
    let session = begun(&client, "cancel", &blob.bytes).await;
    let response = client.delete(&session.location).expect(204).await;
    assert_eq!(response.must_have("docker-upload-uuid"), session.id);
    for request in [
        client.get(&session.location),
        client.delete(&session.location),
        client.patch(&session.location).body("x"),
        client.put(&session.closing(&blob.digest)),
    ] {
        assert_eq!(request.expect(404).await.error_code(), ErrorCode::BlobUploadUnknown);
    }
}

#[tokio::test]
async fn sessions_belong_to_one_repository() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let session = client.begin_upload("mine").await.unwrap();
    let elsewhere = session.location.replace("/v2/mine/", "/v2/yours/");
    let blob = Content::random(12, 10);
    for request in [
        client.get(&elsewhere),
        client.patch(&elsewhere).body("x"),
        client.put(&format!("{elsewhere}&digest={}", blob.digest)).body(blob.bytes.clone()),
        client.delete(&elsewhere),
        client.get("/v2/mine/blobs/uploads/00000000-0000-4000-8000-000000000000"),
        client.get("/v2/mine/blobs/uploads/no-id-of-ours"),
    ] {
        assert_eq!(request.expect(404).await.error_code(), ErrorCode::BlobUploadUnknown);
    }
    assert_eq!(client.upload_status(&session).await.unwrap().offset, 0);
}

#[tokio::test]
async fn chunks_out_of_order_are_refused_with_the_way_back() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let client = registry.client();
    let blob = Content::random(13, 3000);
    let session = begun(&client, "order", &blob.bytes[..1000]).await;
    let chunk = blob.bytes.slice(..1000);
    for start in [0, 500, 999, 1001, 2000] {
        for method in ["PATCH", "PUT"] {
            let request = match method {
                "PATCH" => client.patch(&session.location),
                _ => client.put(&session.closing(&blob.digest)),
            };
            let request = request.header("content-range", range_of(start, &chunk)).body(chunk.clone());
            let response = request.expect(416).await;
            assert_eq!(response.error_code(), ErrorCode::BlobUploadInvalid);
            assert_eq!(response.must_have("range"), "0-999", "{method} at {start}");
            assert_eq!(UploadSession::of(&response).unwrap().offset, 1000);
        }
    }
    resume(&client, "order", &session, &blob).await;
}

#[tokio::test]
async fn lengths_that_contradict_each_other_are_refused() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let client = registry.client();
    let blob = Content::random(14, 3000);
    let session = begun(&client, "lengths", &blob.bytes[..1000]).await;
    let chunk = blob.bytes.slice(1000..2000);
    for range in ["1000-1998", "1000-2000", "1000-1000"] {
        let known = client.patch(&session.location).header("content-range", range).body(chunk.clone());
        assert_eq!(known.expect(400).await.error_code(), ErrorCode::SizeInvalid, "{range}");
        let unknown = client.patch(&session.location).header("content-range", range).chunked(&chunk, 100);
        assert_eq!(unknown.expect(400).await.error_code(), ErrorCode::SizeInvalid, "{range}, chunked");
        assert_eq!(client.upload_status(&session).await.unwrap().offset, 1000, "{range}");
    }
    resume(&client, "lengths", &session, &blob).await;
}

#[tokio::test]
async fn ranges_that_are_none_are_refused() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let session = client.begin_upload("ranges").await.unwrap();
    for range in ["", "x", "5-", "-5", "9-0", "0-99999999999999999999", "bytes"] {
        let patch = client.patch(&session.location).header("content-range", range).body("0123456789");
        assert_eq!(patch.expect(400).await.error_code(), ErrorCode::BlobUploadInvalid, "{range:?}");
    }
    // As HTTP libraries write it.
    client
        .patch(&session.location)
        .header("content-range", "bytes 0-9/*")
        .body("0123456789")
        .expect(202)
        .await;
}

#[tokio::test]
async fn a_second_patch_waits_for_nobody() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let client = registry.client();
    let blob = Content::random(15, 200_000);
    let session = client.begin_upload("two").await.unwrap();
    let (go_on, may_go_on) = oneshot::channel();
    let (start, end) = (blob.bytes.slice(..100_000), blob.bytes.slice(100_000..));
    let pieces = stream::iter([Ok::<_, io::Error>(start)]).chain(stream::once(async move {
        may_go_on.await.map_err(io::Error::other)?;
        Ok(end)
    }));
    in_flight(&registry, 0).await;
    let first = tokio::spawn(client.patch(&session.location).stream(pieces).send());
    in_flight(&registry, 1).await;
    let other = client.reconnected();
    eventually("the first request holds the session", async || {
        let answer = other.patch(&session.location).send().await.unwrap();
        (answer.status == 409).then(|| assert_eq!(answer.error_code(), ErrorCode::BlobUploadInvalid))
    })
    .await;
    for request in [
        other.patch(&session.location).body("intruder"),
        other.put(&session.closing(&blob.digest)).body("intruder"),
        other.delete(&session.location),
    ] {
        request.expect(409).await;
    }
    go_on.send(()).unwrap();
    let answer = first.await.unwrap().unwrap();
    assert_eq!(answer.status, 202);
    let session = UploadSession::of(&answer).unwrap();
    assert_eq!(session.offset, 200_000);
    other.finish_upload(&session, &blob.digest, Bytes::new()).await.unwrap();
    other.pull_blob("two", &blob).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_patches_at_once_one_wins() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    for seed in 100..120 {
        let (one, other) = (registry.client(), registry.client());
        let bytes = [Random::seeded(seed).bytes(50_000), Random::seeded(seed + 1000).bytes(50_000)];
        let session = one.begin_upload("race").await.unwrap();
        let patch = |client: &Client, bytes: &Bytes| {
            let patch = client.patch(&session.location).header("content-range", range_of(0, bytes));
            tokio::spawn(patch.body(bytes.clone()).send())
        };
        let (first, second) = join(patch(&one, &bytes[0]), patch(&other, &bytes[1])).await;
        let statuses = [first, second].map(|answer| answer.unwrap().unwrap().status.as_u16());
        let winner = match statuses {
            [202, 409 | 416] => &bytes[0],
            [409 | 416, 202] => &bytes[1],
            others => panic!("seed {seed}: {others:?}"),
        };
        let session = one.upload_status(&session).await.unwrap();
        assert_eq!(session.offset, 50_000);
        let blob = Content::new(MediaType::OCTET_STREAM, winner.clone());
        one.finish_upload(&session, &blob.digest, Bytes::new()).await.unwrap();
        one.pull_blob("race", &blob).await.unwrap();
    }
}

#[tokio::test]
async fn an_empty_patch_changes_nothing() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let client = registry.client();
    let session = begun(&client, "nothing", b"0123456789").await;
    let response = client.patch(&session.location).expect(202).await;
    assert_eq!(UploadSession::of(&response).unwrap().offset, 10);
}

#[tokio::test]
async fn the_smallest_chunk_is_announced() {
    let settings = TestRegistry::settings().chunk_bytes_min(65_536);
    let registry = TestRegistry::with_settings(settings).await;
    let response = registry.client().post("/v2/a/blobs/uploads/").expect(202).await;
    assert_eq!(response.must_have("oci-chunk-min-length"), "65536");
    let response = TestRegistry::start().await.client().post("/v2/a/blobs/uploads/").expect(202).await;
    assert_eq!(response.header("oci-chunk-min-length"), None);
}

#[tokio::test]
async fn abandoned_uploads_are_given_up() {
    let purge = Purge::default().age(Duration::ZERO).interval(Duration::from_millis(20));
    let registry = TestRegistry::on_disk(|builder| builder.purge(Some(purge))).await;
    let client = registry.client();
    let session = client.begin_upload("old").await.unwrap();
    eventually("the session is given up", async || {
        (client.get(&session.location).send().await.unwrap().status == 404).then_some(())
    })
    .await;
}

/// Waits until so many requests to upload sessions are being answered. Asking for a session would take it away from who
/// is to get it.
async fn in_flight(registry: &TestRegistry, requests: u64) {
    let gauge = "registry_http_in_flight_requests{handler=\"blob_upload_chunk\"} ";
    eventually("requests have begun or ended", async || {
        let metrics = registry.app().metrics.render();
        let value = metrics.lines().find_map(|line| line.strip_prefix(gauge)).unwrap_or("0");
        (value == requests.to_string()).then_some(())
    })
    .await;
}

/// A session into which some bytes were sent.
async fn begun(client: &Client, repository: &str, bytes: &[u8]) -> UploadSession {
    let session = client.begin_upload(repository).await.unwrap();
    let patch = client.patch(&session.location).body(Bytes::copy_from_slice(bytes));
    UploadSession::of(&patch.expect(202).await).unwrap()
}

/// `Content-Range` of a chunk.
fn range_of(start: usize, chunk: &Bytes) -> String {
    format!("{start}-{}", start + chunk.len() - 1)
}

/// How many files the store holds.
fn objects_in(registry: &TestRegistry) -> usize {
    let shards = std::fs::read_dir(registry.data().join("store/blobs")).unwrap();
    shards.map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap().count()).sum()
}
