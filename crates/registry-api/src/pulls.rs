//! Which manifests were pulled, on the way to the database.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    mem,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Instant,
};

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
    /// If the database fails.
    pub async fn flush(&self, metadata: &dyn MetadataStore) -> Result<(), MetadataError> {
        let dropped = self.dropped.swap(0, Relaxed);
        if dropped > 0 {
            tracing::warn!("{dropped} pulls were not noted: more than {WAITING_MAX} waited");
        }
        let pulls = mem::take(&mut *self.waiting.lock());
        for batch in pulls.chunks(BATCH) {
            metadata.record_pulls(batch).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
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
