use object_store::Error;
use registry_digest::Digest;
use registry_types::Location;

use super::{
    backend::Put,
    buffer::Buffer,
    failure::{failure, is_conflict, is_passing, is_unknown_upload},
    writer::Writer,
};
use crate::StorageError;

/// How often a completion is asked for whose answer did not come.
const COMPLETE_ATTEMPTS_MAX: u32 = 3;

const COMPLETE_RETRY_DELAY: std::time::Duration = std::time::Duration::from_millis(300);

impl Writer {
    /// Completes the object and returns its size in bytes. Runs to its end, whether or not anybody waits for it.
    pub(super) async fn finish(mut self, expected: &Digest) -> Result<u64, StorageError> {
        self.tenure.check()?;
        if let Some(actual) = self.digest_for(expected).filter(|actual| actual != expected) {
            self.discard().await?;
            return Err(StorageError::digest_mismatch(*expected, actual));
        }
        let is_compared = match self.whole().await? {
            _ if self.is_tail_lost => self.recognise(expected).await.map(|()| true)?,
            Some(whole) => self.finish_whole(whole, expected).await.map(|()| true)?,
            None => self.finish_parts(expected).await?,
        };
        if !is_compared {
            self.compare_stored(expected).await?;
        }
        self.shared.remove_tails(self.tenure.location(), self.tails());
        Ok(self.offset())
    }

    /// Writes the object with one request.
    async fn finish_whole(&mut self, mut whole: Buffer, expected: &Digest) -> Result<(), StorageError> {
        if self.digest_for(expected).is_none() {
            let actual = whole.digest(expected.algorithm());
            if actual != *expected {
                self.discard().await?;
                return Err(StorageError::digest_mismatch(*expected, actual));
            }
        }
        let key = self.tenure.location().as_str();
        match self.shared.backend.create(key, whole.payload()).await? {
            Put::Done => Ok(()),
            Put::Exists => self.recognise(expected).await,
        }
    }

    /// Makes the object of its parts. Returns whether its digest is known to be the expected one.
    async fn finish_parts(&mut self, expected: &Digest) -> Result<bool, StorageError> {
        let location = self.tenure.location().clone();
        let (id, parts) = match self.all_parts().await {
            Ok(parts) => parts,
            // The upload is unknown: it was completed before, or given up.
            Err(StorageError::UploadBytesLost { .. }) => {
                return self.recognise(expected).await.map(|()| true);
            }
            // Some servers say so by a reset, as they do not read the part.
            Err(StorageError::Unavailable { .. })
                if matches!(self.shared.backend.size(location.as_str()).await, Ok(Some(_))) =>
            {
                return self.recognise(expected).await.map(|()| true);
            }
            Err(error) => return Err(error),
        };
        if self.is_tail_lost {
            return self.recognise(expected).await.map(|()| true);
        }
        self.tenure.check()?;
        if !self.shared.completes_if_absent && self.shared.backend.size(location.as_str()).await?.is_some() {
            return self.recognise(expected).await.map(|()| true);
        }
        let mut attempt = 1;
        loop {
            match self.shared.backend.complete(location.as_str(), &id, &parts).await {
                Ok(()) => return Ok(self.digest_for(expected).is_some()),
                Err(error) if is_conflict(&error) && attempt < COMPLETE_ATTEMPTS_MAX => {
                    tokio::time::sleep(COMPLETE_RETRY_DELAY * attempt).await;
                    attempt += 1;
                }
                Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {
                    self.recognise(expected).await?;
                    // The twin was completed by another attempt of ours or is the same: the parts are for nothing.
                    let _ = self.shared.backend.abort(location.as_str(), &id).await;
                    return Ok(true);
                }
                Err(error) if is_unknown_upload(&error) => {
                    return self.recognise(expected).await.map(|()| true);
                }
                Err(error) if is_passing(&error) && attempt < COMPLETE_ATTEMPTS_MAX => {
                    tokio::time::sleep(COMPLETE_RETRY_DELAY * attempt).await;
                    attempt += 1;
                }
                Err(error) => return Err(failure("complete an object", error)),
            }
        }
    }

    /// There is an object already, or what it was to be made of is gone: most likely it was completed and the answer was
    /// lost. Reads it, and accepts no other content.
    async fn recognise(&self, expected: &Digest) -> Result<(), StorageError> {
        let location = self.tenure.location();
        match self.shared.backend.digest(location.as_str(), expected.algorithm()).await? {
            Some((size_bytes, actual)) if size_bytes == self.offset() && actual == *expected => Ok(()),
            Some(_) => Err(StorageError::UploadSuperseded { location: location.clone() }),
            None => Err(self.bytes_lost()),
        }
    }

    /// Reads the completed object for a digest of another algorithm than was hashed.
    async fn compare_stored(&self, expected: &Digest) -> Result<(), StorageError> {
        let location: &Location = self.tenure.location();
        let stored = self.shared.backend.digest(location.as_str(), expected.algorithm()).await?;
        match stored {
            Some((_, actual)) if actual == *expected => Ok(()),
            Some((_, actual)) => {
                self.shared.backend.remove(location.as_str()).await?;
                self.shared.remove_tails(location, self.tails());
                Err(StorageError::digest_mismatch(*expected, actual))
            }
            None => Err(StorageError::UploadSuperseded { location: location.clone() }),
        }
    }
}
