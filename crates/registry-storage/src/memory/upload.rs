use std::{io, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use registry_digest::{Digest, Hasher};
use registry_types::Location;

use super::{Shared, content::Content};
use crate::{StorageError, Upload, UploadState};

/// An upload to memory. What it appends is seen by others from the next checkpoint on.
#[derive(Debug)]
pub(super) struct MemoryUpload {
    pub(super) shared: Arc<Shared>,
    pub(super) location: Location,
    pub(super) number: u64,
    pub(super) hasher: Hasher,
    pub(super) content: Content,
    pub(super) has_failed: bool,
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
            let source = io::ErrorKind::StorageFull.into();
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
