//! What a journal does for content: a registry whose database is lost, old, or not the store's.

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use registry_digest::{Algorithm, Digest};
use registry_events::Recorder;
use registry_journal::{JournalOptions, JournalReport, verify_journal};
use registry_storage::{Creation, MemoryStore, ObjectInfo, SmallObjects, StorageError};
use registry_types::{Cause, Location, Manifest, RepositoryName, UploadId};
use tempfile::TempDir;
use tokio::sync::watch;

use super::{
    backend::{START_MS, rows},
    model::Model,
};
use crate::{
    FinishUpload, JournalPlace, MetadataError, NewUpload, OpenError, Options, Purpose, PutManifest, Quota,
    SqliteStore, clock::ManualClock, contract::OWNERS_WITH_EVENTS, traits::*,
};

const SEEDS: u64 = 8;
const STEPS: usize = 150;

const SOON: Duration = Duration::from_millis(100);
const LATE: Duration = Duration::from_secs(20);

/// Objects in memory, whose creation waits while they are held.
#[derive(Clone, Debug)]
struct Objects {
    store: MemoryStore,
    held: Arc<watch::Sender<bool>>,
}

impl Objects {
    fn new() -> Objects {
        Objects { store: MemoryStore::new(), held: Arc::new(watch::Sender::new(false)) }
    }

    fn hold(&self, is_held: bool) {
        self.held.send_replace(is_held);
    }
}

#[async_trait]
impl SmallObjects for Objects {
    async fn create(&self, name: &Location, bytes: Bytes) -> Result<Creation, StorageError> {
        let mut held = self.held.subscribe();
        let _ = held.wait_for(|held| !held).await;
        self.store.create(name, bytes).await
    }

    async fn read(&self, name: &Location) -> Result<Option<Bytes>, StorageError> {
        self.store.read(name).await
    }

    async fn list_small(
        &self,
        folder: &Location,
        after: Option<&Location>,
        limit: usize,
    ) -> Result<Vec<ObjectInfo>, StorageError> {
        self.store.list_small(folder, after, limit).await
    }

    async fn remove(&self, name: &Location) -> Result<(), StorageError> {
        SmallObjects::remove(&self.store, name).await
    }
}

/// A folder with databases, a journal, and a clock for all.
struct Bench {
    folder: TempDir,
    objects: Objects,
    clock: ManualClock,
    options: JournalOptions,
    store_id: Option<String>,
    /// Of which repositories there is a quota.
    quota: String,
}

impl Bench {
    fn new() -> Bench {
        Bench {
            folder: tempfile::tempdir().unwrap(),
            objects: Objects::new(),
            clock: ManualClock::at_ms(START_MS),
            options: JournalOptions { retention: Duration::ZERO, ..JournalOptions::default() },
            store_id: None,
            quota: "b/".to_owned(),
        }
    }

    /// Snapshots after so many entries.
    fn snapshots(mut self, entries: u64) -> Bench {
        self.options.snapshot_entries = entries;
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn try_open(&self, name: &str) -> Result<SqliteStore, OpenError> {
        let quotas = vec![Quota { prefix: self.quota.clone(), ..Quota::default() }];
        let (owners, recorder) = (OWNERS_WITH_EVENTS, Recorder::new());
        let options = Options { quotas, owners, recorder, ..Options::default() };
        let place = JournalPlace {
            options: self.options.clone(),
            objects: Arc::new(self.objects.clone()),
            store_id: self.store_id.clone(),
        };
        SqliteStore::open_journalled(self.path(name), options, Arc::new(self.clock.clone()), place).await
    }

    async fn open(&self, name: &str) -> SqliteStore {
        self.try_open(name).await.unwrap()
    }

    fn open_plain(&self, name: &str) -> Result<SqliteStore, OpenError> {
        SqliteStore::open(self.path(name), Options::default(), Arc::new(self.clock.clone()))
    }

    /// Copies a database as a crash would leave it.
    fn copy(&self, from: &str, to: &str) {
        for suffix in ["", "-wal"] {
            let with = |name: &str| self.path(&format!("{name}{suffix}"));
            if with(from).exists() {
                std::fs::copy(with(from), with(to)).unwrap();
            }
        }
    }

    async fn verified(&self, name: &str) -> JournalReport {
        let objects = Arc::new(self.objects.clone());
        let report = verify_journal(&self.path(name), OWNERS_WITH_EVENTS, objects).await.unwrap();
        assert_eq!(report.problems, Vec::<String>::new(), "{report:?}");
        report
    }
}

/// Dropping waits for threads.
async fn close(store: SqliteStore) {
    tokio::task::spawn_blocking(move || drop(store)).await.unwrap();
}

fn repository() -> RepositoryName {
    "team/app".parse().unwrap()
}

/// Pushes a blob of these bytes.
async fn push_blob(store: &SqliteStore, content: &str) -> Result<Digest, MetadataError> {
    let digest = Digest::of(Algorithm::Sha256, content.as_bytes());
    let id = UploadId::from_random(digest.as_bytes()[..16].try_into().unwrap());
    let (repository, location) = (repository(), Location::of_upload(&id));
    let new = NewUpload { id, repository: repository.clone(), location, algorithm: Algorithm::Sha256 };
    store.start_upload(&new).await?;
    let epoch = store.claim_upload(&repository, &id).await?.epoch;
    let size_bytes = content.len() as u64;
    let finish = FinishUpload { repository, id, epoch, digest, size_bytes, replaces: None };
    let finished = store.finish_upload(&finish).await;
    store.release_upload(&id, epoch);
    finished.map(|()| digest)
}

/// Pushes an image of one blob, under a tag of this name.
async fn push(store: &SqliteStore, name: &str) -> Result<Digest, MetadataError> {
    let blob = push_blob(store, name).await?;
    tag(store, name, blob).await
}

/// Pushes an image of a blob that is there.
async fn tag(store: &SqliteStore, name: &str, blob: Digest) -> Result<Digest, MetadataError> {
    let descriptor = |kind: &str| {
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.{kind}","digest":"{blob}","size":{}}}"#,
            name.len()
        )
    };
    let manifest = Manifest::parse(
        None,
        Bytes::from(format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[{}]}}"#,
            descriptor("config.v1+json"),
            descriptor("layer.v1.tar"),
        )),
    )
    .unwrap();
    let digest = manifest.digest(Algorithm::Sha256);
    let put = PutManifest {
        repository: &repository(),
        digest,
        manifest: &manifest,
        tags: &[name.parse().unwrap()],
        required: &[blob],
        required_children: &[],
        cause: &Cause::by("anna"),
    };
    store.put_manifest(&put).await.map(|()| digest)
}

async fn resolve(store: &SqliteStore, tag: &str) -> Option<Digest> {
    let found = store.manifest(&repository(), &tag.parse().unwrap(), Purpose::Read).await.unwrap();
    found.map(|manifest| manifest.digest)
}

/// Everything that a database has but for what is volatile and the journal's own.
fn dump(store: &SqliteStore) -> Vec<String> {
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'
        AND name NOT LIKE 'journal%' ORDER BY name";
    let mut dump = Vec::new();
    for table in rows(store, tables)
        .iter()
        .filter(|table| !OWNERS_WITH_EVENTS.volatile().any(|volatile| volatile == *table))
    {
        let mut all = rows(store, &format!("SELECT * FROM {table}"));
        all.sort();
        dump.extend(all.into_iter().map(|row| format!("{table}: {row}")));
    }
    dump
}

/// Whatever clients, clock and collector do, the journal leads to the same rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_lost_is_made_again_row_by_row() {
    for seed in 0..SEEDS {
        // With many snapshots, with few, and with none but the first.
        let bench = Bench::new().snapshots([5, 40, 10_000][seed as usize % 3]);
        let options = Options { undelete_window: Duration::ZERO, ..Options::default() };
        let store = bench.open("first").await;
        store.begin_quotas().await.unwrap();
        let mut model = Model::on(seed, store, bench.clock.clone(), options);
        let mut copied = Vec::new();
        for round in 0..3 {
            model.steps(STEPS / 3).await;
            let copy = format!("copy{round}");
            bench.copy("first", &copy);
            copied.push(copy);
        }
        let store = model.into_store();
        store.journal_settled().await.unwrap();
        let expected = dump(&store);
        assert!(expected.len() > 20, "seed {seed}: too little has happened");
        let events = expected.iter().filter(|row| row.starts_with("events: "));
        assert!(events.count() > 10, "seed {seed}: too little was told");
        close(store).await;
        bench.verified("first").await;
        let again = bench.open("second").await;
        assert_eq!(dump(&again), expected, "seed {seed}");
        assert_eq!(again.verify().await.unwrap(), [""; 0], "seed {seed}");
        close(again).await;
        for copy in copied {
            let old = bench.open(&copy).await;
            assert_eq!(dump(&old), expected, "seed {seed}, {copy}");
            close(old).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_and_promises_wait_for_the_store_and_readers_do_not() {
    let bench = Bench::new();
    let store = Arc::new(bench.open("first").await);
    let blob = push_blob(&store, "one").await.unwrap();
    bench.objects.hold(true);
    let pushing = tokio::spawn({
        let store = store.clone();
        async move { tag(&store, "one", blob).await }
    });
    let seen = async {
        while resolve(&store, "one").await.is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LATE, seen).await.unwrap();
    let (repository, reference) = (repository(), "one".parse().unwrap());
    let promise = store.manifest(&repository, &reference, Purpose::Promise);
    assert!(tokio::time::timeout(SOON, promise).await.is_err(), "a promise of what is not stored");
    let promise = store.blob(&repository, &blob, Purpose::Promise);
    assert!(tokio::time::timeout(SOON, promise).await.is_err());
    assert!(tokio::time::timeout(SOON, store.reclaimable(1)).await.is_err());
    assert!(!pushing.is_finished());
    let status = store.journal_status().unwrap();
    assert!(status.committed > status.stored && status.pending_bytes > 0, "{status:?}");
    bench.objects.hold(false);
    pushing.await.unwrap().unwrap();
    tokio::time::timeout(LATE, store.manifest(&repository, &reference, Purpose::Promise))
        .await
        .unwrap()
        .unwrap();
    let status = store.journal_status().unwrap();
    assert_eq!((status.stored, status.pending_bytes, status.behind), (status.committed, 0, Duration::ZERO));
}

/// Sessions of an old database may have become blobs since, which they would overwrite.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_database_forgets_its_sessions_and_a_current_one_does_not() {
    let bench = Bench::new();
    let store = bench.open("first").await;
    push_blob(&store, "x").await.unwrap();
    let id = UploadId::from_random([9; 16]);
    let new = NewUpload {
        id,
        repository: repository(),
        location: Location::of_upload(&id),
        algorithm: Algorithm::Sha256,
    };
    store.start_upload(&new).await.unwrap();
    bench.copy("first", "old");
    close(store).await;
    let store = bench.open("first").await;
    assert!(store.upload(&repository(), &id).await.unwrap().is_some());
    push(&store, "later").await.unwrap();
    close(store).await;
    let old = bench.open("old").await;
    assert!(old.upload(&repository(), &id).await.unwrap().is_none());
    assert!(resolve(&old, "later").await.is_some());
}

/// However much there is to be counted at once, it has to fit nowhere; and what is lost is counted again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_counted_for_quotas_is_not_journalled_and_counted_again() {
    let mut bench = Bench::new();
    bench.quota = "team/".to_owned();
    let store = bench.open("first").await;
    let before = rows(&store, "SELECT number FROM journal_state");
    push(&store, "one").await.unwrap();
    let pushed = rows(&store, "SELECT number FROM journal_state");
    assert_ne!(pushed, before);
    store.begin_quotas().await.unwrap();
    assert_eq!(
        rows(&store, "SELECT number FROM journal_state"),
        pushed,
        "counting is no commit of the journal"
    );
    bench.copy("first", "old");
    push(&store, "two").await.unwrap();
    let usage = store.quota_usage().await.unwrap();
    assert_eq!(usage[0].usage.unwrap().tags, 2);
    // What a session has saved is lost with the session.
    let id = UploadId::from_random([9; 16]);
    let (repository, location) = (repository(), Location::of_upload(&id));
    let new = NewUpload { id, repository, location, algorithm: Algorithm::Sha256 };
    store.start_upload(&new).await.unwrap();
    let claim = store.claim_upload(&new.repository, &id).await.unwrap();
    store.save_upload(&id, claim.epoch, 100, b"state").await.unwrap();
    store.release_upload(&id, claim.epoch);
    assert_eq!(store.quota_usage().await.unwrap()[0].usage.unwrap().held, usage[0].usage.unwrap().held + 100);
    push(&store, "one").await.unwrap();
    close(store).await;
    for name in ["empty", "old"] {
        let again = bench.open(name).await;
        assert_eq!(again.quota_usage().await.unwrap()[0].usage, None, "{name}: others went on");
        again.begin_quotas().await.unwrap();
        assert_eq!(again.quota_usage().await.unwrap(), usage, "{name}");
        assert_eq!(again.verify().await.unwrap(), [""; 0], "{name}");
        close(again).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journalled_database_is_not_opened_without_its_journal() {
    let bench = Bench::new();
    close(bench.open("first").await).await;
    let refused = bench.open_plain("first").unwrap_err();
    assert!(matches!(refused, OpenError::Journalled { .. }), "{refused:?}");
}

/// The database was lost before there was a journal: a new one must not take the store over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_does_not_begin_for_a_store_of_another_database() {
    let mut bench = Bench::new();
    bench.store_id = Some("of-another".to_owned());
    let refused = bench.try_open("first").await.unwrap_err();
    assert!(matches!(refused, OpenError::NotTogether { .. }), "{refused:?}");
    let plain = bench.open_plain("right").unwrap();
    plain.bind_store("of-another").await.unwrap();
    drop(plain);
    close(bench.open("right").await).await;
}

/// A store without an identity has lost what the database's content needs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_does_not_begin_for_content_whose_store_is_new() {
    let bench = Bench::new();
    let plain = bench.open_plain("first").unwrap();
    plain.bind_store("the-store").await.unwrap();
    assert!(plain.is_empty().await.unwrap());
    let id = UploadId::from_random([9; 16]);
    let new = NewUpload {
        id,
        repository: repository(),
        location: Location::of_upload(&id),
        algorithm: Algorithm::Sha256,
    };
    plain.start_upload(&new).await.unwrap();
    assert!(!plain.is_empty().await.unwrap(), "a repository is content");
    drop(plain);
    let refused = bench.try_open("first").await.unwrap_err();
    assert!(matches!(refused, OpenError::NotTogether { .. }), "{refused:?}");
}
