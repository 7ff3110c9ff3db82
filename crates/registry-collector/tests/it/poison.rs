//! One thing that can not be dealt with, in each loop over many: the others have their turn, in this collection and in the
//! next ones.

use std::{collections::BTreeSet, ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use registry_collector::{Collector, CollectorOptions, Report};
use registry_digest::Algorithm;
use registry_metadata::{Options, Purpose, PutManifest};
use registry_storage::{
    BlobStore, Body, MemoryStore, ObjectInfo, StorageError, StoreIdentity, Upload, UploadState,
};
use registry_types::{Cause, Location, Manifest, MediaType, Reference, RepositoryName};

use crate::world::{DAY, World};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// A store that can neither read nor delete some of its objects.
#[derive(Debug)]
struct Poisoned {
    inner: Arc<MemoryStore>,
    bad: BTreeSet<Location>,
}

impl Poisoned {
    fn check(&self, location: &Location) -> Result<(), StorageError> {
        match self.bad.contains(location) {
            true => Err(StorageError::Backend { operation: "reach an object", source: "it is bad".into() }),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl BlobStore for Poisoned {
    async fn read_identity(&self) -> Result<Option<StoreIdentity>, StorageError> {
        self.inner.read_identity().await
    }

    async fn create_identity(&self, identity: &StoreIdentity) -> Result<(), StorageError> {
        self.inner.create_identity(identity).await
    }

    async fn begin(
        &self,
        location: &Location,
        algorithm: Algorithm,
    ) -> Result<Box<dyn Upload>, StorageError> {
        self.inner.begin(location, algorithm).await
    }

    async fn resume(
        &self,
        location: &Location,
        state: &UploadState,
    ) -> Result<Box<dyn Upload>, StorageError> {
        self.inner.resume(location, state).await
    }

    async fn abandon(&self, location: &Location, state: Option<&UploadState>) -> Result<(), StorageError> {
        self.check(location)?;
        self.inner.abandon(location, state).await
    }

    async fn open(&self, location: &Location, range: Range<u64>) -> Result<Body, StorageError> {
        self.check(location)?;
        self.inner.open(location, range).await
    }

    async fn size(&self, location: &Location) -> Result<Option<u64>, StorageError> {
        self.inner.size(location).await
    }

    async fn is_missing(&self, location: &Location, size_bytes: u64) -> Result<bool, StorageError> {
        self.inner.is_missing(location, size_bytes).await
    }

    async fn delete(&self, location: &Location) -> Result<(), StorageError> {
        self.check(location)?;
        self.inner.delete(location).await
    }

    async fn list(&self, after: Option<&Location>, limit: usize) -> Result<Vec<ObjectInfo>, StorageError> {
        self.inner.list(after, limit).await
    }

    async fn check(&self) -> Result<(), StorageError> {
        self.inner.check().await
    }
}

async fn collect(world: &World, bad: &[Location]) -> Report {
    let store = Poisoned { inner: world.store.clone(), bad: bad.iter().cloned().collect() };
    let options = CollectorOptions::default().unlimited();
    Collector::new(world.metadata.clone(), Arc::new(store), options).collect(&()).await
}

fn repo() -> RepositoryName {
    "a".parse().unwrap()
}

/// Pushes an image whose label says when its tag expires; returns where its config lies.
async fn push(world: &World, tag: &str, expires_after: &str) -> Location {
    let config =
        format!(r#"{{"config":{{"Labels":{{"quay.expires-after":"{expires_after}","tag":"{tag}"}}}}}}"#);
    let (digest, location) = world.push("a", config.as_bytes()).await;
    let document = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","layers":[],
            "config":{{"mediaType":"{}","digest":"{digest}","size":{}}}}}"#,
        MediaType::OCI_MANIFEST,
        MediaType::OCI_CONFIG,
        config.len()
    );
    let manifest = Manifest::parse(None, document.into()).unwrap();
    let put = PutManifest {
        repository: &repo(),
        digest: manifest.digest(Algorithm::Sha256),
        manifest: &manifest,
        tags: &[tag.parse().unwrap()],
        required: &[digest],
        required_children: &[],
        cause: &Cause::UNKNOWN,
    };
    world.metadata.put_manifest(&put).await.unwrap();
    location
}

async fn is_there(world: &World, tag: &str) -> bool {
    let reference: Reference = tag.parse().unwrap();
    world.metadata.manifest(&repo(), &reference, Purpose::Read).await.unwrap().is_some()
}

#[tokio::test]
async fn an_image_without_end_keeps_no_other_from_expiring() {
    for endless in ["18446744073709551615s", "9223372036854775807s", "99999999999w", "36501d"] {
        let world = World::new(Options::default());
        push(&world, "endless", endless).await;
        push(&world, "short", "1h").await;
        let report = collect(&world, &[]).await;
        assert!(report.is_complete(), "{report}");
        world.clock.advance(HOUR);
        assert!(collect(&world, &[]).await.is_complete());
        assert!(is_there(&world, "endless").await && !is_there(&world, "short").await, "{endless}");
        world.clock.advance(DAY * 365 * 200);
        assert!(collect(&world, &[]).await.is_complete());
        assert!(is_there(&world, "endless").await, "{endless}");
    }
}

#[tokio::test]
async fn a_config_that_can_not_be_read_keeps_no_other_from_being_read() {
    let world = World::new(Options::default());
    let mut bad = Vec::new();
    for number in 0..10 {
        bad.push(push(&world, &format!("bad{number}"), "1h").await);
        push(&world, &format!("good{number}"), "1h").await;
    }
    let report = collect(&world, &bad).await;
    assert_eq!(report.failed, 10, "{report}");
    world.clock.advance(Duration::from_secs(60));
    let again = collect(&world, &bad).await;
    assert_eq!(again.failed, 0, "each is put off: {again}");
    world.clock.advance(HOUR);
    collect(&world, &bad).await;
    for number in 0..10 {
        assert!(is_there(&world, &format!("bad{number}")).await);
        assert!(!is_there(&world, &format!("good{number}")).await);
    }
    // The store is well again.
    world.clock.advance(HOUR);
    collect(&world, &[]).await;
    assert!(!is_there(&world, "bad0").await);
}

/// More than are tried in one collection: the next one goes on behind them.
#[tokio::test]
async fn many_configs_that_can_not_be_read_only_delay_the_others() {
    let world = World::new(Options::default());
    let mut bad = Vec::new();
    for number in 0..50 {
        bad.push(push(&world, &format!("bad{number}"), "1h").await);
    }
    push(&world, "good", "1h").await;
    let mut failed = 0;
    for _ in 0..4 {
        failed += collect(&world, &bad).await.failed;
    }
    assert_eq!(failed, 50, "each once");
    world.clock.advance(HOUR);
    collect(&world, &bad).await;
    assert!(!is_there(&world, "good").await);
}

#[tokio::test]
async fn bytes_that_can_not_be_deleted_keep_no_others_from_it() {
    let world = World::new(Options::default());
    let (_, bad) = world.push("a", b"bad").await;
    let (_, good) = world.push("a", b"good").await;
    world.clock.advance(DAY * 2);
    collect(&world, std::slice::from_ref(&bad)).await;
    world.clock.advance(HOUR);
    let report = collect(&world, std::slice::from_ref(&bad)).await;
    assert_eq!((report.objects_deleted, report.failed), (1, 1), "{report}");
    assert!(world.is_stored(&bad).await && !world.is_stored(&good).await);
    assert_eq!(collect(&world, std::slice::from_ref(&bad)).await.failed, 0, "it is put off");
    world.clock.advance(HOUR);
    assert_eq!(collect(&world, &[]).await.objects_deleted, 1);
    assert!(!world.is_stored(&bad).await);
}

/// A label that two readers see differently is none.
#[tokio::test]
async fn an_ambiguous_label_makes_nothing_expire() {
    let world = World::new(Options::default());
    push(&world, "twice", r#"1h","quay.expires-after":"2h"#).await;
    collect(&world, &[]).await;
    world.clock.advance(HOUR * 3);
    collect(&world, &[]).await;
    assert!(is_there(&world, "twice").await);
}
