//! A store that answers 503, is slow, cuts connections, and loses answers after it did what was asked.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{TryStreamExt, future::join_all};
use registry_core::{
    digest::{Algorithm, Digest},
    storage::{BlobStore, StorageError, Upload, UploadState},
    types::{Location, UploadId},
};
use registry_storage::ObjectBlobStore;
use registry_testing::{FaultProxy, ObjectServer, Random};

use super::servers::s3_at;

const WORKERS: u64 = 6;
const UPLOADS_EACH: u64 = 12;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_right_whatever_the_store_does() {
    let server = ObjectServer::versitygw();
    let proxy = FaultProxy::to(server.port(), 7).await;
    let store = Arc::new(ObjectBlobStore::open_s3(&s3_at(proxy.port())).await.unwrap());
    proxy.be_evil(true);
    let workers = (0..WORKERS).map(|number| work(store.clone(), number));
    let acknowledged: Vec<_> = join_all(workers).await.into_iter().flatten().collect();
    proxy.be_evil(false);
    let (all, right) = (WORKERS * UPLOADS_EACH, acknowledged.len() as u64);
    eprintln!("{right} of {all} uploads were acknowledged over {} troubles", proxy.troubles());
    assert!(proxy.troubles() > 20, "there was trouble");
    assert!(right * 2 > all, "most uploads succeed");
    for (location, content) in acknowledged {
        assert!(read(&*store, &location, content.len()).await == content, "{location}");
    }
}

/// Uploads of all kinds, one after the other. Returns what was acknowledged.
async fn work(store: Arc<ObjectBlobStore>, number: u64) -> Vec<(Location, Bytes)> {
    let mut random = Random::seeded(number);
    let mut acknowledged = Vec::new();
    for _ in 0..UPLOADS_EACH {
        let length = [2_000, 300_000, 5_500_000, 22_000_000][random.within(0..4) as usize];
        let more = random.within(0..1000) as usize;
        let content = random.bytes(length + more);
        let mut id = [0; 16];
        id.copy_from_slice(&random.bytes(16));
        let location = Location::of_upload(&UploadId::from_random(id));
        match upload(&*store, &location, &content, &mut random).await {
            Ok(()) => acknowledged.push((location, content)),
            Err(
                StorageError::Unavailable { .. }
                | StorageError::Backend { .. }
                | StorageError::UploadBytesLost { .. },
            ) => {}
            Err(error) => panic!("{location}: {error:?}"),
        }
    }
    acknowledged
}

/// In one or several requests; each is tried a few times from where the last state stands, as a client does.
async fn upload(
    store: &dyn BlobStore,
    location: &Location,
    content: &Bytes,
    random: &mut Random,
) -> Result<(), StorageError> {
    let digest = Digest::of(Algorithm::Sha256, content);
    let cut = match random.one_in(2) {
        true => random.within(0..content.len() as u64) as usize,
        false => 0,
    };
    let mut state = None;
    if cut > 0 {
        state = Some(tried(async |_| first(store, location, content.slice(..cut)).await).await?);
    }
    tried(async |attempt| {
        let mut upload: Box<dyn Upload> = match &state {
            Some(state) => store.resume(location, state).await?,
            None => store.begin(location, Algorithm::Sha256).await?,
        };
        assert!(attempt < 9);
        upload.append(content.slice(upload.offset() as usize..)).await?;
        upload.finish(&digest).await.map(drop)
    })
    .await
}

async fn first(
    store: &dyn BlobStore,
    location: &Location,
    bytes: Bytes,
) -> Result<UploadState, StorageError> {
    let mut upload = store.begin(location, Algorithm::Sha256).await?;
    upload.append(bytes).await?;
    UploadState::from_bytes(&upload.checkpoint().await?.to_bytes()).map_err(StorageError::from)
}

async fn tried<T>(attempt: impl AsyncFn(u32) -> Result<T, StorageError>) -> Result<T, StorageError> {
    let mut number = 0;
    loop {
        match attempt(number).await {
            Err(StorageError::Unavailable { .. } | StorageError::Backend { .. }) if number < 3 => number += 1,
            outcome => return outcome,
        }
    }
}

async fn read(store: &dyn BlobStore, location: &Location, length: usize) -> Vec<u8> {
    let stream = store.open(location, 0..length as u64).await.unwrap().into_stream();
    stream.try_collect::<Vec<_>>().await.unwrap().concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_goes_on_where_a_connection_was_cut() {
    let server = ObjectServer::versitygw();
    let proxy = FaultProxy::to(server.port(), 3).await;
    let options = s3_at(proxy.port());
    let store = ObjectBlobStore::open_s3(&options).await.unwrap();
    let content = Random::seeded(5).bytes(12_000_000);
    let location = Location::of_upload(&UploadId::from_random([5; 16]));
    let mut upload = store.begin(&location, Algorithm::Sha256).await.unwrap();
    upload.append(content.clone()).await.unwrap();
    upload.finish(&Digest::of(Algorithm::Sha256, &content)).await.unwrap();

    // Connections from before the trouble are not used again.
    let store = ObjectBlobStore::open_s3(&options).await.unwrap();
    proxy.be_evil(true);
    let mut whole = 0;
    for _ in 0..40 {
        // Each on a connection of its own.
        proxy.be_evil(true);
        let Ok(body) = store.open(&location, 1000..content.len() as u64).await else { continue };
        if let Ok(pieces) = body.into_stream().try_collect::<Vec<_>>().await {
            assert!(pieces.concat() == content[1000..]);
            whole += 1;
        }
    }
    eprintln!("{whole} of 40 reads came to their end over {} troubles", proxy.troubles());
    assert!(whole >= 36 && proxy.troubles() > 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overloaded_store_is_told_from_a_broken_one() {
    let server = ObjectServer::versitygw();
    let proxy = FaultProxy::to(server.port(), 1).await;
    let store = ObjectBlobStore::open_s3(&s3_at(proxy.port())).await.unwrap();
    proxy.be_down(true);
    // What was connected before may serve a few requests more.
    let checked = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            if let Err(error) = store.check().await {
                return error;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    });
    let error = checked.await.unwrap();
    assert!(matches!(error, StorageError::Unavailable { .. }), "{error:?}");
    proxy.be_down(false);
    store.check().await.unwrap();
}
