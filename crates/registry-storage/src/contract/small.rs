use std::sync::Arc;

use bytes::Bytes;
use registry_types::Location;
use tokio::task::JoinSet;

use super::support::Random;
use crate::{Creation, SmallObjects, StorageError};

fn name(text: &str) -> Location {
    text.parse().unwrap()
}

pub(super) async fn are_created_once(store: Arc<dyn SmallObjects>) {
    let (one, other) = (name("store/journal/1"), name("store/journal/2"));
    assert_eq!(store.read(&one).await.unwrap(), None);
    assert_eq!(store.create(&one, Bytes::from_static(b"first")).await.unwrap(), Creation::Created);
    for again in [&b"first"[..], b"second", b""] {
        assert_eq!(store.create(&one, again.into()).await.unwrap(), Creation::Exists);
        assert_eq!(store.read(&one).await.unwrap().unwrap(), "first");
    }
    assert_eq!(store.create(&other, Bytes::new()).await.unwrap(), Creation::Created);
    assert_eq!(store.read(&other).await.unwrap().unwrap(), "", "an empty one");
}

pub(super) async fn one_of_many_attempts_creates(store: Arc<dyn SmallObjects>) {
    for round in 0..4 {
        let name = name(&format!("store/journal/{round}"));
        let mut attempts = JoinSet::new();
        for attempt in 0..16_u8 {
            let (store, name) = (store.clone(), name.clone());
            let content = Bytes::from(vec![attempt; 1000]);
            attempts.spawn(async move { (store.create(&name, content.clone()).await.unwrap(), content) });
        }
        let outcomes = attempts.join_all().await;
        let created: Vec<_> = outcomes.iter().filter(|(outcome, _)| *outcome == Creation::Created).collect();
        assert_eq!(created.len(), 1, "round {round}");
        assert_eq!(store.read(&name).await.unwrap().as_ref(), Some(&created[0].1), "round {round}");
    }
}

pub(super) async fn are_read_whole(store: Arc<dyn SmallObjects>) {
    for length in [1, 1000, 65_536, 6_000_001] {
        let (name, content) = (name(&format!("store/journal/of-{length}")), Random::new(20).bytes(length));
        assert_eq!(store.create(&name, content.clone()).await.unwrap(), Creation::Created);
        assert!(store.read(&name).await.unwrap().unwrap() == content, "{length} bytes");
    }
}

pub(super) async fn are_listed_in_order(store: Arc<dyn SmallObjects>) {
    let mut names: Vec<Location> = (1..26).map(|n| name(&format!("store/journal/{n}"))).collect();
    names.extend(["store/journal/0/below", "store/journal/1-beside", "store/journal/1.txt"].map(name));
    for (index, name) in names.iter().enumerate() {
        store.create(name, vec![7; index].into()).await.unwrap();
    }
    for beside in ["store/journals/1", "store/journa", "store/a/1", "store/z/1"] {
        store.create(&name(beside), Bytes::from_static(b"beside")).await.unwrap();
    }
    let sizes: std::collections::HashMap<_, _> = names.iter().cloned().zip(0..).collect();
    names.sort();
    let folder = name("store/journal");
    for limit in [1, 2, 7, 27, 28, 29, usize::MAX] {
        let mut found = Vec::new();
        loop {
            let page = store.list_small(&folder, found.last(), limit).await.unwrap();
            assert!(page.len() <= limit);
            assert!(page.iter().all(|object| object.size_bytes == sizes[&object.location]));
            let is_last = page.len() < limit;
            found.extend(page.into_iter().map(|object| object.location));
            if is_last {
                break;
            }
        }
        assert_eq!(found, names, "pages of {limit}");
    }
    let after = |text| name(text);
    let count = async |after: Location| store.list_small(&folder, Some(&after), 100).await.unwrap().len();
    assert_eq!(count(after("store/a")).await, 28, "after something before all");
    assert_eq!(count(after("store/journal/99")).await, 0, "after something behind all");
    assert_eq!(count(after("store/z")).await, 0);
    assert_eq!(store.list_small(&name("store/nothing"), None, 5).await.unwrap(), []);
    assert_eq!(store.list_small(&folder, None, 0).await.unwrap(), []);
}

pub(super) async fn are_removed(store: Arc<dyn SmallObjects>) {
    let (one, beside) = (name("store/journal/1"), name("store/journal/11"));
    for name in [&one, &beside] {
        store.create(name, Bytes::from_static(b"content")).await.unwrap();
    }
    for _ in 0..2 {
        store.remove(&one).await.unwrap();
        assert_eq!(store.read(&one).await.unwrap(), None);
    }
    assert_eq!(store.list_small(&name("store/journal"), None, 5).await.unwrap().len(), 1);
    assert_eq!(store.create(&one, Bytes::from_static(b"again")).await.unwrap(), Creation::Created);
    assert_eq!(store.read(&one).await.unwrap().unwrap(), "again");
}

pub(super) async fn have_names_of_their_own(store: Arc<dyn SmallObjects>) {
    for text in ["store/identity", "store/blobs/00/a", "store/lock", "journal/1", "store", "docker/registry"]
    {
        let name = name(text);
        let refused = |outcome: Result<(), StorageError>| {
            assert!(matches!(outcome, Err(StorageError::NotForSmallObjects { .. })), "{text}: {outcome:?}");
        };
        refused(store.create(&name, Bytes::new()).await.map(drop));
        refused(store.read(&name).await.map(drop));
        refused(store.list_small(&name, None, 1).await.map(drop));
        refused(store.remove(&name).await);
    }
}
