//! A registry without HTTP, and what clients do to it.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use registry_collector::{Collector, CollectorOptions, Fsck, FsckOptions, FsckReport, Sweep, SweepOptions};
use registry_digest::{Algorithm, Digest};
use registry_metadata::{
    FinishUpload, MetadataStore, NewUpload, Options, Purpose, SqliteStore, clock::ManualClock,
};
use registry_storage::{BlobStore, MemoryStore};
use registry_types::{Location, RepositoryName, UploadId};

/// Some day in 2026.
const START_MS: i64 = 1_790_000_000_000;

pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Metadata and bytes in memory.
pub(crate) struct World {
    pub(crate) metadata: Arc<dyn MetadataStore>,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) clock: ManualClock,
    grace: Duration,
    next: AtomicU64,
}

impl World {
    pub(crate) fn new(options: Options) -> World {
        let (clock, grace) = (ManualClock::at_ms(START_MS), options.read_grace);
        let metadata = SqliteStore::open_in_memory(options, Arc::new(clock.clone())).unwrap();
        World::of(metadata, clock, grace)
    }

    /// As [`new`](World::new), but the metadata are in a file, which others may open as well.
    pub(crate) fn in_file(options: Options, path: &Path) -> World {
        let (clock, grace) = (ManualClock::at_ms(START_MS), options.read_grace);
        let metadata = SqliteStore::open(path, options, Arc::new(clock.clone())).unwrap();
        World::of(metadata, clock, grace)
    }

    fn of(metadata: impl MetadataStore, clock: ManualClock, grace: Duration) -> World {
        World {
            metadata: Arc::new(metadata),
            store: Arc::new(MemoryStore::new()),
            clock,
            grace,
            next: AtomicU64::new(1),
        }
    }

    /// For how long bytes outlive their row.
    pub(crate) fn grace_ms(&self) -> i64 {
        i64::try_from(self.grace.as_millis()).unwrap()
    }

    pub(crate) fn upload_id(&self) -> UploadId {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        UploadId::from_random(
            *Digest::of(Algorithm::Sha256, &number.to_le_bytes()).as_bytes().first_chunk().unwrap(),
        )
    }

    /// Begins an upload and writes to it.
    pub(crate) async fn begin(&self, repository: &RepositoryName, content: &[u8]) -> NewUpload {
        let id = self.upload_id();
        let algorithm = Algorithm::Sha256;
        let new =
            NewUpload { id, repository: repository.clone(), location: Location::of_upload(&id), algorithm };
        self.metadata.start_upload(&new).await.unwrap();
        let mut upload = self.store.begin(&new.location, algorithm).await.unwrap();
        upload.append(Bytes::copy_from_slice(content)).await.unwrap();
        upload.checkpoint().await.unwrap();
        new
    }

    /// Pushes content as a blob.
    pub(crate) async fn push(&self, repository: &str, content: &[u8]) -> (Digest, Location) {
        let repository: RepositoryName = repository.parse().unwrap();
        let digest = Digest::of(Algorithm::Sha256, content);
        let id = self.upload_id();
        let (location, algorithm) = (Location::of_upload(&id), Algorithm::Sha256);
        let new = NewUpload { id, repository: repository.clone(), location: location.clone(), algorithm };
        self.metadata.start_upload(&new).await.unwrap();
        let claim = self.metadata.claim_upload(&repository, &id).await.unwrap();
        self.write(&location, content).await;
        let (epoch, size_bytes) = (claim.epoch, content.len() as u64);
        let finish = FinishUpload { repository, id, epoch, digest, size_bytes, replaces: None };
        self.metadata.finish_upload(&finish).await.unwrap();
        self.metadata.release_upload(&id, epoch);
        (digest, location)
    }

    /// Puts bytes somewhere, whatever was there.
    pub(crate) async fn write(&self, location: &Location, content: &[u8]) {
        let mut upload = self.store.begin(location, Algorithm::Sha256).await.unwrap();
        upload.append(Bytes::copy_from_slice(content)).await.unwrap();
        upload.finish(&Digest::of(Algorithm::Sha256, content)).await.unwrap();
    }

    pub(crate) async fn is_served(&self, repository: &str, digest: &Digest) -> bool {
        self.metadata.blob(&repository.parse().unwrap(), digest, Purpose::Read).await.unwrap().is_some()
    }

    pub(crate) fn collector(&self) -> Collector {
        let options = CollectorOptions::default().unlimited();
        Collector::new(self.metadata.clone(), self.store.clone(), options)
    }

    pub(crate) fn sweep(&self, delete: bool) -> Sweep {
        let options = SweepOptions { delete, ..SweepOptions::default() };
        Sweep::new(self.metadata.clone(), self.store.clone(), options)
    }

    pub(crate) async fn fsck(&self, options: FsckOptions) -> FsckReport {
        Fsck::new(self.metadata.clone(), self.store.clone(), options).run().await.unwrap()
    }

    pub(crate) async fn is_stored(&self, location: &Location) -> bool {
        self.store.size(location).await.unwrap().is_some()
    }
}
