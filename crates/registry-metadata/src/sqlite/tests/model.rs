//! Clients, a clock and a collector in any order, against what was promised.
//!
//! A seeded choice of what happens next drives the real store; beside it a model remembers what clients were told, and
//! which bytes are there. After each step every promise is checked. At the end everything is deleted, and nothing may be
//! left: not a row, not a byte.

mod checks;
mod made;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use registry_digest::{Algorithm, Digest};
use registry_types::{Cause, Location, Manifest, Reference, RepositoryName, Tag, UploadId};

use self::made::{content, image, index, quotas};
use super::backend::START_MS;
use crate::{
    Clock, CollectRules, Collected, FinishUpload, Kept, MetadataError, NewUpload, Options, Purpose,
    PutManifest, Restored, SqliteStore, Verdict, clock::ManualClock, traits::*,
};

/// How many seeds are tried, unless `REGISTRY_MODEL_SEEDS` says otherwise.
const SEEDS_DEFAULT: u64 = 16;
const STEPS: usize = 200;
const REPOSITORIES: [&str; 2] = ["a", "b/c"];
const CONTENTS: u64 = 6;
/// What a session saves at most.
const SAVED_BYTES_MAX: u64 = 1500;

/// What a client was told: by when it has to have used it.
type Promises = BTreeMap<(usize, Digest), i64>;

pub(super) struct Model {
    seed: u64,
    random: u64,
    store: SqliteStore,
    clock: ManualClock,
    options: Options,
    bytes: BTreeSet<Location>,
    manifests: BTreeMap<(usize, Digest), Manifest>,
    /// Everything that was ever pushed: it may be restored.
    documents: BTreeMap<Digest, Manifest>,
    blob_promises: Promises,
    manifest_promises: Promises,
}

#[tokio::test]
async fn no_order_of_events_breaks_a_promise_or_leaks_a_byte() {
    let seeds = std::env::var("REGISTRY_MODEL_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    for seed in 0..seeds.unwrap_or(SEEDS_DEFAULT) {
        let window = if seed % 2 == 0 { Duration::ZERO } else { Options::default().lease };
        let mut model = Model::new(seed, window);
        model.store.begin_quotas().await.unwrap();
        for _ in 0..STEPS {
            model.step().await;
            model.check().await;
        }
        model.delete_everything().await;
    }
}

impl Model {
    fn new(seed: u64, undelete_window: Duration) -> Model {
        let clock = ManualClock::at_ms(START_MS);
        let options = Options { undelete_window, quotas: quotas(seed), ..Options::default() };
        let store = SqliteStore::open_in_memory(options.clone(), Arc::new(clock.clone())).unwrap();
        Model::on(seed, store, clock, options)
    }

    /// On a store that is empty.
    pub(super) fn on(seed: u64, store: SqliteStore, clock: ManualClock, options: Options) -> Model {
        Model {
            seed,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            store,
            clock,
            options,
            bytes: BTreeSet::new(),
            manifests: BTreeMap::new(),
            documents: BTreeMap::new(),
            blob_promises: Promises::new(),
            manifest_promises: Promises::new(),
        }
    }

    pub(super) async fn steps(&mut self, steps: usize) {
        for _ in 0..steps {
            self.step().await;
        }
    }

    pub(super) fn into_store(self) -> SqliteStore {
        self.store
    }

    /// The next of a sequence that the seed decides (xorshift).
    fn below(&mut self, limit: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % limit
    }

    fn repository(&mut self) -> (usize, RepositoryName) {
        let number = self.below(2) as usize;
        (number, REPOSITORIES[number].parse().unwrap())
    }

    fn blob(&mut self) -> Digest {
        content(self.below(CONTENTS))
    }

    fn manifest(&mut self) -> Option<(usize, Digest)> {
        let known: Vec<_> = self.manifests.keys().copied().collect();
        (!known.is_empty()).then(|| known[self.below(known.len() as u64) as usize])
    }

    fn promise_until(&self) -> i64 {
        self.clock.now_ms() + self.options.lease_ms()
    }

    async fn step(&mut self) {
        match self.below(18) {
            0..=2 => self.push_blob().await,
            3..=4 => self.head_blob().await,
            5 => self.mount().await,
            6..=7 => self.push_image().await,
            8 => self.push_index().await,
            9 => self.head_manifest().await,
            10 => self.delete_manifest().await,
            11 => self.delete_tag().await,
            12 => self.delete_blob().await,
            13 => {
                let leases = [0.1, 0.4, 1.1][self.below(3) as usize];
                self.clock.advance(self.options.lease.mul_f64(leases));
            }
            14 => self.collect().await,
            15 => self.restore().await,
            16 if self.below(4) == 0 => self.delete_repository().await,
            16 => self.set_tag_back().await,
            _ => self.reclaim().await,
        }
    }

    async fn push_blob(&mut self) {
        let (number, repository) = self.repository();
        let digest = self.blob();
        let id = UploadId::from_random(std::array::from_fn(|_| self.below(256) as u8));
        let location = Location::of_upload(&id);
        let algorithm = Algorithm::Sha256;
        let new = NewUpload { id, repository: repository.clone(), location: location.clone(), algorithm };
        match self.store.start_upload(&new).await {
            Err(MetadataError::QuotaExceeded(_)) => return,
            started => started.unwrap(),
        }
        self.bytes.insert(location);
        let claim = self.store.claim_upload(&repository, &id).await.unwrap();
        if self.below(3) == 0 {
            let offset = self.below(SAVED_BYTES_MAX);
            let saved = self.store.save_upload(&id, claim.epoch, offset, b"state").await;
            if let Err(MetadataError::QuotaExceeded(_)) = saved {
                self.store.release_upload(&id, claim.epoch);
                return self.store.cancel_upload(&repository, &id).await.unwrap();
            }
            saved.unwrap();
            if self.below(3) == 0 {
                // No client goes on with it.
                return self.store.release_upload(&id, claim.epoch);
            }
        }
        if self.below(5) == 0 {
            self.store.release_upload(&id, claim.epoch);
            return self.store.cancel_upload(&repository, &id).await.unwrap();
        }
        let epoch = claim.epoch;
        let finish = FinishUpload { repository, id, epoch, digest, size_bytes: 1, replaces: None };
        let finished = self.store.finish_upload(&finish).await;
        self.store.release_upload(&id, epoch);
        if let Err(MetadataError::QuotaExceeded(_)) = finished {
            return self.store.cancel_upload(&finish.repository, &id).await.unwrap();
        }
        finished.unwrap();
        self.blob_promises.insert((number, digest), self.promise_until());
    }

    async fn head_blob(&mut self) {
        let ((number, repository), digest) = (self.repository(), self.blob());
        if self.store.blob(&repository, &digest, Purpose::Promise).await.unwrap().is_some() {
            self.blob_promises.insert((number, digest), self.promise_until());
        }
    }

    async fn mount(&mut self) {
        let (from, to) = (self.repository(), self.repository());
        let digest = self.blob();
        if self.store.mount_blob(&from.1, &to.1, &digest).await.unwrap() {
            self.blob_promises.insert((to.0, digest), self.promise_until());
        }
    }

    /// An image of two blobs which may say something about another manifest, tagged or not.
    async fn push_image(&mut self) {
        let (number, repository) = self.repository();
        let layers = [self.blob(), self.blob()];
        let subject = if self.below(3) == 0 { self.manifest().map(|(_, digest)| digest) } else { None };
        self.put(number, &repository, image(&layers, subject)).await;
    }

    async fn push_index(&mut self) {
        let (number, repository) = self.repository();
        let here: Vec<Digest> = self
            .manifests
            .keys()
            .filter(|(at, _)| *at == number)
            .map(|(_, digest)| *digest)
            .take(2)
            .collect();
        self.put(number, &repository, index(&here)).await;
    }

    async fn put(&mut self, number: usize, repository: &RepositoryName, manifest: Manifest) {
        let digest = manifest.digest(Algorithm::Sha256);
        let tag: Tag = format!("v{}", self.below(3)).parse().unwrap();
        let required: Vec<Digest> = manifest.blobs().map(|blob| blob.digest).collect();
        let required_children: Vec<Digest> = manifest.child_manifests().map(|child| child.digest).collect();
        let tags = if self.below(2) == 0 { vec![tag] } else { Vec::new() };
        let put = PutManifest {
            repository,
            digest,
            manifest: &manifest,
            tags: &tags,
            required: &required,
            required_children: &required_children,
            cause: &Cause::UNKNOWN,
        };
        match self.store.put_manifest(&put).await {
            Ok(()) => {
                self.manifest_promises.insert((number, digest), self.promise_until());
                self.documents.insert(digest, manifest.clone());
                self.manifests.insert((number, digest), manifest);
            }
            Err(MetadataError::MissingReferences { .. } | MetadataError::QuotaExceeded(_)) => {}
            Err(error) => panic!("seed {}: {error}", self.seed),
        }
    }

    async fn head_manifest(&mut self) {
        let Some((number, digest)) = self.manifest() else { return };
        if self.read(number, &digest, Purpose::Promise).await {
            self.manifest_promises.insert((number, digest), self.promise_until());
        }
    }

    async fn read(&self, number: usize, digest: &Digest, purpose: Purpose) -> bool {
        let repository = REPOSITORIES[number].parse().unwrap();
        self.store.manifest(&repository, &Reference::Digest(*digest), purpose).await.unwrap().is_some()
    }

    /// What a client deletes is no longer promised.
    async fn delete_manifest(&mut self) {
        let Some((number, digest)) = self.manifest() else { return };
        let repository = REPOSITORIES[number].parse().unwrap();
        if self.store.delete_manifest(&repository, &digest, &Cause::UNKNOWN).await.is_ok() {
            self.manifests.remove(&(number, digest));
            self.manifest_promises.remove(&(number, digest));
        }
    }

    /// What was ever pushed somewhere, in the repository or not, and with what belongs to it.
    async fn restore(&mut self) {
        let (number, repository) = self.repository();
        let known: Vec<Digest> = self.documents.keys().copied().collect();
        if known.is_empty() {
            return;
        }
        let digest = known[self.below(known.len() as u64) as usize];
        if let Ok(restored) = self.store.restore(&repository, &digest.into(), &Cause::UNKNOWN).await {
            self.is_back(number, &restored);
        }
    }

    async fn set_tag_back(&mut self) {
        let (number, repository) = self.repository();
        let tag = format!("v{}", self.below(3)).parse().unwrap();
        let history = self.store.tag_history(&repository, &tag, None, 5).await.unwrap();
        let Some(digest) = history.iter().rev().find_map(|change| change.digest) else { return };
        if let Ok(restored) = self.store.set_tag(&repository, &tag, &digest, &Cause::UNKNOWN).await {
            self.is_back(number, &restored);
        }
    }

    /// What is restored is as good as pushed.
    fn is_back(&mut self, number: usize, restored: &Restored) {
        for digest in &restored.manifests {
            self.manifest_promises.insert((number, *digest), self.promise_until());
            self.manifests.insert((number, *digest), self.documents[digest].clone());
        }
    }

    async fn delete_repository(&mut self) {
        let (number, repository) = self.repository();
        if self.store.delete_repository(&repository, &Cause::UNKNOWN).await.is_ok() {
            self.manifests.retain(|(at, _), _| *at != number);
            self.manifest_promises.retain(|(at, _), _| *at != number);
            self.blob_promises.retain(|(at, _), _| *at != number);
        }
    }

    async fn delete_tag(&mut self) {
        let (_, repository) = self.repository();
        let tag = format!("v{}", self.below(3)).parse().unwrap();
        let _ = self.store.delete_tag(&repository, &tag, &Cause::UNKNOWN).await;
    }

    async fn delete_blob(&mut self) {
        let ((number, repository), digest) = (self.repository(), self.blob());
        if self.store.delete_blob(&repository, &digest).await.is_ok() {
            self.blob_promises.remove(&(number, digest));
        }
    }

    /// A collector that is stopped at some time, or goes on until nothing is due.
    async fn collect(&mut self) {
        let sessions = self.below(5) as usize;
        self.store.expire_uploads(self.options.lease, sessions).await.unwrap();
        let rules = CollectRules { untagged: true };
        let (limit, rounds_max) = (1 + self.below(5) as usize, 1 + self.below(100));
        for _ in 0..rounds_max {
            let done = self.store.collect(&rules, limit).await.unwrap();
            let failed = |it: &Collected| matches!(it.verdict, Verdict::Kept(Kept::Failed { .. }));
            assert!(!done.iter().any(failed), "seed {}: {done:?}", self.seed);
            if done.is_empty() {
                return;
            }
        }
    }

    async fn reclaim(&mut self) {
        for reclaim in self.store.reclaimable(100).await.unwrap() {
            assert!(self.bytes.remove(&reclaim.location), "seed {}: deleted twice", self.seed);
            self.store.reclaimed(&reclaim.location).await.unwrap();
        }
    }
}
