use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use registry_digest::{Algorithm, Digest};
use tokio::task::JoinSet;

use super::support::{Random, assert_content, assert_nothing, begin, new_location, put, sha256};
use crate::{BlobStore, StorageError};

pub(super) async fn finished_objects_read_back(store: Arc<dyn BlobStore>) {
    let mut random = Random::new(1);
    for length in [0, 1, 10_000, 256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1, 3_000_000] {
        let (location, content) = (new_location(), random.bytes(length));
        put(&*store, &location, &content).await;
        assert_content(&*store, &location, &content, &format!("{length} bytes")).await;
    }
}

pub(super) async fn any_chunking_gives_the_same_object(store: Arc<dyn BlobStore>) {
    for seed in 0..40 {
        let mut random = Random::new(seed);
        let length = random.below(1 << (4 + seed % 17));
        let (location, content) = (new_location(), random.bytes(length));
        let longest = 1 << random.below(19);
        let mut upload = begin(&*store, &location).await;
        let mut offset = 0;
        for chunk in random.chunks(content.clone(), longest) {
            offset += chunk.len() as u64;
            upload.append(chunk).await.unwrap();
            assert_eq!(upload.offset(), offset);
        }
        assert_eq!(upload.finish(&sha256(&content)).await.unwrap(), offset);
        assert_content(&*store, &location, &content, &format!("seed {seed}")).await;
    }
}

pub(super) async fn a_mismatch_leaves_nothing(store: Arc<dyn BlobStore>) {
    for (length, with_checkpoint) in
        [(0, false), (10, false), (10, true), (1_000_000, false), (1_000_000, true)]
    {
        let case = format!("{length} bytes, with checkpoint: {with_checkpoint}");
        let (location, content) = (new_location(), Random::new(2).bytes(length));
        let mut upload = begin(&*store, &location).await;
        upload.append(content.clone()).await.unwrap();
        if with_checkpoint {
            upload.checkpoint().await.unwrap();
        }
        match upload.finish(&sha256(b"something else")).await {
            Err(StorageError::DigestMismatch { expected, actual }) => {
                assert_eq!(*expected, sha256(b"something else"), "{case}");
                assert_eq!(*actual, sha256(&content), "{case}");
            }
            other => panic!("{case}: {other:?}"),
        }
        assert_nothing(&*store, &location, &case).await;
    }
}

pub(super) async fn the_closing_digest_may_be_of_another_algorithm(store: Arc<dyn BlobStore>) {
    for length in [0, 5, 700_000] {
        let content = Random::new(3).bytes(length);
        for (begun, closed) in
            [(Algorithm::Sha256, Algorithm::Sha512), (Algorithm::Sha512, Algorithm::Sha256)]
        {
            let (right, wrong) = (Digest::of(closed, &content), Digest::of(closed, b"something else"));
            for (digest, is_right) in [(right, true), (wrong, false)] {
                let case = format!("{length} bytes, {begun} closed with {digest}");
                let location = new_location();
                let mut upload = store.begin(&location, begun).await.unwrap();
                upload.append(content.clone()).await.unwrap();
                let state = upload.checkpoint().await.unwrap();
                drop(upload);
                let finished = store.resume(&location, &state).await.unwrap().finish(&digest).await;
                if is_right {
                    assert_eq!(finished.unwrap(), length as u64, "{case}");
                    assert_content(&*store, &location, &content, &case).await;
                } else {
                    assert!(
                        matches!(&finished, Err(StorageError::DigestMismatch { actual, .. }) if **actual == right),
                        "{case}: {finished:?}"
                    );
                    assert_nothing(&*store, &location, &case).await;
                }
            }
        }
    }
}

pub(super) async fn only_keys_of_uploads_are_taken(store: Arc<dyn BlobStore>) {
    for key in ["store/identity", "store/lock", "docker/registry/v2/blobs/sha256/aa/aab/data"] {
        let begun = store.begin(&key.parse().unwrap(), Algorithm::Sha256).await;
        assert!(matches!(begun, Err(StorageError::NotForUploads { .. })), "{key}");
    }
}

pub(super) async fn many_at_once_do_not_disturb_each_other(store: Arc<dyn BlobStore>) {
    let mut uploads = JoinSet::new();
    for task in 0..24_u64 {
        let store = store.clone();
        uploads.spawn(async move {
            // Some have the same content, under keys of their own.
            let mut random = Random::new(task / 4);
            for _ in 0..8 {
                let length = random.below(600_000);
                let (location, content) = (new_location(), random.bytes(length));
                let mut upload = begin(&*store, &location).await;
                for chunk in random.chunks(content.clone(), 100_000) {
                    upload.append(chunk).await.unwrap();
                }
                upload.finish(&sha256(&content)).await.unwrap();
                assert_content(&*store, &location, &content, &format!("task {task}")).await;
            }
        });
    }
    uploads.join_all().await;
    assert_eq!(store.list(None, usize::MAX).await.unwrap().len(), 24 * 8);
}

pub(super) async fn a_dropped_append_appended_nothing(store: Arc<dyn BlobStore>) {
    let (location, content) = (new_location(), Random::new(4).bytes(8_000_000));
    let mut upload = begin(&*store, &location).await;
    let mut appended = Vec::new();
    let mut dropped = 0;
    for chunk in Random::new(5).chunks(content, 400_000) {
        match upload.append(chunk.clone()).now_or_never() {
            Some(result) => {
                result.unwrap();
                appended.push(chunk);
            }
            None => {
                dropped += 1;
                if dropped % 2 == 0 {
                    tokio::task::yield_now().await;
                }
            }
        }
        assert_eq!(upload.offset(), appended.iter().map(|chunk| chunk.len() as u64).sum::<u64>());
    }
    let content = appended.concat();
    upload.finish(&sha256(&content)).await.unwrap();
    assert_content(&*store, &location, &content, &format!("{dropped} dropped")).await;
}

pub(super) async fn a_dropped_checkpoint_may_be_repeated(store: Arc<dyn BlobStore>) {
    let (location, content) = (new_location(), Random::new(6).bytes(100_000));
    let mut upload = begin(&*store, &location).await;
    for chunk in Random::new(7).chunks(content.clone(), 30_000) {
        upload.append(chunk).await.unwrap();
        let _ = upload.checkpoint().now_or_never();
    }
    let state = upload.checkpoint().await.unwrap();
    assert_eq!(state, upload.checkpoint().await.unwrap(), "nothing came between");
    assert_eq!(state.offset(), content.len() as u64);
    upload.append(Bytes::from_static(b"end")).await.unwrap();
    let content = [&content[..], b"end"].concat();
    upload.finish(&sha256(&content)).await.unwrap();
    assert_content(&*store, &location, &content, "after dropped checkpoints").await;
}
