//! An upload session while a request writes to it.

use std::sync::Arc;

use registry_digest::Digest;
use registry_metadata::{Blob, ClaimedUpload, FinishUpload, MetadataError, UploadRoom};
use registry_storage::{StorageError, Upload, UploadState};
use registry_types::{Location, RepositoryName, UploadId};

use registry_server::ServerBody;

use crate::{app::App, error::ApiError};

/// The one request that may write to an upload. Dropping it frees the session, which then stands where it was last saved.
pub(crate) struct Session {
    claim: Claim,
    repository: RepositoryName,
    location: Location,
    upload: Box<dyn Upload>,
    saved_offset: u64,
    /// How large the upload may become by the quotas, if they limit it.
    room: Option<UploadRoom>,
}

/// Gives the session back when the request ends, however it ends.
struct Claim {
    app: Arc<App>,
    id: UploadId,
    epoch: i64,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.app.metadata.release_upload(&self.id, self.epoch);
    }
}

impl Session {
    /// Claims the session and goes on where it was last saved. `digest` is what it will be, if that is known.
    pub(crate) async fn claim(
        app: Arc<App>,
        repository: &RepositoryName,
        id: UploadId,
        digest: Option<&Digest>,
    ) -> Result<Session, ApiError> {
        let ClaimedUpload { epoch, location, algorithm, offset, state } =
            app.metadata.claim_upload(repository, &id).await?;
        let claim = Claim { app, id, epoch };
        let room = claim.app.metadata.upload_room(repository, offset, digest).await?;
        let upload = match state {
            None => claim.app.store.begin(&location, algorithm).await?,
            Some(state) => {
                let state = UploadState::from_bytes(&state).map_err(StorageError::from);
                let state = state.map_err(|error| failure(id, error))?;
                claim.app.store.resume(&location, &state).await.map_err(|error| failure(id, error))?
            }
        };
        Ok(Session { claim, repository: repository.clone(), location, upload, saved_offset: offset, room })
    }

    /// Where the next byte goes.
    pub(crate) fn offset(&self) -> u64 {
        self.upload.offset()
    }

    /// Writes a request's body. If it breaks off, what arrived is saved before the error is returned; if it is longer or
    /// shorter than declared, the session stays where it was last saved; if it is more than can be kept, that is said as soon
    /// as it is known, and the session is over.
    pub(crate) async fn receive(
        mut self,
        body: ServerBody,
        declared_bytes: Option<u64>,
    ) -> Result<Session, ApiError> {
        match self.write(body, declared_bytes).await {
            Ok(()) => Ok(self),
            Err(error) => Err(self.end_if_refused(error).await),
        }
    }

    /// Makes what was written durable, then the state that continues it. Returns the offset. A session whose bytes can not
    /// be kept is over.
    pub(crate) async fn save(mut self) -> Result<u64, ApiError> {
        match self.checkpoint().await {
            Ok(offset) => Ok(offset),
            Err(error) => Err(self.end_if_refused(error).await),
        }
    }

    async fn write(&mut self, mut body: ServerBody, declared_bytes: Option<u64>) -> Result<(), ApiError> {
        self.refuse_beyond_limits(self.offset().saturating_add(declared_bytes.unwrap_or(0)))?;
        let mut received_bytes = 0;
        let idle = self.claim.app.settings.body_idle;
        let save_every_bytes = self.claim.app.store.checkpoint_every_bytes();
        loop {
            match body.next(idle).await {
                Ok(Some(bytes)) => {
                    received_bytes += bytes.len() as u64;
                    if let Some(declared_bytes) = declared_bytes.filter(|declared| received_bytes > *declared)
                    {
                        return Err(ApiError::LengthMismatch { declared_bytes, received_bytes });
                    }
                    self.refuse_beyond_limits(self.offset() + bytes.len() as u64)?;
                    self.upload.append(bytes).await.map_err(|error| failure(self.claim.id, error))?;
                }
                Ok(None) => break,
                Err(error) => {
                    self.checkpoint().await?;
                    return Err(error.into());
                }
            }
            if self.upload.offset() - self.saved_offset >= save_every_bytes {
                self.checkpoint().await?;
            }
        }
        match declared_bytes {
            Some(declared_bytes) if declared_bytes != received_bytes => {
                Err(ApiError::LengthMismatch { declared_bytes, received_bytes })
            }
            _ => Ok(()),
        }
    }

    /// Refuses an upload that is to have this size, if it can not be kept.
    fn refuse_beyond_limits(&self, size_bytes: u64) -> Result<(), ApiError> {
        if let Some(limit_bytes) = self.claim.app.settings.blob_bytes_max.filter(|limit| size_bytes > *limit)
        {
            return Err(ApiError::BlobTooLarge { limit_bytes });
        }
        match &self.room {
            Some(room) if size_bytes > room.size_bytes_max => {
                Err(MetadataError::from(room.exceeded(self.saved_offset, size_bytes)).into())
            }
            _ => Ok(()),
        }
    }

    /// A refused upload must not fill the disk, and what would be sent again would be refused again.
    async fn end_if_refused(self, error: ApiError) -> ApiError {
        if let ApiError::Metadata(MetadataError::QuotaExceeded(_)) | ApiError::BlobTooLarge { .. } = error {
            let Session { claim, repository, upload, .. } = self;
            drop(upload);
            give_up(claim, &repository).await;
        }
        error
    }

    /// Makes what was written durable, then the state that continues it. Returns the offset.
    async fn checkpoint(&mut self) -> Result<u64, ApiError> {
        if self.upload.offset() != self.saved_offset {
            let state = self.upload.checkpoint().await.map_err(|error| failure(self.claim.id, error))?;
            let Claim { app, id, epoch } = &self.claim;
            app.metadata.save_upload(id, *epoch, state.offset(), &state.to_bytes()).await?;
            self.saved_offset = state.offset();
        }
        Ok(self.saved_offset)
    }

    /// Makes the blob: bytes durable, then one transaction.
    pub(crate) async fn finish(self, digest: &Digest) -> Result<(), ApiError> {
        let Session { claim, repository, location, upload, .. } = self;
        let size_bytes = match upload.finish(digest).await {
            Ok(size_bytes) => size_bytes,
            Err(error @ StorageError::DigestMismatch { .. }) => {
                give_up(claim, &repository).await;
                return Err(error.into());
            }
            Err(error) => return Err(failure(claim.id, error)),
        };
        let replaces = missing_twin(&claim.app, digest, &location, size_bytes).await?;
        let finish = FinishUpload {
            repository,
            id: claim.id,
            epoch: claim.epoch,
            digest: *digest,
            size_bytes,
            replaces,
        };
        let finished = claim.app.metadata.finish_upload(&finish).await;
        if let Err(MetadataError::QuotaExceeded(_)) = finished {
            // Whoever made room would push anew; nobody is to fill the disk by what is refused.
            give_up(claim, &finish.repository).await;
        }
        Ok(finished?)
    }
}

/// What a failure of the store means for a session. One whose bytes are lost, or were given up in the meantime, is gone: a
/// client that hears so begins anew, which a failure of ours would not tell it to.
fn failure(id: UploadId, error: StorageError) -> ApiError {
    match error {
        StorageError::UploadBytesLost { .. }
        | StorageError::UploadSuperseded { .. }
        | StorageError::UploadStateInvalid(_) => {
            tracing::warn!(upload.id = %id, "upload {id} can not go on: {error}");
            MetadataError::UploadUnknown { id }.into()
        }
        other => other.into(),
    }
}

/// Ends a session that leads nowhere: its blob is not what it was to be, or can not be kept. If the row can not be removed
/// now, it ages and is purged like any other that no client finishes.
async fn give_up(claim: Claim, repository: &RepositoryName) {
    let (app, id) = (claim.app.clone(), claim.id);
    drop(claim);
    if let Err(error) = app.metadata.cancel_upload(repository, &id).await {
        tracing::warn!(upload.id = %id, error = &error as &dyn std::error::Error, "could not remove upload {id}");
    }
}

/// The object that already has this digest, if its bytes are not there any more: ours take its place.
async fn missing_twin(
    app: &App,
    digest: &Digest,
    ours: &Location,
    size_bytes: u64,
) -> Result<Option<Location>, ApiError> {
    let Some(Blob { location, .. }) = app.metadata.object(digest).await? else { return Ok(None) };
    if location == *ours {
        return Ok(None);
    }
    let is_whole = app.store.size(&location).await? == Some(size_bytes);
    Ok((!is_whole).then_some(location))
}
