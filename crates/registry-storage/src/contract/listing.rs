use std::sync::Arc;

use bytes::Bytes;
use registry_types::Location;

use super::support::{Random, begin, new_location, put};
use crate::{BlobStore, ObjectInfo};

async fn pages(store: &dyn BlobStore, limit: usize) -> Vec<ObjectInfo> {
    let mut objects: Vec<ObjectInfo> = Vec::new();
    loop {
        let after = objects.last().map(|object| object.location.clone());
        let page = store.list(after.as_ref(), limit).await.unwrap();
        assert!(page.len() <= limit);
        let is_last = page.len() < limit;
        objects.extend(page);
        if is_last {
            return objects;
        }
    }
}

pub(super) async fn is_ordered_and_complete(store: Arc<dyn BlobStore>) {
    let mut locations: Vec<Location> = (0..120).map(|_| new_location()).collect();
    for (index, location) in locations.iter().enumerate() {
        put(&*store, location, &Bytes::from(vec![0; index])).await;
    }
    let sizes: std::collections::HashMap<_, _> = locations.iter().cloned().zip(0..).collect();
    locations.sort();
    for limit in [1, 2, 7, 119, 120, 121, usize::MAX] {
        let objects = pages(&*store, limit).await;
        let found: Vec<_> = objects.iter().map(|object| object.location.clone()).collect();
        assert_eq!(found, locations, "pages of {limit}");
        assert!(objects.iter().all(|object| object.size_bytes == sizes[&object.location]));
    }
    let after = |text: &str| {
        let after: Location = text.parse().unwrap();
        let store = store.clone();
        async move { store.list(Some(&after), usize::MAX).await.unwrap().len() }
    };
    assert_eq!(after("store").await, 120, "after something before all");
    assert_eq!(after("store/blobs").await, 120);
    assert_eq!(after("store/blobs/zz").await, 0, "after something behind all");
    assert_eq!(after("store/blobs/80").await, after("store/blobs/7f/zzz").await, "between two shards");
    assert_eq!(store.list(None, 0).await.unwrap(), []);
}

pub(super) async fn shows_uploads_that_are_not_finished(store: Arc<dyn BlobStore>) {
    let location = new_location();
    let mut upload = begin(&*store, &location).await;
    // More than a store keeps in the state of an upload.
    upload.append(Random::new(17).bytes(100_000)).await.unwrap();
    upload.checkpoint().await.unwrap();
    let listed = store.list(None, 10).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0].location, listed[0].size_bytes), (&location, 100_000));
}

pub(super) async fn an_empty_store_has_nothing(store: Arc<dyn BlobStore>) {
    assert_eq!(store.list(None, 10).await.unwrap(), []);
    assert_eq!(store.list(Some(&new_location()), 10).await.unwrap(), []);
}
