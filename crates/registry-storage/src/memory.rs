use std::{
    collections::BTreeMap,
    ops::{Bound, Range},
    sync::Arc,
    time::SystemTime,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use registry_digest::{Algorithm, Digest, Hasher};
use registry_types::Location;

use crate::{BlobStore, Body, ObjectInfo, StorageError, StoreIdentity, Upload, UploadState};

/// A store that forgets everything at its end: for tests, and for trying things out.
///
/// It keeps the same promises as one on a disk, with a checkpoint in place of a flush: what was appended later is gone
/// with the upload. Clones share the objects.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    limit_bytes: Option<u64>,
    contents: Mutex<Contents>,
}

#[derive(Debug, Default)]
struct Contents {
    identity: Option<StoreIdentity>,
    objects: BTreeMap<Location, Object>,
    used_bytes: u64,
    /// The one upload that may write to an object.
    writers: BTreeMap<Location, u64>,
    /// How many uploads there ever were; numbers them.
    uploads: u64,
}

#[derive(Debug)]
struct Object {
    content: Content,
    modified: SystemTime,
}

/// Bytes in the pieces in which they came.
#[derive(Clone, Debug, Default)]
struct Content {
    pieces: Vec<Bytes>,
    size_bytes: u64,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    /// An empty store that answers [`StorageError::NoSpace`] beyond this many bytes.
    pub fn with_limit(limit_bytes: u64) -> MemoryStore {
        let shared = Shared { limit_bytes: Some(limit_bytes), ..Shared::default() };
        MemoryStore { shared: Arc::new(shared) }
    }

    fn upload(&self, location: &Location, hasher: Hasher) -> Result<Box<dyn Upload>, StorageError> {
        if !location.as_str().starts_with(Location::BLOBS_PREFIX) {
            return Err(StorageError::NotForUploads { location: location.clone() });
        }
        let mut contents = self.shared.contents.lock();
        let content = match hasher.bytes_hashed() {
            0 => Content::default(),
            offset => contents.content_until(location, offset)?,
        };
        contents.uploads += 1;
        let number = contents.uploads;
        contents.writers.insert(location.clone(), number);
        let (shared, location) = (self.shared.clone(), location.clone());
        Ok(Box::new(MemoryUpload { shared, location, number, hasher, content, has_failed: false }))
    }
}

#[async_trait]
impl BlobStore for MemoryStore {
    async fn read_identity(&self) -> Result<Option<StoreIdentity>, StorageError> {
        Ok(self.shared.contents.lock().identity.clone())
    }

    async fn create_identity(&self, identity: &StoreIdentity) -> Result<(), StorageError> {
        let mut contents = self.shared.contents.lock();
        if contents.identity.is_some() {
            return Err(StorageError::IdentityExists);
        }
        contents.identity = Some(identity.clone());
        Ok(())
    }

    async fn begin(
        &self,
        location: &Location,
        algorithm: Algorithm,
    ) -> Result<Box<dyn Upload>, StorageError> {
        self.upload(location, Hasher::new(algorithm))
    }

    async fn resume(
        &self,
        location: &Location,
        state: &UploadState,
    ) -> Result<Box<dyn Upload>, StorageError> {
        self.upload(location, state.hasher()?)
    }

    async fn abandon(&self, location: &Location, _state: Option<&UploadState>) -> Result<(), StorageError> {
        self.delete(location).await
    }

    async fn open(&self, location: &Location, range: Range<u64>) -> Result<Body, StorageError> {
        let contents = self.shared.contents.lock();
        let object = contents
            .objects
            .get(location)
            .ok_or_else(|| StorageError::Missing { location: location.clone() })?;
        let (expected_bytes, actual_bytes) = (range.end, object.content.size_bytes);
        if actual_bytes < expected_bytes {
            return Err(StorageError::Truncated { location: location.clone(), expected_bytes, actual_bytes });
        }
        let pieces = object.content.slice(range).pieces;
        Ok(Body::Stream(stream::iter(pieces.into_iter().map(Ok)).boxed()))
    }

    async fn size(&self, location: &Location) -> Result<Option<u64>, StorageError> {
        Ok(self.shared.contents.lock().size_bytes(location))
    }

    async fn is_missing(&self, location: &Location) -> Result<bool, StorageError> {
        Ok(self.size(location).await?.is_none())
    }

    async fn delete(&self, location: &Location) -> Result<(), StorageError> {
        let mut contents = self.shared.contents.lock();
        contents.writers.remove(location);
        contents.remove(location);
        Ok(())
    }

    async fn list(&self, after: Option<&Location>, limit: usize) -> Result<Vec<ObjectInfo>, StorageError> {
        let contents = self.shared.contents.lock();
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let objects = contents.objects.range((after, Bound::Unbounded)).take(limit);
        Ok(objects.map(|(location, object)| info(location, object)).collect())
    }

    async fn check(&self) -> Result<(), StorageError> {
        Ok(())
    }
}

fn info(location: &Location, object: &Object) -> ObjectInfo {
    let Object { content, modified } = object;
    ObjectInfo { location: location.clone(), size_bytes: content.size_bytes, modified: *modified }
}

impl Contents {
    fn content_until(&self, location: &Location, offset: u64) -> Result<Content, StorageError> {
        let content = self.objects.get(location).map(|object| &object.content);
        let actual_bytes = content.map_or(0, |content| content.size_bytes);
        match content {
            Some(content) if actual_bytes >= offset => Ok(content.slice(0..offset)),
            _ => Err(StorageError::UploadBytesLost {
                location: location.clone(),
                expected_bytes: offset,
                actual_bytes,
            }),
        }
    }

    fn insert(&mut self, location: &Location, content: Content) {
        self.remove(location);
        self.used_bytes += content.size_bytes;
        #[allow(clippy::disallowed_methods, reason = "the store's clock")]
        let modified = SystemTime::now();
        self.objects.insert(location.clone(), Object { content, modified });
    }

    fn remove(&mut self, location: &Location) {
        if let Some(object) = self.objects.remove(location) {
            self.used_bytes -= object.content.size_bytes;
        }
    }

    fn size_bytes(&self, location: &Location) -> Option<u64> {
        self.objects.get(location).map(|object| object.content.size_bytes)
    }
}

impl Content {
    fn push(&mut self, bytes: &[u8]) {
        self.size_bytes += bytes.len() as u64;
        // A copy, since the caller's may be a small part of a large buffer.
        self.pieces.push(Bytes::copy_from_slice(bytes));
    }

    fn slice(&self, range: Range<u64>) -> Content {
        let mut content = Content::default();
        let mut begin = 0;
        for piece in &self.pieces {
            let end = begin + piece.len() as u64;
            let (from, to) = (range.start.clamp(begin, end), range.end.clamp(begin, end));
            if from < to {
                content.pieces.push(piece.slice((from - begin) as usize..(to - begin) as usize));
                content.size_bytes += to - from;
            }
            begin = end;
        }
        content
    }

    fn digest(&self, algorithm: Algorithm) -> Digest {
        let mut hasher = Hasher::new(algorithm);
        self.pieces.iter().for_each(|piece| hasher.update(piece));
        hasher.finish()
    }
}

#[derive(Debug)]
struct MemoryUpload {
    shared: Arc<Shared>,
    location: Location,
    number: u64,
    hasher: Hasher,
    content: Content,
    has_failed: bool,
}

impl MemoryUpload {
    /// Runs a step, of which none may follow one that failed.
    fn step<T>(
        &mut self,
        step: impl FnOnce(&mut Self) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        if self.has_failed {
            return Err(StorageError::UploadFailed { location: self.location.clone() });
        }
        let result = step(self);
        self.has_failed = result.is_err();
        result
    }

    fn check_space(&self, more_bytes: u64) -> Result<(), StorageError> {
        let Some(limit_bytes) = self.shared.limit_bytes else { return Ok(()) };
        let contents = self.shared.contents.lock();
        let others_bytes = contents.used_bytes - contents.size_bytes(&self.location).unwrap_or(0);
        if others_bytes + self.content.size_bytes + more_bytes > limit_bytes {
            let source = std::io::ErrorKind::StorageFull.into();
            return Err(StorageError::NoSpace { operation: "write an object", source });
        }
        Ok(())
    }

    /// Makes visible what was appended, if this is still the upload that may.
    fn save(&self) -> Result<(), StorageError> {
        let mut contents = self.shared.contents.lock();
        if contents.writers.get(&self.location) != Some(&self.number) {
            return Err(StorageError::UploadSuperseded { location: self.location.clone() });
        }
        contents.insert(&self.location, self.content.clone());
        Ok(())
    }

    fn compare(&self, expected: &Digest) -> Result<(), StorageError> {
        let actual = match expected.algorithm() == self.hasher.algorithm() {
            true => self.hasher.current(),
            false => self.content.digest(expected.algorithm()),
        };
        if actual == *expected {
            return Ok(());
        }
        let mut contents = self.shared.contents.lock();
        if contents.writers.get(&self.location) == Some(&self.number) {
            contents.remove(&self.location);
        }
        Err(StorageError::digest_mismatch(*expected, actual))
    }
}

#[async_trait]
impl Upload for MemoryUpload {
    fn offset(&self) -> u64 {
        self.content.size_bytes
    }

    async fn append(&mut self, bytes: Bytes) -> Result<(), StorageError> {
        self.step(|upload| {
            upload.check_space(bytes.len() as u64)?;
            upload.hasher.update(&bytes);
            upload.content.push(&bytes);
            Ok(())
        })
    }

    async fn checkpoint(&mut self) -> Result<UploadState, StorageError> {
        self.step(|upload| {
            upload.save()?;
            Ok(UploadState::new(&upload.hasher, Vec::new()))
        })
    }

    async fn finish(mut self: Box<Self>, expected: &Digest) -> Result<u64, StorageError> {
        self.step(|upload| {
            upload.compare(expected)?;
            upload.save()?;
            Ok(upload.content.size_bytes)
        })
    }
}

impl Drop for MemoryUpload {
    fn drop(&mut self) {
        let mut contents = self.shared.contents.lock();
        if contents.writers.get(&self.location) == Some(&self.number) {
            contents.writers.remove(&self.location);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract;

    #[tokio::test(flavor = "multi_thread")]
    async fn keeps_the_contract() {
        contract::all(async || Arc::new(MemoryStore::new()) as _).await;
    }

    #[tokio::test]
    async fn tells_when_it_is_full() {
        let store = MemoryStore::with_limit(10);
        let location: Location = "store/blobs/00/a".parse().unwrap();
        let mut upload = store.begin(&location, Algorithm::Sha256).await.unwrap();
        upload.append(Bytes::from_static(b"0123456789")).await.unwrap();
        upload.checkpoint().await.unwrap();
        let full = upload.append(Bytes::from_static(b"!")).await;
        assert!(matches!(full, Err(StorageError::NoSpace { .. })), "{full:?}");
        drop(upload);
        store.abandon(&location, None).await.unwrap();
        let mut upload = store.begin(&location, Algorithm::Sha256).await.unwrap();
        assert!(upload.append(Bytes::from_static(b"0123456789")).await.is_ok());
    }
}
