//! What a server does for its clients, request by request, as the service does it.

use std::{error::Error, sync::Arc};

use bytes::Bytes;
use registry_digest::{Algorithm, Digest};
use registry_metadata::{Clock, FinishUpload, NewUpload, Purpose, PutManifest, traits::*};
use registry_storage::{BlobStore, StorageError, Upload, UploadState};
use registry_types::{Cause, Location, Manifest, RepositoryName, Tag, UploadId};

use super::{metadata::SteppedMetadata, store::SteppedStore};
use crate::world::World;

/// What a client gets, or why it does not.
pub(crate) type Answer<T> = Result<T, Box<dyn Error>>;

#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) world: Arc<World>,
    pub(crate) metadata: SteppedMetadata,
    pub(crate) store: SteppedStore,
}

/// Gives a session back however its request ends.
struct Claim<'a> {
    client: &'a Client,
    id: UploadId,
    epoch: i64,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.client.metadata.release_upload(&self.id, self.epoch);
    }
}

impl Client {
    /// `HEAD` of a blob, with a look at its bytes.
    pub(crate) async fn head(&self, repository: &RepositoryName, digest: &Digest) -> Answer<bool> {
        let Some(blob) = self.metadata.blob(repository, digest, Purpose::Promise).await? else {
            return Ok(false);
        };
        if self.store.is_missing(&blob.location, blob.size_bytes).await? {
            self.metadata.mark_bad(&blob.location).await?;
            return Ok(false);
        }
        Ok(true)
    }

    pub(crate) async fn mount(
        &self,
        from: &RepositoryName,
        to: &RepositoryName,
        digest: &Digest,
    ) -> Answer<bool> {
        let Some(object) = self.metadata.object(digest).await? else { return Ok(false) };
        if self.store.is_missing(&object.location, object.size_bytes).await? {
            self.metadata.mark_bad(&object.location).await?;
            return Ok(false);
        }
        Ok(self.metadata.mount_blob(from, to, digest).await?)
    }

    /// `POST uploads/`.
    pub(crate) async fn start(&self, repository: &RepositoryName) -> Answer<UploadId> {
        let id = self.world.upload_id();
        let (location, algorithm) = (Location::of_upload(&id), Algorithm::Sha256);
        self.metadata
            .start_upload(&NewUpload { id, repository: repository.clone(), location, algorithm })
            .await?;
        Ok(id)
    }

    async fn claim(
        &self,
        repository: &RepositoryName,
        id: UploadId,
    ) -> Answer<(Claim<'_>, Location, Box<dyn Upload>)> {
        let claimed = self.metadata.claim_upload(repository, &id).await?;
        let claim = Claim { client: self, id, epoch: claimed.epoch };
        let upload = match claimed.state {
            None => self.store.begin(&claimed.location, claimed.algorithm).await?,
            Some(state) => {
                let state = UploadState::from_bytes(&state).expect("it was saved");
                self.store.resume(&claimed.location, &state).await?
            }
        };
        Ok((claim, claimed.location, upload))
    }

    /// `PATCH` with half of what is not there yet.
    pub(crate) async fn append(
        &self,
        repository: &RepositoryName,
        id: UploadId,
        content: &[u8],
    ) -> Answer<()> {
        let (claim, _, mut upload) = self.claim(repository, id).await?;
        let rest = &content[upload.offset() as usize..];
        upload.append(Bytes::copy_from_slice(&rest[..rest.len().div_ceil(2)])).await?;
        let state = upload.checkpoint().await?;
        self.metadata.save_upload(&id, claim.epoch, state.offset(), &state.to_bytes()).await?;
        Ok(())
    }

    /// `PUT` with the rest.
    pub(crate) async fn finish(
        &self,
        repository: &RepositoryName,
        id: UploadId,
        content: &[u8],
    ) -> Answer<()> {
        let digest = Digest::of(Algorithm::Sha256, content);
        let (claim, location, mut upload) = self.claim(repository, id).await?;
        upload.append(Bytes::copy_from_slice(&content[upload.offset() as usize..])).await?;
        let size_bytes = upload.finish(&digest).await?;
        let mut replaces = None;
        if let Some(twin) = self.metadata.object(&digest).await?
            && twin.location != location
            && self.store.size(&twin.location).await? != Some(size_bytes)
        {
            replaces = Some(twin.location);
        }
        let (repository, epoch) = (repository.clone(), claim.epoch);
        let finish = FinishUpload { repository, id, epoch, digest, size_bytes, replaces };
        Ok(self.metadata.finish_upload(&finish).await?)
    }

    /// A blob, all at once.
    pub(crate) async fn push_blob(&self, repository: &RepositoryName, content: &[u8]) -> Answer<Digest> {
        let id = self.start(repository).await?;
        self.finish(repository, id, content).await?;
        Ok(Digest::of(Algorithm::Sha256, content))
    }

    pub(crate) async fn put(
        &self,
        repository: &RepositoryName,
        manifest: &Manifest,
        tags: &[&str],
    ) -> Answer<Digest> {
        let digest = manifest.digest(Algorithm::Sha256);
        let tags: Vec<Tag> = tags.iter().map(|tag| tag.parse().unwrap()).collect();
        let required: Vec<Digest> = manifest.blobs().map(|blob| blob.digest).collect();
        let required_children: Vec<Digest> = manifest.child_manifests().map(|child| child.digest).collect();
        let put = PutManifest {
            repository,
            digest,
            manifest,
            tags: &tags,
            required: &required,
            required_children: &required_children,
            cause: &Cause::UNKNOWN,
        };
        self.metadata.put_manifest(&put).await?;
        Ok(digest)
    }

    /// `GET` of a blob. Whoever was told where it lies has the grace to open it.
    pub(crate) async fn read(&self, repository: &RepositoryName, digest: &Digest) -> Answer<()> {
        let Some(blob) = self.metadata.blob(repository, digest, Purpose::Read).await? else { return Ok(()) };
        let until_ms = self.world.clock.now_ms() + self.world.grace_ms();
        match self.store.open(&blob.location, 0..blob.size_bytes).await {
            Err(StorageError::Missing { .. }) if self.world.clock.now_ms() < until_ms => {
                let what = format!("{} went while it was read", blob.location);
                self.metadata.ledger.lock().unwrap().note_wrong(what);
                Ok(())
            }
            opened => Ok(opened.map(drop)?),
        }
    }
}

fn descriptor(media_type: &str, digest: &Digest) -> String {
    format!(r#"{{"mediaType":"application/vnd.oci.image.{media_type}","digest":"{digest}","size":1}}"#)
}

/// An image, which may say something about another manifest.
pub(crate) fn image(config: &Digest, layer: &Digest, subject: Option<&Digest>) -> Manifest {
    let subject = subject.map(|subject| format!(r#","subject":{}"#, descriptor("manifest.v1+json", subject)));
    parse(format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[{}]{}}}"#,
        descriptor("config.v1+json", config),
        descriptor("layer.v1.tar", layer),
        subject.unwrap_or_default(),
    ))
}

pub(crate) fn index(children: &[Digest]) -> Manifest {
    let children: Vec<String> = children.iter().map(|child| descriptor("manifest.v1+json", child)).collect();
    parse(format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{}]}}"#,
        children.join(",")
    ))
}

fn parse(document: String) -> Manifest {
    Manifest::parse(None, Bytes::from(document)).unwrap()
}
