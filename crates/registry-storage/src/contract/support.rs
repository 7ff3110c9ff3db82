use std::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use futures_util::TryStreamExt;
use registry_digest::{Algorithm, Digest};
use registry_types::{Location, UploadId};

use crate::{BlobStore, StorageError, Upload};

/// Random numbers that are the same each time.
pub(super) struct Random(fastrand::Rng);

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        Random(fastrand::Rng::with_seed(seed))
    }

    /// A number below `limit`.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0.usize(..limit)
    }

    pub(super) fn bytes(&mut self, length: usize) -> Bytes {
        let mut bytes = vec![0; length];
        self.0.fill(&mut bytes);
        bytes.into()
    }

    /// `bytes` in pieces whose lengths are anything from one byte to `longest`, with preference for short ones.
    pub(super) fn chunks(&mut self, mut bytes: Bytes, longest: usize) -> Vec<Bytes> {
        let mut chunks = Vec::new();
        while !bytes.is_empty() {
            let limit = 1 + self.below(longest.min(bytes.len()));
            chunks.push(bytes.split_to(1 + self.below(limit)));
        }
        chunks
    }
}

/// A key that nothing else has.
pub(super) fn new_location() -> Location {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut random = Random::new(COUNT.fetch_add(1, Ordering::Relaxed));
    let mut id = [0; 16];
    id.copy_from_slice(&random.bytes(16));
    Location::of_upload(&UploadId::from_random(id))
}

pub(super) fn sha256(bytes: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, bytes)
}

pub(super) async fn begin(store: &dyn BlobStore, location: &Location) -> Box<dyn Upload> {
    store.begin(location, Algorithm::Sha256).await.unwrap()
}

/// Uploads `content` as a whole.
pub(super) async fn put(store: &dyn BlobStore, location: &Location, content: &Bytes) {
    let mut upload = begin(store, location).await;
    upload.append(content.clone()).await.unwrap();
    assert_eq!(upload.finish(&sha256(content)).await.unwrap(), content.len() as u64);
}

pub(super) async fn read(
    store: &dyn BlobStore,
    location: &Location,
    range: Range<u64>,
) -> Result<Vec<u8>, StorageError> {
    let pieces: Vec<Bytes> = store.open(location, range).await?.into_stream().try_collect().await?;
    Ok(pieces.concat())
}

pub(super) async fn assert_content(store: &dyn BlobStore, location: &Location, content: &[u8], case: &str) {
    let size_bytes = content.len() as u64;
    assert_eq!(store.size(location).await.unwrap(), Some(size_bytes), "size of {case}");
    assert!(!store.is_missing(location, size_bytes).await.unwrap(), "{case} is not missing");
    // A store to which a look would be a request answers `false` to everything.
    let looks = store.is_missing(&new_location(), 0).await.unwrap();
    let is_other = store.is_missing(location, size_bytes + 1).await.unwrap();
    assert_eq!(is_other, looks, "{case} has its size alone");
    let found = read(store, location, 0..size_bytes).await.unwrap();
    assert!(found == content, "content of {case}");
}

pub(super) async fn assert_nothing(store: &dyn BlobStore, location: &Location, case: &str) {
    assert_eq!(store.size(location).await.unwrap(), None, "{case}");
    let opened = store.open(location, 0..0).await;
    assert!(matches!(opened, Err(StorageError::Missing { .. })), "{case}: {opened:?}");
    let listed = store.list(None, usize::MAX).await.unwrap();
    assert!(listed.iter().all(|object| object.location != *location), "{case} is listed");
}
