//! What uploads cost in requests and memory, and what several nodes do to each other.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;
use registry_core::{
    digest::{Algorithm, Digest},
    storage::{Access, BlobStore, StorageError, StoreIdentity, UploadState},
    types::{Location, UploadId},
};
use registry_storage::{ObjectBlobStore, ObjectOptions, S3Options, SmallObjects};
use registry_testing::{ObjectServer, Random};

use super::servers::s3;

const MIB: usize = 1024 * 1024;

fn location(number: u8) -> Location {
    Location::of_upload(&UploadId::from_random([number; 16]))
}

fn sha256(content: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, content)
}

async fn open(options: &S3Options) -> ObjectBlobStore {
    ObjectBlobStore::open_s3(options).await.unwrap()
}

/// One request with everything, and one without anything that completes it, as docker does.
async fn push(store: &ObjectBlobStore, location: &Location, content: &Bytes) {
    let mut upload = store.begin(location, Algorithm::Sha256).await.unwrap();
    for chunk in content.chunks(64 * 1024) {
        upload.append(content.slice_ref(chunk)).await.unwrap();
    }
    let state = UploadState::from_bytes(&upload.checkpoint().await.unwrap().to_bytes()).unwrap();
    drop(upload);
    let upload = store.resume(location, &state).await.unwrap();
    assert_eq!(upload.finish(&sha256(content)).await.unwrap(), content.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn few_requests_are_sent() {
    let server = ObjectServer::versitygw();
    let store = open(&s3(&server)).await;
    for (number, (length, expected)) in [
        // Kept in the state; then one PUT.
        (2_000, 1),
        // The tail: PUT, GET and DELETE; the object: PUT.
        (1_000_000, 4),
        // The upload's POSTs and one part, as the whole is long enough for one.
        (6 * MIB, 3),
        // 16 and 16 MiB, and the rest with the last of them.
        (33 * MIB, 4),
    ]
    .into_iter()
    .enumerate()
    {
        let content = Random::seeded(number as u64).bytes(length);
        let before = store.requests().total();
        push(&store, &location(number as u8), &content).await;
        // A tail is removed behind the answer.
        registry_testing::eventually("all requests", async || {
            (store.requests().total() - before >= expected).then_some(())
        })
        .await;
        assert_eq!(store.requests().total() - before, expected, "{length} bytes");
    }
    let content = Random::seeded(9).bytes(3 * MIB);
    let before = store.requests().total();
    let mut upload = store.begin(&location(9), Algorithm::Sha256).await.unwrap();
    upload.append(content.clone()).await.unwrap();
    upload.finish(&sha256(&content)).await.unwrap();
    assert_eq!(store.requests().total() - before, 1, "what comes in one request is one PUT");
    let body = store.open(&location(9), 0..content.len() as u64).await.unwrap();
    assert!(body.into_stream().try_collect::<Vec<_>>().await.unwrap().concat() == content);
    assert_eq!(store.requests().total() - before, 2, "and one GET");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_on_on_another_node() {
    let server = ObjectServer::versitygw();
    let options = s3(&server);
    let nodes = [open(&options).await, open(&options).await, open(&options).await];
    let content = Random::seeded(1).bytes(60 * MIB);
    let location = location(1);
    let mut state: Option<UploadState> = None;
    for (turn, chunk) in content.chunks(7 * MIB + 13).enumerate() {
        let node = &nodes[turn % nodes.len()];
        let mut upload = match &state {
            None => node.begin(&location, Algorithm::Sha256).await.unwrap(),
            Some(state) => node.resume(&location, state).await.unwrap(),
        };
        upload.append(content.slice_ref(chunk)).await.unwrap();
        state = Some(UploadState::from_bytes(&upload.checkpoint().await.unwrap().to_bytes()).unwrap());
    }
    let upload = nodes[0].resume(&location, &state.unwrap()).await.unwrap();
    upload.finish(&sha256(&content)).await.unwrap();
    let body = nodes[1].open(&location, 0..content.len() as u64).await.unwrap().into_stream();
    assert!(body.try_collect::<Vec<_>>().await.unwrap().concat() == content);
}

/// A node sleeps over a request that another node repeats and completes, and wakes up.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_wakes_up_late_changes_nothing() {
    let server = ObjectServer::versitygw();
    let options = s3(&server);
    let (sleeper, other) = (open(&options).await, open(&options).await);
    for (number, length) in [(1, 100_000), (2, 6 * MIB), (3, 40 * MIB)] {
        let location = location(number);
        let (theirs, ours) = (Random::seeded(1).bytes(length), Random::seeded(2).bytes(length));
        let mut asleep = sleeper.begin(&location, Algorithm::Sha256).await.unwrap();
        asleep.append(theirs.slice(..length / 2)).await.unwrap();

        let mut awake = other.begin(&location, Algorithm::Sha256).await.unwrap();
        awake.append(ours.clone()).await.unwrap();
        awake.finish(&sha256(&ours)).await.unwrap();

        asleep.append(theirs.slice(length / 2..)).await.unwrap();
        asleep.checkpoint().await.unwrap();
        let late = asleep.finish(&sha256(&theirs)).await;
        assert!(matches!(late, Err(StorageError::UploadSuperseded { .. })), "{length}: {late:?}");
        let body = other.open(&location, 0..length as u64).await.unwrap().into_stream();
        assert!(body.try_collect::<Vec<_>>().await.unwrap().concat() == ours, "{length}");
    }
}

/// The answer to the last request was lost: the client repeats it, on another node.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_completed_is_recognised() {
    let server = ObjectServer::versitygw();
    let options = s3(&server);
    let (one, other) = (open(&options).await, open(&options).await);
    for (number, length) in [(1, 0), (2, 2_000), (3, 100_000), (4, 6 * MIB), (5, 40 * MIB)] {
        let location = location(number);
        let content = Random::seeded(3).bytes(length);
        let mut upload = one.begin(&location, Algorithm::Sha256).await.unwrap();
        upload.append(content.slice(..length / 2)).await.unwrap();
        let state = upload.checkpoint().await.unwrap();
        for node in [&one, &other, &one] {
            let mut upload = node.resume(&location, &state).await.unwrap();
            upload.append(content.slice(length / 2..)).await.unwrap();
            let finished = upload.finish(&sha256(&content)).await;
            assert_eq!(finished.unwrap(), length as u64, "{length}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_what_was_given_up() {
    let server = ObjectServer::versitygw();
    let store = open(&s3(&server)).await;
    for (number, length) in [(1, 100_000), (2, 6 * MIB), (3, 23 * MIB)] {
        let location = location(number);
        let mut upload = store.begin(&location, Algorithm::Sha256).await.unwrap();
        upload.append(Random::seeded(1).bytes(length)).await.unwrap();
        let state = upload.checkpoint().await.unwrap();
        upload.append(Random::seeded(2).bytes(1000)).await.unwrap();
        let state = upload.checkpoint().await.map_or(state, |later| later);
        drop(upload);
        store.abandon(&location, Some(&state)).await.unwrap();
    }
    assert_eq!(store.list(None, 10).await.unwrap(), []);
    assert_eq!(server.parts(), 0, "parts are gone too");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_go_registrys_bucket_is_refused_unless_it_is_adopted() {
    let server = ObjectServer::versitygw();
    let options = s3(&server);
    server.plant(&options.common.prefix, "docker/registry/v2/blobs/sha256/aa/aabb/data");
    let refused = ObjectBlobStore::open_s3(&options).await;
    assert!(matches!(refused, Err(StorageError::ForeignStore { .. })), "{refused:?}");
    let common = ObjectOptions { access: Access::Adopt, ..options.common.clone() };
    let store = open(&S3Options { common, ..options.clone() }).await;
    store.create_identity(&StoreIdentity::random().unwrap()).await.unwrap();
    open(&options).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_urls_give_the_bytes_to_anybody() {
    let server = ObjectServer::versitygw();
    let store = open(&s3(&server)).await;
    push(&store, &location(1), &Bytes::from_static(b"content")).await;
    let url = store.redirect(&location(1)).await.unwrap().unwrap();
    assert!(!url.contains("registry-test-secret"));
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let client = registry_testing::Client::new(&format!("http://{host}"));
    assert_eq!(client.get(&format!("/{path}")).expect(200).await.text(), "content");
    let part = client.get(&format!("/{path}")).header("range", "bytes=1-3").expect(206).await;
    assert_eq!(part.text(), "ont");
}

#[tokio::test(flavor = "multi_thread")]
async fn small_objects_lie_beside_the_blobs() {
    let server = ObjectServer::versitygw();
    let store = Arc::new(open(&s3(&server)).await);
    let name: Location = "store/journal/1".parse().unwrap();
    store.create(&name, Bytes::from_static(b"entry")).await.unwrap();
    assert_eq!(store.list(None, 10).await.unwrap(), []);
}
