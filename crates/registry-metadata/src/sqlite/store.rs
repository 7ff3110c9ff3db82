//! What this store answers in its own way: reads on this thread, writes through the writer, uploads that one process claims. All
//! else is in `dispatch`.

use std::time::Duration;

use async_trait::async_trait;
use registry_database::sqlite::has_content;
use registry_digest::Digest;
use registry_types::{Reference, RepositoryName, UploadId};

use super::{
    SqliteStore, blobs, manifests,
    reclaim::due,
    statement::exists,
    uploads, verify,
    writer::{
        Durability::{Full, Process},
        Tx,
    },
};
use crate::{
    Blob, ClaimedUpload, CollectRules, Collected, FinishUpload, MetadataError, NewUpload, Purpose, Reclaim,
    Result, StoredManifest, UploadRoom, UploadStatus, Uploads,
    clock::millis,
    collecting::Reason,
    dispatch::{dispatch, dispatch_adopting, dispatch_background},
    logic::{audit, collect, quota},
    sql,
};

dispatch!(SqliteStore);
dispatch_background!(SqliteStore);
dispatch_adopting!(SqliteStore);

impl SqliteStore {
    async fn has_content(&self) -> Result<bool> {
        self.readers.read("look for content", |connection| has_content(connection, &self.options.owners))
    }

    async fn check_database(&self) -> Result<()> {
        let operation = "check the database";
        self.readers
            .read(operation, |connection| exists(connection, sql::repositories::STORE_ID.sqlite, []))?;
        self.check_journal(operation)?;
        self.writer.check(operation)
    }

    async fn read_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        purpose: Purpose,
    ) -> Result<Option<Blob>> {
        let operation = "read a blob";
        if purpose == Purpose::Read {
            return self.readers.read(operation, |connection| blobs::read(connection, repository, digest));
        }
        let lease_ms = self.options.lease_ms();
        let promised =
            self.readers.read(operation, |reader| blobs::promise(reader, repository, digest, lease_ms))?;
        match promised {
            Some(promised) if !promised.is_safe => {
                let (repository, digest) = (repository.clone(), *digest);
                let renew = move |tx: &Tx<'_>| blobs::renew(tx, &repository, &digest);
                self.writer.run("renew a blob's lease", Full, (), renew).await
            }
            promised => {
                self.settled(operation).await?;
                Ok(promised.map(|promised| promised.blob))
            }
        }
    }

    async fn read_manifest(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
        purpose: Purpose,
    ) -> Result<Option<StoredManifest>> {
        let operation = "read a manifest";
        // What a tag leads to is referenced by it; if the tag moves later, that grants a lease.
        let (Reference::Digest(digest), Purpose::Promise) = (reference, purpose) else {
            let found = self
                .readers
                .read(operation, |connection| manifests::read(connection, repository, reference))?;
            if purpose == Purpose::Promise {
                self.settled(operation).await?;
            }
            return Ok(found);
        };
        let lease_ms = self.options.lease_ms();
        let promised = self
            .readers
            .read(operation, |reader| manifests::promise(reader, repository, digest, lease_ms))?;
        match promised {
            Some(promised) if !promised.is_safe => {
                let (repository, digest) = (repository.clone(), *digest);
                let renew = move |tx: &Tx<'_>| manifests::renew(tx, &repository, &digest);
                match self.writer.run("renew a manifest's lease", Full, (), renew).await {
                    Err(MetadataError::ManifestUnknown { .. }) => Ok(None),
                    renewed => renewed.map(Some),
                }
            }
            promised => {
                self.settled(operation).await?;
                Ok(promised.map(|promised| promised.manifest))
            }
        }
    }

    async fn collect_garbage(&self, rules: CollectRules, limit: usize) -> Result<Vec<Collected>> {
        let (operation, looked_at) = ("collect garbage", self.looked_at.clone());
        transact!(self, operation, Full, [rules = rules, limit = limit, looked_at = looked_at], |tx| {
            collect::process_due(tx, looked_at, *rules, *limit)
        })
    }

    async fn take_reclaimable(&self, limit: usize) -> Result<Vec<Reclaim>> {
        let operation = "list bytes to reclaim";
        let due = self.readers.read(operation, |connection| due(connection, limit))?;
        // Bytes must not go before the commit that gave them up can not be lost.
        self.settled(operation).await?;
        Ok(due)
    }

    async fn verify_database(&self) -> Result<Vec<String>> {
        let operation = "verify the database";
        let mut said = self.readers.read(operation, verify::check)?;
        said.extend(read!(self, operation, |session| audit::verify(session))?);
        Ok(said)
    }
}

#[async_trait]
impl Uploads for SqliteStore {
    async fn start_upload(&self, new: &NewUpload) -> Result<()> {
        let (operation, repository) = ("begin an upload", &new.repository);
        read!(self, operation, |session| quota::refuse_if_full(session, &self.options, repository))?;
        let new = new.clone();
        self.writer.run(operation, Process, (), move |tx| uploads::start(tx, &new)).await
    }

    async fn upload(&self, repository: &RepositoryName, id: &UploadId) -> Result<Option<UploadStatus>> {
        self.readers.read("read an upload", |reader| uploads::status(reader, repository, id))
    }

    async fn claim_upload(&self, repository: &RepositoryName, id: &UploadId) -> Result<ClaimedUpload> {
        let hold = self.claims.claim(id)?;
        let session =
            self.readers.read("claim an upload", |reader| uploads::claimed(reader, repository, id))?;
        let session = session.ok_or(MetadataError::UploadUnknown { id: *id })?;
        Ok(ClaimedUpload {
            epoch: self.claims.number(hold, session.epoch),
            location: session.location,
            algorithm: session.algorithm,
            offset: session.offset,
            state: session.state,
        })
    }

    async fn upload_room(
        &self,
        repository: &RepositoryName,
        saved_bytes: u64,
        digest: Option<&Digest>,
    ) -> Result<Option<UploadRoom>> {
        if self.options.quotas.is_empty() {
            return Ok(None);
        }
        read!(self, "look for room in quotas", |session| {
            quota::room(session, &self.options, repository, saved_bytes, digest)
        })
    }

    async fn save_upload(&self, id: &UploadId, epoch: i64, offset: u64, state: &[u8]) -> Result<()> {
        let hold = self.claims.hold(id, epoch)?;
        let (id, state) = (*id, state.to_vec());
        let save = move |tx: &Tx<'_>| uploads::save(tx, &id, epoch, offset, &state);
        self.writer.run("save an upload", Process, hold, save).await
    }

    fn release_upload(&self, id: &UploadId, epoch: i64) {
        self.claims.release(id, epoch);
    }

    async fn finish_upload(&self, finish: &FinishUpload) -> Result<()> {
        let (operation, hold) = ("finish an upload", self.claims.hold(&finish.id, finish.epoch)?);
        let FinishUpload { repository, digest, size_bytes, .. } = finish;
        read!(self, operation, |session| {
            quota::refuse_if_too_large(session, &self.options, repository, digest, *size_bytes)
        })?;
        let finish = finish.clone();
        self.writer.run(operation, Full, hold, move |tx| uploads::finish(tx, &finish)).await
    }

    async fn cancel_upload(&self, repository: &RepositoryName, id: &UploadId) -> Result<()> {
        let hold = self.claims.claim(id)?;
        let session =
            self.readers.read("cancel an upload", |reader| uploads::status(reader, repository, id))?;
        let unknown = MetadataError::UploadUnknown { id: *id };
        if session.is_none() {
            return Err(unknown);
        }
        let id = *id;
        let cancel = move |tx: &Tx<'_>| uploads::cancel(tx, &id, Reason::Cancelled);
        match self.writer.run("cancel an upload", Process, hold, cancel).await? {
            true => Ok(()),
            false => Err(unknown),
        }
    }

    async fn expire_uploads(&self, untouched_for: Duration, limit: usize) -> Result<u64> {
        let claims = self.claims.clone();
        let untouched_for_ms = millis(untouched_for);
        let expire = move |tx: &Tx<'_>| uploads::expire(tx, &claims, untouched_for_ms, limit);
        // The holds come back with the answer, which is after the commit.
        let holds = self.writer.run("expire uploads", Full, (), expire).await?;
        Ok(holds.len() as u64)
    }
}
