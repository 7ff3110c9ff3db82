//! Which manifests were pulled, on the way to the database.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    mem,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Instant,
};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use registry_digest::Digest;
use registry_metadata::{MetadataError, MetadataStore, PULLS_APART, Pull};
use registry_types::RepositoryName;

/// How many locks there are: so few requests ever wait for the same one.
const SHARDS: usize = 16;

/// How many manifests of an hour each shard remembers; then it begins anew, and some are noted twice.
const SHARD_NOTED_MAX: usize = 8 * 1024;

/// How many pulls wait for the database; more are not noted.
const WAITING_MAX: usize = 16 * 1024;

/// How many are written in one transaction.
const BATCH: usize = 500;

/// Pulls that nobody has written down yet, each at most once an hour. What waits here is lost with the process.
#[derive(Debug)]
pub struct Pulls {
    began: Instant,
    hasher: RandomState,
    /// By the hash of repository and digest, the hour in which it was noted. Two that hash to the same number are one; that
    /// happens once in the life of a thousand registries, and costs an hour's exactness.
    noted: [Mutex<HashMap<u64, u64>>; SHARDS],
    waiting: Mutex<Vec<Pull>>,
    dropped: AtomicU64,
}

impl Default for Pulls {
    fn default() -> Self {
        Pulls {
            began: Instant::now(),
            hasher: RandomState::new(),
            noted: Default::default(),
            waiting: Mutex::default(),
            dropped: AtomicU64::new(0),
        }
    }
}

impl Pulls {
    /// A manifest is being pulled. Costs a hash and a lock that nobody holds for long.
    pub fn note(&self, repository: &RepositoryName, digest: &Digest) {
        let hour = self.began.elapsed().as_secs() / PULLS_APART.as_secs();
        if self.is_new(self.hasher.hash_one((repository, digest)), hour) {
            let mut waiting = self.waiting.lock();
            if waiting.len() < WAITING_MAX {
                waiting.push(Pull { repository: repository.clone(), digest: *digest });
            } else {
                self.dropped.fetch_add(1, Relaxed);
            }
        }
    }

    fn is_new(&self, hash: u64, hour: u64) -> bool {
        let mut noted = self.noted[hash as usize % SHARDS].lock();
        if noted.get(&hash) == Some(&hour) {
            return false;
        }
        if noted.len() >= SHARD_NOTED_MAX {
            noted.clear();
        }
        noted.insert(hash, hour);
        true
    }

    /// Writes down what waits. What fails is lost.
    ///
    /// # Errors
    /// The first one. After one that is the database's state, the rest is lost as well.
    pub async fn flush(&self, metadata: &dyn MetadataStore) -> Result<(), MetadataError> {
        let dropped = self.dropped.swap(0, Relaxed);
        if dropped > 0 {
            tracing::warn!("{dropped} pulls were not noted: more than {WAITING_MAX} waited");
        }
        self.flush_by(&|batch| Box::pin(async move { metadata.record_pulls(&batch).await })).await
    }

    async fn flush_by<'m>(
        &self,
        record: &(dyn Fn(Vec<Pull>) -> BoxFuture<'m, Result<(), MetadataError>> + Send + Sync),
    ) -> Result<(), MetadataError> {
        let pulls = mem::take(&mut *self.waiting.lock());
        let mut first = Ok(());
        for batch in pulls.chunks(BATCH) {
            // One batch that can not be written must not take the others with it.
            match record(batch.to_vec()).await {
                Err(error) if error.is_outage() => return Err(error),
                recorded => first = first.and(recorded),
            }
        }
        first
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use registry_digest::Algorithm;

    use super::*;

    fn digest(number: usize) -> Digest {
        Digest::of(Algorithm::Sha256, &number.to_le_bytes())
    }

    #[test]
    fn a_manifest_is_noted_once_an_hour() {
        let (pulls, a, b) = (Pulls::default(), "a".parse().unwrap(), "b".parse().unwrap());
        for _ in 0..3 {
            pulls.note(&a, &digest(1));
            pulls.note(&a, &digest(2));
            pulls.note(&b, &digest(1));
        }
        assert_eq!(pulls.waiting.lock().len(), 3);
        assert!(!pulls.is_new(pulls.hasher.hash_one((&a, &digest(1))), 0));
        assert!(pulls.is_new(pulls.hasher.hash_one((&a, &digest(1))), 1));
    }

    #[tokio::test]
    async fn a_batch_that_fails_takes_no_other_with_it() {
        let (pulls, name) = (Pulls::default(), "a".parse().unwrap());
        for number in 0..3 * BATCH {
            pulls.note(&name, &digest(number));
        }
        let (recorded, poison) = (Mutex::new(0), digest(0));
        let record = |batch: Vec<Pull>| -> BoxFuture<'static, Result<(), MetadataError>> {
            if batch.iter().any(|pull| pull.digest == poison) {
                let (operation, source) = ("record pulls", "poison".into());
                return Box::pin(ready(Err(MetadataError::Backend { operation, source })));
            }
            *recorded.lock() += batch.len();
            Box::pin(ready(Ok(())))
        };
        let failed = pulls.flush_by(&record).await;
        assert!(matches!(failed, Err(MetadataError::Backend { .. })), "{failed:?}");
        assert_eq!(*recorded.lock(), 2 * BATCH);
    }

    #[test]
    fn memory_is_bounded_whatever_is_pulled() {
        let (pulls, name) = (Pulls::default(), "a".parse().unwrap());
        for number in 0..SHARDS * SHARD_NOTED_MAX + 10_000 {
            pulls.note(&name, &digest(number));
        }
        assert!(pulls.noted.iter().all(|shard| shard.lock().len() <= SHARD_NOTED_MAX));
        assert_eq!(pulls.waiting.lock().len(), WAITING_MAX);
        assert!(pulls.dropped.load(Relaxed) > 0);
    }
}
