use std::sync::Arc;

use bytes::Bytes;

use super::support::{Random, assert_nothing, begin, new_location, put, sha256};
use crate::{BlobStore, StorageError};

pub(super) async fn may_be_repeated(store: Arc<dyn BlobStore>) {
    let (location, other) = (new_location(), new_location());
    put(&*store, &location, &Bytes::from_static(b"content")).await;
    put(&*store, &other, &Bytes::from_static(b"content")).await;
    for _ in 0..2 {
        store.delete(&location).await.unwrap();
        store.abandon(&location, None).await.unwrap();
        assert_nothing(&*store, &location, "the removed").await;
        assert!(
            store.is_missing(&location, 1).await.unwrap() || store.size(&location).await.unwrap().is_none()
        );
    }
    assert_eq!(store.size(&other).await.unwrap(), Some(7), "same content, another key");
    for key in ["store/blobs/00/none", "elsewhere/none"] {
        store.delete(&key.parse().unwrap()).await.unwrap();
    }
}

pub(super) async fn an_abandoned_upload_can_not_be_finished(store: Arc<dyn BlobStore>) {
    for length in [10, 1_000_000] {
        let (location, content) = (new_location(), Random::new(16).bytes(length));
        let mut upload = begin(&*store, &location).await;
        upload.append(content.clone()).await.unwrap();
        let state = upload.checkpoint().await.unwrap();
        upload.append(content.clone()).await.unwrap();
        store.abandon(&location, Some(&state)).await.unwrap();
        let finished = upload.finish(&sha256(&content.repeat(2))).await;
        assert!(matches!(finished, Err(StorageError::UploadSuperseded { .. })), "{finished:?}");
        assert_nothing(&*store, &location, "the abandoned").await;
    }
}
