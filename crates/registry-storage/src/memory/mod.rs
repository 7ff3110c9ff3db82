//! Objects in memory.

mod content;
mod small;
mod upload;

use std::{
    collections::BTreeMap,
    ops::{Bound, Range},
    sync::Arc,
    time::SystemTime,
};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use registry_digest::{Algorithm, Hasher};
use registry_types::Location;

use self::{content::Content, upload::MemoryUpload};
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
    mark: Option<i64>,
    objects: BTreeMap<Location, Object>,
    used_bytes: u64,
    small: BTreeMap<Location, small::Small>,
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

    async fn read_mark(&self) -> Result<Option<i64>, StorageError> {
        Ok(self.shared.contents.lock().mark)
    }

    async fn write_mark(&self, mark: i64) -> Result<bool, StorageError> {
        self.shared.contents.lock().mark = Some(mark);
        Ok(true)
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

    async fn is_missing(&self, location: &Location, size_bytes: u64) -> Result<bool, StorageError> {
        Ok(self.size(location).await? != Some(size_bytes))
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::contract;

    #[tokio::test(flavor = "multi_thread")]
    async fn keeps_the_contract() {
        contract::all(async || Arc::new(MemoryStore::new()) as _).await;
        contract::small_objects(async || Arc::new(MemoryStore::new()) as _).await;
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
