use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use registry_digest::Algorithm;
use registry_types::Location;

use super::support::{Random, assert_content, begin, new_location, put, sha256};
use crate::{BlobStore, StorageError, Upload, UploadState};

/// Goes on from a state as it comes back from where it was kept.
async fn resume(store: &dyn BlobStore, location: &Location, state: &UploadState) -> Box<dyn Upload> {
    let state = UploadState::from_bytes(&state.to_bytes()).unwrap();
    store.resume(location, &state).await.unwrap()
}

pub(super) async fn goes_on_at_any_offset(store: Arc<dyn BlobStore>) {
    for seed in 0..20 {
        let mut random = Random::new(seed);
        let length = random.below(1 << (6 + seed % 15));
        let (location, content) = (new_location(), random.bytes(length));
        let algorithm = Algorithm::ALL[random.below(Algorithm::ALL.len())];
        let mut upload = store.begin(&location, algorithm).await.unwrap();
        let longest = 1 + length / 3;
        for chunk in random.chunks(content.clone(), longest) {
            upload.append(chunk).await.unwrap();
            let state = upload.checkpoint().await.unwrap();
            assert_eq!(state.offset(), upload.offset(), "seed {seed}");
            // What comes after the checkpoint is for nothing, whether it was written or not.
            let garbage_bytes = random.below(300_000);
            upload.append(random.bytes(garbage_bytes)).await.unwrap();
            upload = resume(&*store, &location, &state).await;
            assert_eq!(upload.offset(), state.offset(), "seed {seed}");
        }
        upload.finish(&registry_digest::Digest::of(algorithm, &content)).await.unwrap();
        assert_content(&*store, &location, &content, &format!("seed {seed}")).await;
    }
}

pub(super) async fn what_came_after_the_checkpoint_does_not_count(store: Arc<dyn BlobStore>) {
    let location = new_location();
    let mut upload = begin(&*store, &location).await;
    upload.append(Bytes::from_static(b"kept ")).await.unwrap();
    let state = upload.checkpoint().await.unwrap();
    upload.append(Random::new(8).bytes(2_000_000)).await.unwrap();
    drop(upload);
    let mut upload = resume(&*store, &location, &state).await;
    upload.append(Bytes::from_static(b"end")).await.unwrap();
    upload.finish(&sha256(b"kept end")).await.unwrap();
    assert_content(&*store, &location, b"kept end", "what was resumed").await;
}

pub(super) async fn an_older_state_cuts_off_what_is_newer(store: Arc<dyn BlobStore>) {
    let location = new_location();
    let mut upload = begin(&*store, &location).await;
    upload.append(Bytes::from_static(b"old ")).await.unwrap();
    let older = upload.checkpoint().await.unwrap();
    upload.append(Random::new(9).bytes(1_000_000)).await.unwrap();
    upload.checkpoint().await.unwrap();
    drop(upload);
    resume(&*store, &location, &older).await.finish(&sha256(b"old ")).await.unwrap();
    assert_content(&*store, &location, b"old ", "the older state").await;
}

pub(super) async fn an_upload_begun_again_starts_empty(store: Arc<dyn BlobStore>) {
    let location = new_location();
    let mut upload = begin(&*store, &location).await;
    upload.append(Random::new(10).bytes(1_000_000)).await.unwrap();
    upload.checkpoint().await.unwrap();
    drop(upload);
    put(&*store, &location, &Bytes::from_static(b"again")).await;
    assert_content(&*store, &location, b"again", "what was begun again").await;
}

pub(super) async fn lost_bytes_are_noticed(store: Arc<dyn BlobStore>) {
    // More than a store keeps in the state of an upload.
    let lost = Random::new(18).bytes(100_000);
    for more in [&b""[..], b"more"] {
        let location = new_location();
        let mut upload = begin(&*store, &location).await;
        upload.append(lost.clone()).await.unwrap();
        let state = upload.checkpoint().await.unwrap();
        drop(upload);
        store.delete(&location).await.unwrap();
        let outcome = async {
            let mut upload = store.resume(&location, &state).await?;
            upload.append(more.into()).await?;
            upload.finish(&sha256(&[&lost[..], more].concat())).await
        };
        let outcome = outcome.await;
        assert!(
            matches!(
                outcome,
                Err(StorageError::UploadBytesLost { expected_bytes: 100_000, actual_bytes: 0, .. })
            ),
            "{outcome:?}"
        );
    }
}

pub(super) async fn a_checkpoint_of_nothing_goes_on_too(store: Arc<dyn BlobStore>) {
    let location = new_location();
    let state = begin(&*store, &location).await.checkpoint().await.unwrap();
    assert_eq!(state.offset(), 0);
    let mut upload = resume(&*store, &location, &state).await;
    upload.append(Bytes::from_static(b"something")).await.unwrap();
    upload.finish(&sha256(b"something")).await.unwrap();
    assert_content(&*store, &location, b"something", "what began with nothing").await;
}

pub(super) async fn the_later_of_two_writers_wins(store: Arc<dyn BlobStore>) {
    for length in [10, 1_000_000] {
        let (location, ours) = (new_location(), Random::new(11).bytes(length));
        let mut earlier = begin(&*store, &location).await;
        earlier.append(Bytes::from_static(b"both ")).await.unwrap();
        let state = earlier.checkpoint().await.unwrap();
        earlier.append(Random::new(12).bytes(length)).await.unwrap();

        let mut later = resume(&*store, &location, &state).await;
        later.append(ours.clone()).await.unwrap();
        let failed = earlier.checkpoint().await;
        assert!(matches!(failed, Err(StorageError::UploadSuperseded { .. })), "{failed:?}");
        let failed = earlier.append(Bytes::from_static(b"more")).await;
        assert!(matches!(failed, Err(StorageError::UploadFailed { .. })), "{failed:?}");
        drop(earlier);

        let content = [b"both ", &ours[..]].concat();
        later.finish(&sha256(&content)).await.unwrap();
        assert_content(&*store, &location, &content, "the later").await;
    }
}

pub(super) async fn a_dropped_finish_leaves_the_upload_usable(store: Arc<dyn BlobStore>) {
    for round in 0..20 {
        let (location, content) = (new_location(), Random::new(round).bytes(300_000));
        let mut upload = begin(&*store, &location).await;
        upload.append(content.slice(..100_000)).await.unwrap();
        let state = upload.checkpoint().await.unwrap();
        upload.append(Random::new(13).bytes(500_000)).await.unwrap();
        let _ = upload.finish(&sha256(b"never mind")).now_or_never();

        // Either the object was removed before this, or it can not be removed any more.
        let outcome = async {
            let mut upload = store.resume(&location, &state).await?;
            upload.append(content.slice(100_000..)).await?;
            upload.finish(&sha256(&content)).await
        };
        match outcome.await {
            Ok(_) => assert_content(&*store, &location, &content, "after a dropped finish").await,
            Err(StorageError::UploadBytesLost { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}
