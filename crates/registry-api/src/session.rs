//! An upload session while a request writes to it.

use std::sync::Arc;

use registry_digest::Digest;
use registry_metadata::{Blob, ClaimedUpload, FinishUpload, MetadataError};
use registry_storage::{StorageError, Upload, UploadState};
use registry_types::{Location, RepositoryName, UploadId};

use crate::{app::App, error::ApiError, receive::RequestBody};

/// The one request that may write to an upload. Dropping it frees the session, which then stands where it was last saved.
pub(crate) struct Session {
    claim: Claim,
    repository: RepositoryName,
    location: Location,
    upload: Box<dyn Upload>,
    saved_offset: u64,
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
    /// Claims the session and goes on where it was last saved.
    pub(crate) async fn claim(
        app: Arc<App>,
        repository: &RepositoryName,
        id: UploadId,
    ) -> Result<Session, ApiError> {
        let ClaimedUpload { epoch, location, algorithm, offset, state } =
            app.metadata.claim_upload(repository, &id).await?;
        let claim = Claim { app, id, epoch };
        let upload = match state {
            None => claim.app.store.begin(&location, algorithm).await?,
            Some(state) => {
                let state = UploadState::from_bytes(&state).map_err(StorageError::from);
                let state = state.map_err(|error| failure(id, error))?;
                claim.app.store.resume(&location, &state).await.map_err(|error| failure(id, error))?
            }
        };
        Ok(Session { claim, repository: repository.clone(), location, upload, saved_offset: offset })
    }

    /// Where the next byte goes.
    pub(crate) fn offset(&self) -> u64 {
        self.upload.offset()
    }

    /// Writes a request's body. If it breaks off, what arrived is saved before the error is returned; if it is longer or
    /// shorter than declared, the session stays where it was last saved.
    pub(crate) async fn receive(
        &mut self,
        mut body: RequestBody,
        declared_bytes: Option<u64>,
    ) -> Result<(), ApiError> {
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
                    self.upload.append(bytes).await.map_err(|error| failure(self.claim.id, error))?;
                }
                Ok(None) => break,
                Err(error) => {
                    self.save().await?;
                    return Err(error);
                }
            }
            if self.upload.offset() - self.saved_offset >= save_every_bytes {
                self.save().await?;
            }
        }
        match declared_bytes {
            Some(declared_bytes) if declared_bytes != received_bytes => {
                Err(ApiError::LengthMismatch { declared_bytes, received_bytes })
            }
            _ => Ok(()),
        }
    }

    /// Makes what was written durable, then the state that continues it. Returns the offset.
    pub(crate) async fn save(&mut self) -> Result<u64, ApiError> {
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
            ApiError::UploadUnknown { id }
        }
        other => other.into(),
    }
}

/// The session of a blob that is not what it was to be leads nowhere; its bytes are gone already. If the row can not be
/// removed now, it ages and is purged like any other that nobody finishes.
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
