//! Keeping a blob that is fetched: an upload as a client's, whose digest is compared and whose bytes are durable before it counts.

use std::sync::Arc;

use bytes::Bytes;
use registry_digest::Digest;
use registry_metadata::{ClaimedUpload, FinishUpload, MetadataError, MetadataStore, NewUpload};
use registry_storage::{BlobStore, StorageError, Upload};
use registry_types::{Location, RepositoryName, UploadId};
use thiserror::Error;

/// Store and database.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) store: Arc<dyn BlobStore>,
    pub(crate) metadata: Arc<dyn MetadataStore>,
}

/// Why a blob could not be kept.
#[derive(Debug, Error)]
pub(crate) enum KeepError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    #[error("no random bytes can be had: {0}")]
    Random(getrandom::Error),
}

/// An upload that belongs to a fetch.
pub(crate) struct Keep {
    place: Place,
    repository: RepositoryName,
    digest: Digest,
    id: UploadId,
    epoch: i64,
    location: Location,
    upload: Option<Box<dyn Upload>>,
    saved_offset: u64,
}

impl Keep {
    pub(crate) async fn begin(
        place: &Place,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Keep, KeepError> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(KeepError::Random)?;
        let id = UploadId::from_random(random);
        let (location, algorithm) = (Location::of_upload(&id), digest.algorithm());
        let new = NewUpload { id, repository: repository.clone(), location, algorithm };
        place.metadata.start_upload(&new).await?;
        let claimed: ClaimedUpload = place.metadata.claim_upload(repository, &id).await?;
        let upload = place.store.begin(&claimed.location, algorithm).await?;
        Ok(Keep {
            place: place.clone(),
            repository: repository.clone(),
            digest: *digest,
            id,
            epoch: claimed.epoch,
            location: claimed.location,
            upload: Some(upload),
            saved_offset: 0,
        })
    }

    /// Where the bytes lie.
    pub(crate) fn location(&self) -> &Location {
        &self.location
    }

    /// Adds bytes, and saves how far it is now and then, which keeps the claim.
    pub(crate) async fn append(&mut self, bytes: Bytes) -> Result<(), KeepError> {
        let Some(upload) = &mut self.upload else { return Ok(()) };
        upload.append(bytes).await?;
        if upload.offset() - self.saved_offset >= self.place.store.checkpoint_every_bytes() {
            let state = upload.checkpoint().await?;
            let (offset, bytes) = (state.offset(), state.to_bytes());
            self.place.metadata.save_upload(&self.id, self.epoch, offset, &bytes).await?;
            self.saved_offset = offset;
        }
        Ok(())
    }

    /// Compares the digest and makes the blob. What is there already of this digest stays, unless its bytes are gone.
    /// Says where it lies.
    pub(crate) async fn finish(&mut self) -> Result<Location, KeepError> {
        let Some(upload) = self.upload.take() else { return Ok(self.location.clone()) };
        let size_bytes = upload.finish(&self.digest).await?;
        let Place { store, metadata } = &self.place;
        let finish = FinishUpload {
            repository: self.repository.clone(),
            id: self.id,
            epoch: self.epoch,
            digest: self.digest,
            size_bytes,
            replaces: match metadata.object(&self.digest).await? {
                Some(twin) if twin.location != self.location => {
                    let is_whole = store.size(&twin.location).await? == Some(size_bytes);
                    (!is_whole).then_some(twin.location)
                }
                _ => None,
            },
        };
        metadata.finish_upload(&finish).await?;
        let kept = metadata.object(&self.digest).await?;
        Ok(kept.map_or_else(|| self.location.clone(), |kept| kept.location))
    }

    /// Ends it without a blob. A row that can not be removed now goes as that of any other upload that nothing goes on with.
    pub(crate) async fn give_up(self) {
        let Keep { place, repository, id, epoch, upload, .. } = self;
        drop(upload);
        place.metadata.release_upload(&id, epoch);
        if let Err(error) = place.metadata.cancel_upload(&repository, &id).await {
            tracing::debug!(upload.id = %id, "could not remove the upload of a fetch: {error}");
        }
    }
}
