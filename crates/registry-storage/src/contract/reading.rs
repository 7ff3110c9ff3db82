use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;

use super::support::{Random, new_location, put, read};
use crate::{BlobStore, StorageError};

pub(super) async fn ranges_are_exact(store: Arc<dyn BlobStore>) {
    let (location, content) = (new_location(), Random::new(14).bytes(600_001));
    put(&*store, &location, &content).await;
    let end = content.len() as u64;
    for range in [0..0, 0..1, 0..end, 1..end, end - 1..end, end..end, 262_143..262_145, 100..500_000] {
        let expected = &content[range.start as usize..range.end as usize];
        let found = read(&*store, &location, range.clone()).await.unwrap();
        assert!(found == expected, "{range:?}");
    }
    for range in [0..end + 1, end..end + 1, end + 1..end + 2, 0..u64::MAX, u64::MAX - 1..u64::MAX] {
        match store.open(&location, range.clone()).await {
            Err(StorageError::Truncated { expected_bytes, actual_bytes, .. }) => {
                assert_eq!((expected_bytes, actual_bytes), (range.end, end));
            }
            other => panic!("{range:?}: {other:?}"),
        }
    }
    for key in ["store/blobs/00/none", "store/blobs/00", "store", "elsewhere/none", "store/identity/none"] {
        let opened = store.open(&key.parse().unwrap(), 0..0).await;
        assert!(matches!(opened, Err(StorageError::Missing { .. })), "{key}: {opened:?}");
    }
}

pub(super) async fn an_opened_object_outlives_its_removal(store: Arc<dyn BlobStore>) {
    let (location, content) = (new_location(), Random::new(15).bytes(2_000_000));
    put(&*store, &location, &content).await;
    let mut body = store.open(&location, 10..content.len() as u64).await.unwrap().into_stream();
    let first = body.try_next().await.unwrap().unwrap();
    store.delete(&location).await.unwrap();
    let rest: Vec<Bytes> = body.try_collect().await.unwrap();
    assert!([&first[..], &rest.concat()].concat() == content[10..]);
}
