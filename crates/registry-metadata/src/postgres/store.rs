//! The trait, method by method.

mod background;

use std::time::Duration;

use async_trait::async_trait;
use registry_database::{Operation, postgres::has_content};
use registry_digest::Digest;
use registry_types::{Descriptor, Location, Reference, RepositoryName, RepositorySet, Tag, UploadId};
use tokio::{time::Instant, time::sleep};

use super::{PostgresStore, blobs, manifests, restore, uploads};
use crate::{
    Blob, ClaimedUpload, Content, DeletedRepository, EndedWindows, FinishUpload, FoundManifest, Identity,
    MetadataError, NewUpload, Pull, Purpose, PutManifest, Restored, Result, StoredManifest, TagChange, Trash,
    Trashed, UploadRoom, UploadStatus, Uploads,
    logic::{self, audit, deleted, quota, repositories, retention},
    push::Put,
};

/// How long to look again at a session that another node has: it may be giving it back at this moment.
const CLAIM_PATIENCE: Duration = Duration::from_secs(1);

/// Before the second look; twice as long before each further one.
const CLAIM_PAUSE: Duration = Duration::from_millis(10);

#[async_trait]
impl Identity for PostgresStore {
    async fn store_id(&self) -> Result<Option<String>> {
        read!(self, "read the store's identity", |session| repositories::store_id(session))
    }

    async fn bind_store(&self, id: &str) -> Result<()> {
        transact!(self, "bind the database to a store", Full, [id = id.to_owned()], |tx| {
            repositories::bind_store(tx, id)
        })
    }

    async fn is_empty(&self) -> Result<bool> {
        read!(self, "look for content", |c| has_content(c, &self.options.owners))
            .map(|has_content| !has_content)
    }

    async fn check(&self) -> Result<()> {
        self.store_id().await.map(drop)
    }

    async fn mark(&self) -> Result<i64> {
        read!(self, "read the mark", |session| audit::mark(session))
    }

    async fn raise_mark(&self, above: i64) -> Result<i64> {
        transact!(self, "raise the mark", Full, [above = above], |tx| audit::raise_mark(tx, *above))
    }
}

#[async_trait]
impl Content for PostgresStore {
    async fn blob(
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

    async fn manifest(
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

    async fn manifest_within(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
        purpose: Purpose,
        bytes_max: usize,
    ) -> Result<Option<FoundManifest>> {
        if purpose == Purpose::Promise {
            let found = self.manifest(repository, reference, purpose).await?;
            return Ok(found.map(|stored| FoundManifest::within(stored, bytes_max)));
        }
        let operation = "read a manifest";
        read!(self, operation, |c| manifests::read_within(c, repository, reference, bytes_max))
    }

    async fn tags(&self, repository: &RepositoryName, after: Option<&str>, limit: usize) -> Result<Vec<Tag>> {
        let page = read!(self, "list tags", |session| logic::tags::page(session, repository, after, limit))?;
        page.ok_or_else(|| MetadataError::RepositoryUnknown { name: repository.clone() })
    }

    async fn repositories(
        &self,
        visible: &RepositorySet,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<RepositoryName>> {
        read!(self, "list repositories", |session| repositories::page(session, visible, after, limit))
    }

    async fn referrers(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
        artifact_type: Option<&str>,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Vec<Descriptor>> {
        read!(self, "list referrers", |c| {
            manifests::referrers(c, repository, subject, artifact_type, after, limit)
        })
    }

    async fn object(&self, digest: &Digest) -> Result<Option<Blob>> {
        read!(self, "look for an object", |session| logic::blobs::object(session, digest))
    }

    async fn mark_bad(&self, location: &Location) -> Result<()> {
        write_alone!(self, "hide an object", Full, [location = location.clone()], |session| {
            logic::blobs::mark_bad(session, location)
        })
    }

    async fn repositories_with_blob(&self, digest: &Digest, limit: usize) -> Result<Vec<RepositoryName>> {
        read!(self, "look for a blob", |session| logic::blobs::repositories_with(session, digest, limit))
    }

    async fn mount_blob(&self, from: &RepositoryName, to: &RepositoryName, digest: &Digest) -> Result<bool> {
        // If it is there and safe already, a mount is a promise and writes nothing.
        if self.blob(to, digest, Purpose::Promise).await?.is_some() {
            return Ok(true);
        }
        let mount = blobs::Mount { from: from.clone(), to: to.clone(), digest: *digest };
        self.transact("mount a blob", mount).await
    }

    async fn put_manifest(&self, put: &PutManifest<'_>) -> Result<()> {
        self.transact("push a manifest", Put::new(put)).await
    }

    async fn delete_tag(&self, repository: &RepositoryName, tag: &Tag, actor: Option<&str>) -> Result<()> {
        transact!(
            self,
            "delete a tag",
            Full,
            [repository = repository.clone(), tag = tag.clone(), actor = actor.map(str::to_owned)],
            |tx| logic::tags::delete(tx, repository, tag, actor.as_deref())
        )
    }

    async fn delete_manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        actor: Option<&str>,
    ) -> Result<Vec<Tag>> {
        transact!(
            self,
            "delete a manifest",
            Full,
            [repository = repository.clone(), digest = *digest, actor = actor.map(str::to_owned)],
            |tx| logic::manifests::delete(tx, repository, digest, actor.as_deref())
        )
    }

    async fn delete_blob(&self, repository: &RepositoryName, digest: &Digest) -> Result<()> {
        transact!(self, "delete a blob", Full, [repository = repository.clone(), digest = *digest], |tx| {
            logic::blobs::delete(tx, repository, digest)
        })
    }

    async fn record_pulls(&self, pulls: &[Pull]) -> Result<()> {
        transact!(self, "record pulls", Process, [pulls = pulls.to_vec()], |tx| retention::record(tx, pulls))
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
        write_of_process!(self, "save an upload", |c| uploads::save(c, id, epoch, offset, state))
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

#[async_trait]
impl Trash for PostgresStore {
    async fn trash(
        &self,
        repository: &RepositoryName,
        after: Option<&Trashed>,
        limit: usize,
    ) -> Result<Vec<Trashed>> {
        let page =
            read!(self, "list the trash", |session| logic::restore::page(session, repository, after, limit))?;
        page.ok_or_else(|| MetadataError::RepositoryUnknown { name: repository.clone() })
    }

    async fn restore(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
        actor: Option<&str>,
    ) -> Result<Restored> {
        let (repository, reference) = (repository.clone(), reference.clone());
        let restore = restore::Restore { repository, reference, actor: actor.map(str::to_owned) };
        self.transact("restore from the trash", restore).await
    }

    async fn tag_history(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<TagChange>> {
        let operation = "read a tag's history";
        read!(self, operation, |session| logic::restore::history(session, repository, tag, before, limit))
    }

    async fn set_tag(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        digest: &Digest,
        actor: Option<&str>,
    ) -> Result<Restored> {
        let (repository, tag, actor) = (repository.clone(), tag.clone(), actor.map(str::to_owned));
        self.transact("set a tag", restore::SetTag { repository, tag, digest: *digest, actor }).await
    }

    async fn delete_repository(&self, repository: &RepositoryName) -> Result<()> {
        transact!(self, "delete a repository", Full, [repository = repository.clone()], |tx| {
            deleted::set_aside(tx, repository)
        })
    }

    async fn restore_repository(&self, repository: &RepositoryName) -> Result<()> {
        transact!(self, "restore a repository", Full, [repository = repository.clone()], |tx| {
            deleted::bring_back(tx, repository)
        })
    }

    async fn end_windows(&self, repository: Option<&RepositoryName>, limit: usize) -> Result<EndedWindows> {
        transact!(self, "empty the trash", Full, [repository = repository.cloned(), limit = limit], |tx| {
            deleted::end_windows(tx, repository.as_ref(), *limit)
        })
    }

    async fn deleted_repositories(&self) -> Result<Vec<DeletedRepository>> {
        read!(self, "list deleted repositories", |session| deleted::deleted(session))
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
