//! What a journal costs writers: blobs finished per second, how long each takes, and how many entries that makes, without
//! a journal and with one whose store takes so many milliseconds for an object.
//!
//! ```text
//! cargo run --release --example journal_bench [milliseconds of the store] [seconds for each line]
//! ```

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use registry_digest::{Algorithm, Digest};
use registry_journal::JournalOptions;
use registry_metadata::{
    FinishUpload, JournalPlace, NewUpload, Options, SqliteStore, SystemClock, traits::*,
};
use registry_storage::{Creation, MemoryStore, ObjectInfo, SmallObjects, StorageError};
use registry_types::{Location, RepositoryName, UploadId};

/// Objects in memory, each of which takes its time.
#[derive(Debug)]
struct Slow {
    store: MemoryStore,
    takes: Duration,
}

#[async_trait]
impl SmallObjects for Slow {
    async fn create(&self, name: &Location, bytes: Bytes) -> Result<Creation, StorageError> {
        tokio::time::sleep(self.takes).await;
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

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let takes = Duration::from_millis(arguments.next().map_or(20, |text| text.parse().unwrap()));
    let seconds = Duration::from_secs(arguments.next().map_or(3, |text| text.parse().unwrap()));
    let folder = tempfile::tempdir().unwrap();
    println!("{:28}{:>6}{:>10}{:>12}{:>10}", "", "tasks", "per s", "mean ms", "entries");
    let (clock, options) = (Arc::new(SystemClock), Options::default());
    let plain = SqliteStore::open(folder.path().join("plain"), options.clone(), clock.clone()).unwrap();
    let objects = Arc::new(Slow { store: MemoryStore::new(), takes });
    let place = JournalPlace { options: JournalOptions::default(), objects, store_id: None };
    let path = folder.path().join("journalled");
    let journalled = SqliteStore::open_journalled(path, options, clock, place).await.unwrap();
    for (name, store) in [("without", Arc::new(plain)), ("with a journal", Arc::new(journalled))] {
        for tasks in [1, 16, 64, 256] {
            line(name, &store, tasks, seconds).await;
        }
    }
}

async fn line(name: &str, store: &Arc<SqliteStore>, tasks: u64, seconds: Duration) {
    let entries = |store: &SqliteStore| store.journal_status().map_or(0, |status| status.entries);
    let (before, started, end) = (entries(store), Instant::now(), Instant::now() + seconds);
    let running = (0..tasks).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut count = 0u64;
            while Instant::now() < end {
                push(&store).await;
                count += 1;
            }
            count
        })
    });
    let mut count = 0;
    for task in running.collect::<Vec<_>>() {
        count += task.await.unwrap();
    }
    let elapsed = started.elapsed().as_secs_f64();
    let (per_second, mean_ms) = (count as f64 / elapsed, elapsed * 1e3 * tasks as f64 / count as f64);
    println!("{name:28}{tasks:>6}{per_second:>10.0}{mean_ms:>12.2}{:>10}", entries(store) - before);
}

/// A blob from its session to its digest, without bytes.
async fn push(store: &SqliteStore) {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = u128::from(NEXT.fetch_add(1, Ordering::Relaxed));
    let id = UploadId::from_random(number.to_be_bytes());
    let repository: RepositoryName = "team/app".parse().unwrap();
    let new = NewUpload {
        id,
        repository: repository.clone(),
        location: Location::of_upload(&id),
        algorithm: Algorithm::Sha256,
    };
    store.start_upload(&new).await.unwrap();
    let epoch = store.claim_upload(&repository, &id).await.unwrap().epoch;
    let digest = Digest::of(Algorithm::Sha256, &number.to_be_bytes());
    let finish = FinishUpload { repository, id, epoch, digest, size_bytes: 16, replaces: None };
    store.finish_upload(&finish).await.unwrap();
    store.release_upload(&id, epoch);
}
