use std::sync::Arc;

use tokio::task::JoinSet;

use crate::{BlobStore, StorageError, StoreIdentity};

pub(super) async fn is_decided_once(store: Arc<dyn BlobStore>) {
    store.check().await.unwrap();
    assert_eq!(store.read_identity().await.unwrap(), None);
    let identity = StoreIdentity::random().unwrap();
    store.create_identity(&identity).await.unwrap();
    assert_eq!(store.read_identity().await.unwrap(), Some(identity.clone()));
    for other in [identity.clone(), StoreIdentity::random().unwrap()] {
        let again = store.create_identity(&other).await;
        assert!(matches!(again, Err(StorageError::IdentityExists)), "{again:?}");
    }
    assert_eq!(store.read_identity().await.unwrap(), Some(identity));
    assert_eq!(store.list(None, 10).await.unwrap(), [], "the identity is no object");
}

pub(super) async fn one_of_many_attempts_wins(store: Arc<dyn BlobStore>) {
    let mut attempts = JoinSet::new();
    for _ in 0..16 {
        let store = store.clone();
        attempts.spawn(async move {
            let identity = StoreIdentity::random().unwrap();
            store.create_identity(&identity).await.map(|()| identity)
        });
    }
    let outcomes = attempts.join_all().await;
    let winners: Vec<_> = outcomes.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(store.read_identity().await.unwrap().as_ref(), winners.first());
}

pub(super) async fn the_last_mark_is_kept(store: Arc<dyn BlobStore>) {
    assert_eq!(store.read_mark().await.unwrap(), None);
    for mark in [7, 1_790_000_000_000, 8] {
        let is_kept = store.write_mark(mark).await.unwrap();
        assert_eq!(store.read_mark().await.unwrap(), is_kept.then_some(mark));
    }
    assert_eq!(store.list(None, 10).await.unwrap(), [], "the mark is no object");
}
