//! What this store answers in its own way: reads that are asked once more on another connection, uploads that nodes claim. All
//! else is in `dispatch`.

use std::time::Duration;

use async_trait::async_trait;
use registry_database::{Operation, postgres::has_content};
use registry_digest::Digest;
use registry_types::{Reference, RepositoryName, UploadId};
use tokio::{time::Instant, time::sleep};

use super::{PostgresStore, blobs, collect::Collector, manifests, reclaim::take_due, uploads, verify};
use crate::{
    Blob, ClaimedUpload, CollectRules, Collected, FinishUpload, MetadataError, NewUpload, Purpose, Reclaim,
    Result, StoredManifest, UploadRoom, UploadStatus, Uploads,
    dispatch::{dispatch, dispatch_adopting, dispatch_background},
    logic::{audit, collect, quota, repositories},
};

/// How long to look again at a session that another node has: it may be giving it back at this moment.
const CLAIM_PATIENCE: Duration = Duration::from_secs(1);

/// Before the second look; twice as long before each further one.
const CLAIM_PAUSE: Duration = Duration::from_millis(10);

dispatch!(PostgresStore);
dispatch_background!(PostgresStore);
dispatch_adopting!(PostgresStore);

impl PostgresStore {
    async fn has_content(&self) -> Result<bool> {
        read!(self, "look for content", |c| has_content(c, &self.options.owners))
    }

    async fn check_database(&self) -> Result<()> {
        read!(self, "check the database", |session| repositories::store_id(session)).map(drop)
    }

    async fn read_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        purpose: Purpose,
    ) -> Result<Option<Blob>> {
        let operation = "read a blob";
        if purpose == Purpose::Read {
            return read!(self, operation, |c| blobs::read(c, repository, digest));
        }
        let lease_ms = self.options.lease_ms();
        match read!(self, operation, |c| blobs::promise(c, repository, digest, lease_ms))? {
            Some(promised) if !promised.is_safe => {
                let renew = blobs::Renew { repository: repository.clone(), digest: *digest };
                match self.transact("renew a blob's lease", renew).await {
                    Err(MetadataError::BlobUnknown { .. }) => Ok(None),
                    renewed => renewed.map(Some),
                }
            }
            promised => Ok(promised.map(|promised| promised.blob)),
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
            return read!(self, operation, |c| manifests::read(c, repository, reference));
        };
        let lease_ms = self.options.lease_ms();
        match read!(self, operation, |c| manifests::promise(c, repository, digest, lease_ms))? {
            Some(promised) if !promised.is_safe => {
                let renew = manifests::Renew { repository: repository.clone(), digest: *digest };
                match self.transact("renew a manifest's lease", renew).await {
                    Err(MetadataError::ManifestUnknown { .. }) => Ok(None),
                    renewed => renewed.map(Some),
                }
            }
            promised => Ok(promised.map(|promised| promised.manifest)),
        }
    }

    async fn collect_garbage(&self, rules: CollectRules, limit: usize) -> Result<Vec<Collected>> {
        let collector = Collector { pool: self.pool.clone(), options: self.options.clone() };
        let collected = collect::process_due(&collector, &self.looked_at, rules, limit).await;
        Ok(collected.map_err(|fault| fault.explain("collect garbage"))?)
    }

    async fn take_reclaimable(&self, limit: usize) -> Result<Vec<Reclaim>> {
        loop {
            let taken = write_of_process!(self, "list bytes to reclaim", |c| take_due(c, limit))?;
            if !taken.due.is_empty() || taken.is_last {
                return Ok(taken.due);
            }
        }
    }

    async fn verify_database(&self) -> Result<Vec<String>> {
        read!(self, "verify the database", |session| async {
            let mut said = verify::check(session).await?;
            said.extend(audit::verify(session).await?);
            Ok(said)
        })
    }
}

#[async_trait]
impl Uploads for PostgresStore {
    async fn start_upload(&self, new: &NewUpload) -> Result<()> {
        let operation = "begin an upload";
        if self.has_quota(&new.repository) {
            read!(self, operation, |c| quota::refuse_if_full(c, &self.options, &new.repository))?;
        }
        match write_of_process!(self, operation, |c| uploads::start_at_once(c, new))? {
            true => Ok(()),
            false => {
                self.transact(Operation::from(operation).of_process(), uploads::Start(new.clone())).await
            }
        }
    }

    async fn upload(&self, repository: &RepositoryName, id: &UploadId) -> Result<Option<UploadStatus>> {
        read!(self, "read an upload", |c| uploads::status(c, repository, id))
    }

    async fn claim_upload(&self, repository: &RepositoryName, id: &UploadId) -> Result<ClaimedUpload> {
        let (hold, own_epoch) = self.claims.claim(id)?;
        let mut patience = Patience::new();
        let claimed = loop {
            let claimed =
                write_of_process!(self, "claim an upload", |c| uploads::claim(c, repository, id, own_epoch))?;
            match claimed {
                Some(claimed) => break claimed,
                None => self.look_again(&mut patience, repository, id).await?,
            }
        };
        self.claims.number(hold, claimed.epoch);
        Ok(claimed)
    }

    async fn upload_room(
        &self,
        repository: &RepositoryName,
        saved_bytes: u64,
        digest: Option<&Digest>,
    ) -> Result<Option<UploadRoom>> {
        if !self.has_quota(repository) {
            return Ok(None);
        }
        read!(self, "look for room in quotas", |c| {
            quota::room(c, &self.options, repository, saved_bytes, digest)
        })
    }

    async fn save_upload(&self, id: &UploadId, epoch: i64, offset: u64, state: &[u8]) -> Result<()> {
        let hold = self.claims.hold(id, epoch)?;
        if !self.options.quotas.is_empty() {
            let save = uploads::Save { id: *id, epoch, offset, state: state.to_vec() };
            let operation = Operation::from("save an upload").of_process();
            return self.transact_holding(operation, hold, save).await;
        }
        match write_of_process!(self, "save an upload", |c| uploads::save(c, id, epoch, offset, state))? {
            true => Ok(()),
            false => Err(read!(self, "save an upload", |c| uploads::not_saved(c, id))?),
        }
    }

    fn release_upload(&self, id: &UploadId, epoch: i64) {
        self.claims.release(id, epoch);
    }

    async fn finish_upload(&self, finish: &FinishUpload) -> Result<()> {
        let (operation, hold) = ("finish an upload", self.claims.hold(&finish.id, finish.epoch)?);
        let FinishUpload { repository, digest, size_bytes, .. } = finish;
        if self.has_quota(repository) {
            read!(self, operation, |c| {
                quota::refuse_if_too_large(c, &self.options, repository, digest, *size_bytes)
            })?;
        }
        self.transact_holding(operation, hold, uploads::Finish(finish.clone())).await
    }

    async fn cancel_upload(&self, repository: &RepositoryName, id: &UploadId) -> Result<()> {
        let operation = "cancel an upload";
        let (_hold, own_epoch) = self.claims.claim(id)?;
        let mut patience = Patience::new();
        loop {
            let is_cancelled = if !self.options.quotas.is_empty() {
                let cancel = uploads::Cancel { repository: repository.clone(), id: *id, own_epoch };
                self.transact(Operation::from(operation).of_process(), cancel).await?
            } else {
                write_of_process!(self, operation, |c| uploads::cancel(c, repository, id, own_epoch))?
            };
            if is_cancelled {
                break;
            }
            self.look_again(&mut patience, repository, id).await?;
        }
        Ok(())
    }

    async fn expire_uploads(&self, untouched_for: Duration, limit: usize) -> Result<u64> {
        let operation = "expire uploads";
        self.claims.give_back(&self.pool).await.map_err(|fault| fault.explain(operation))?;
        if !self.options.quotas.is_empty() {
            return self.transact(operation, uploads::Expire { untouched_for, limit }).await;
        }
        write!(self, operation, |c| uploads::expire(c, untouched_for, limit))
    }
}

/// How long a request has looked at a session that another node has.
struct Patience {
    until: Instant,
    pause: Duration,
}

impl Patience {
    fn new() -> Patience {
        Patience { until: Instant::now() + CLAIM_PATIENCE, pause: CLAIM_PAUSE }
    }
}

impl PostgresStore {
    /// Whether it is worth a connection to ask.
    fn has_quota(&self, repository: &RepositoryName) -> bool {
        self.options.quotas_of(repository.as_str()).next().is_some()
    }

    /// Waits before the next look at a session that is not free. Another node that has it may be giving it back: a
    /// client's next request may come here before that is done.
    async fn look_again(
        &self,
        patience: &mut Patience,
        repository: &RepositoryName,
        id: &UploadId,
    ) -> Result<()> {
        if self.upload(repository, id).await?.is_none() {
            return Err(MetadataError::UploadUnknown { id: *id });
        }
        if Instant::now() >= patience.until {
            return Err(MetadataError::UploadBusy { id: *id });
        }
        sleep(patience.pause).await;
        patience.pause *= 2;
        Ok(())
    }
}
