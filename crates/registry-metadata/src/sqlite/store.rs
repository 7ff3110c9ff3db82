//! The trait, method by method: reads on this thread, writes through the writer.

mod background;

use std::time::Duration;

use async_trait::async_trait;
use registry_database::sqlite::has_content;
use registry_digest::Digest;
use registry_types::{Descriptor, Location, Reference, RepositoryName, RepositorySet, Tag, UploadId};

use super::{
    SqliteStore, blobs, manifests, restore,
    statement::exists,
    uploads,
    writer::{
        Durability::{Full, Process},
        Tx,
    },
};
use crate::{
    Blob, ClaimedUpload, Content, DeletedRepository, EndedWindows, FinishUpload, FoundManifest, Identity,
    MetadataError, NewUpload, Pull, Purpose, PutManifest, Restored, Result, StoredManifest, TagChange, Trash,
    Trashed, UploadRoom, UploadStatus, Uploads,
    clock::millis,
    collecting::Reason,
    logic::{self, audit, deleted, quota, repositories, retention},
    push::Put,
    sql,
};

#[async_trait]
impl Identity for SqliteStore {
    async fn store_id(&self) -> Result<Option<String>> {
        read!(self, "read the store's identity", |session| repositories::store_id(session))
    }

    async fn bind_store(&self, id: &str) -> Result<()> {
        transact!(self, "bind the database to a store", Full, [id = id.to_owned()], |tx| {
            repositories::bind_store(tx, id)
        })
    }

    async fn is_empty(&self) -> Result<bool> {
        self.readers
            .read("look for content", |connection| has_content(connection, &self.options.owners))
            .map(|has_content| !has_content)
    }

    async fn check(&self) -> Result<()> {
        let operation = "check the database";
        self.readers
            .read(operation, |connection| exists(connection, sql::repositories::STORE_ID.sqlite, []))?;
        self.check_journal(operation)?;
        self.writer.check(operation)
    }

    async fn mark(&self) -> Result<i64> {
        read!(self, "read the mark", |session| audit::mark(session))
    }

    async fn raise_mark(&self, above: i64) -> Result<i64> {
        transact!(self, "raise the mark", Full, [above = above], |tx| audit::raise_mark(tx, *above))
    }
}

#[async_trait]
impl Content for SqliteStore {
    async fn blob(
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

    async fn manifest(
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
                self.writer.run("renew a manifest's lease", Full, (), renew).await
            }
            promised => {
                self.settled(operation).await?;
                Ok(promised.map(|promised| promised.manifest))
            }
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
        self.readers.read("read a manifest", |reader| {
            manifests::read_within(reader, repository, reference, bytes_max)
        })
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
        self.readers.read("list referrers", |reader| {
            manifests::referrers(reader, repository, subject, artifact_type, after, limit)
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
        let (from, to, digest) = (from.clone(), to.clone(), *digest);
        self.writer.run("mount a blob", Full, (), move |tx| blobs::mount(tx, &from, &to, &digest)).await
    }

    async fn put_manifest(&self, put: &PutManifest<'_>) -> Result<()> {
        let put = Put::new(put);
        self.writer.run("push a manifest", Full, (), move |tx| put.run(tx)).await
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

#[async_trait]
impl Trash for SqliteStore {
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
        let (repository, reference, actor) =
            (repository.clone(), reference.clone(), actor.map(str::to_owned));
        let restore = move |tx: &Tx<'_>| restore::restore(tx, &repository, &reference, actor.as_deref());
        self.writer.run("restore from the trash", Full, (), restore).await
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
        let (repository, tag, digest) = (repository.clone(), tag.clone(), *digest);
        let actor = actor.map(str::to_owned);
        let set = move |tx: &Tx<'_>| restore::set_tag(tx, &repository, &tag, &digest, actor.as_deref());
        self.writer.run("set a tag", Full, (), set).await
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
