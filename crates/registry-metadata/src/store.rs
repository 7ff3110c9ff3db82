mod adopting;
mod background;

use std::{fmt, time::Duration};

use async_trait::async_trait;
use registry_digest::Digest;
use registry_types::{Cause, Descriptor, Location, Reference, RepositoryName, Tag, UploadId, Viewer};

use crate::{
    Blob, ClaimedUpload, DeletedRepository, EndedWindows, FinishUpload, FoundManifest, NewUpload, Pull,
    Purpose, PutManifest, Restored, Result, StoredManifest, TagChange, Trashed, UploadRoom, UploadStatus,
};

pub use adopting::Adopting;
pub use background::{Audit, Collecting, Quotas};

/// The most manifests that an error names as those which reference something.
pub const REFERRING_MAX: usize = 10;

/// How many changes of a tag are kept; the oldest go first.
pub const TAG_HISTORY_MAX: usize = 1_000;

/// How many unfinished uploads a repository may have. Clients that break off leave some behind until they are given up.
pub const UPLOADS_MAX: usize = 10_000;

/// The size of annotations after which a list of referrers is cut: each manifest may carry megabytes of them.
pub const REFERRERS_BYTES_MAX: usize = 512 * 1024;

/// The size of manifests after which a list of them is cut, unless there is only one: each may be 4 MiB.
pub const MANIFESTS_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Everything that a registry knows besides bytes.
///
/// Each method is one transaction. When it answers, what it did is durable, but for upload sessions: those survive a
/// killed process, and a power cut may lose the newest of them. Every method may also answer
/// [`NoSpace`](crate::MetadataError::NoSpace), [`Unavailable`](crate::MetadataError::Unavailable) or
/// [`Backend`](crate::MetadataError::Backend); then nothing of it was done, but for what `Unavailable` says.
///
/// **Cancellation**: a method whose future is dropped before it answers has done all of its work or none, and may still
/// do it later.
///
/// **Limits**: `limit` is the caller's; no method holds more than that many rows in memory.
///
/// It is made of traits by consumer: code that needs one part takes that. A type that implements all of them is one.
pub trait MetadataStore:
    Identity + Content + Uploads + Trash + Quotas + Collecting + Audit + Adopting
{
}

impl<T: Identity + Content + Uploads + Trash + Quotas + Collecting + Audit + Adopting> MetadataStore for T {}

/// Which store of bytes a database belongs to, how far it has come, and whether it can serve. A part of a [`MetadataStore`].
#[async_trait]
pub trait Identity: fmt::Debug + Send + Sync + 'static {
    /// The identity of the store of bytes that this database belongs to; none before
    /// [`bind_store`](Self::bind_store).
    async fn store_id(&self) -> Result<Option<String>>;

    /// Binds the database to a store of bytes, once and for all. Binding it again to the same store does nothing.
    ///
    /// # Errors
    /// [`StoreMismatch`](crate::MetadataError::StoreMismatch) if it is bound to another one.
    async fn bind_store(&self, id: &str) -> Result<()>;

    /// Whether no owner has any [content](registry_database::Schema::content) in the database: it may be bound to another store,
    /// and nothing is lost with it.
    async fn is_empty(&self) -> Result<bool>;

    /// Cheap; fails if the database can not serve.
    async fn check(&self) -> Result<()>;

    /// How far this database has come: a number that [grows](Self::raise_mark). The store of bytes keeps a copy; if that is
    /// greater, the database was restored from an older copy of itself.
    async fn mark(&self) -> Result<i64>;

    /// Raises the mark above what it was, above `above`, and to at least the time in milliseconds; answers the new one.
    async fn raise_mark(&self, above: i64) -> Result<i64>;
}

/// What repositories have: blobs, manifests and tags. What a request for them needs. A part of a [`MetadataStore`].
#[async_trait]
pub trait Content: fmt::Debug + Send + Sync + 'static {
    /// A blob of a repository. One whose bytes are [known to be bad](Self::mark_bad) is not there.
    async fn blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        purpose: Purpose,
    ) -> Result<Option<Blob>>;

    /// A manifest of a repository, by tag or digest.
    async fn manifest(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
        purpose: Purpose,
    ) -> Result<Option<StoredManifest>>;

    /// As [`manifest`](Self::manifest), but bytes stay where they are if there are more than `bytes_max`: their size is
    /// known before they are in memory.
    async fn manifest_within(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
        purpose: Purpose,
        bytes_max: usize,
    ) -> Result<Option<FoundManifest>> {
        let found = self.manifest(repository, reference, purpose).await?;
        Ok(found.map(|stored| FoundManifest::within(stored, bytes_max)))
    }

    /// The tags of a repository in the order of their bytes, strictly after `after`, at most `limit`.
    ///
    /// # Errors
    /// [`RepositoryUnknown`](crate::MetadataError::RepositoryUnknown). A repository that has blobs or uploads and no
    /// manifest yet is known.
    async fn tags(&self, repository: &RepositoryName, after: Option<&str>, limit: usize) -> Result<Vec<Tag>>;

    /// The names of the repositories that have a manifest and that a viewer sees, in the order of their bytes, strictly
    /// after `after`, at most `limit`.
    async fn repositories(
        &self,
        viewer: &Viewer,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<RepositoryName>>;

    /// Whether the namespace of a repository is there, also if all that was in it is deleted and can be restored. Of a name of one
    /// component, whether there is this very repository, or one of this name that was deleted and can be restored.
    async fn has_namespace_of(&self, repository: &RepositoryName) -> Result<bool>;

    /// The manifests of a repository whose `subject` is `subject`, optionally of one artifact type, in the order of
    /// their digests, strictly after `after`, at most `limit`, and fewer once their annotations exceed
    /// [`REFERRERS_BYTES_MAX`]: there are no more only if the answer is empty. Their descriptors carry the effective
    /// artifact type and the annotations. Empty for an unknown repository too; the subject itself need not be there.
    ///
    /// Spec: distribution-spec v1.1.1, "Listing Referrers".
    async fn referrers(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
        artifact_type: Option<&str>,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Vec<Descriptor>>;

    /// The object of a digest in whatever repository, unless it is marked bad: for a look at its bytes before
    /// [`finish_upload`](crate::Uploads::finish_upload) trusts them.
    async fn object(&self, digest: &Digest) -> Result<Option<Blob>>;

    /// Hides an object whose bytes are missing or wrong, in all repositories, until a client pushes it again. Nothing
    /// happens if there is no object at `location`.
    async fn mark_bad(&self, location: &Location) -> Result<()>;

    /// Some repositories that have a blob and that a viewer sees, at most `limit`. Of a viewer that does not see all, the first 1,000
    /// repositories are looked at, and nothing that it does not see.
    async fn repositories_with_blob(
        &self,
        viewer: &Viewer,
        digest: &Digest,
        limit: usize,
    ) -> Result<Vec<RepositoryName>>;

    /// Puts a blob of `from` into `to` as well, with a lease; `false` if `from` does not have it. Creates `to` if it is
    /// new.
    ///
    /// # Errors
    /// [`QuotaExceeded`](crate::MetadataError::QuotaExceeded), if `to` can not hold it.
    async fn mount_blob(&self, from: &RepositoryName, to: &RepositoryName, digest: &Digest) -> Result<bool>;

    /// Stores a manifest and sets its tags. Creates the repository if it is new. Pushing again what is there sets the
    /// tags and changes nothing else.
    ///
    /// # Errors
    /// [`MissingReferences`](crate::MetadataError::MissingReferences) with everything required that is not there;
    /// [`QuotaExceeded`](crate::MetadataError::QuotaExceeded).
    async fn put_manifest(&self, put: &PutManifest<'_>) -> Result<()>;

    /// Removes a tag and leaves its manifest.
    ///
    /// # Errors
    /// [`TagUnknown`](crate::MetadataError::TagUnknown); [`TagImmutable`](crate::MetadataError::TagImmutable), here and
    /// wherever else a tag would move or go.
    async fn delete_tag(&self, repository: &RepositoryName, tag: &Tag, cause: &Cause) -> Result<()>;

    /// Removes a manifest and its tags, and says which tags those were. What it referred to stays for a lease.
    ///
    /// # Errors
    /// [`ManifestUnknown`](crate::MetadataError::ManifestUnknown), and
    /// [`ManifestReferenced`](crate::MetadataError::ManifestReferenced) while an index of this repository lists it.
    async fn delete_manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        cause: &Cause,
    ) -> Result<Vec<Tag>>;

    /// Removes a blob from a repository.
    ///
    /// # Errors
    /// [`BlobUnknown`](crate::MetadataError::BlobUnknown), and
    /// [`BlobReferenced`](crate::MetadataError::BlobReferenced) while a manifest of this repository uses it.
    async fn delete_blob(&self, repository: &RepositoryName, digest: &Digest) -> Result<()>;

    /// Manifests were pulled. Of one that was pulled within the [last hour](crate::PULLS_APART) nothing is written; and what is
    /// written may be lost with the machine. At most some hundred at once. The first call, also one without pulls, is the moment from
    /// which on pulls are known.
    async fn record_pulls(&self, pulls: &[Pull]) -> Result<()>;
}

/// Upload sessions, from their beginning to the blob. A part of a [`MetadataStore`].
#[async_trait]
pub trait Uploads: fmt::Debug + Send + Sync + 'static {
    /// Begins an upload session. Creates the repository if it is new.
    ///
    /// # Errors
    /// [`TooManyUploads`](crate::MetadataError::TooManyUploads), if the repository has
    /// [so many](crate::UPLOADS_MAX);
    /// [`QuotaExceeded`](crate::MetadataError::QuotaExceeded), if there is no byte left.
    async fn start_upload(&self, new: &NewUpload) -> Result<()>;

    /// How far a session is, or none if this repository has no such session.
    async fn upload(&self, repository: &RepositoryName, id: &UploadId) -> Result<Option<UploadStatus>>;

    /// Makes the caller the only one who may go on with a session, until [`release_upload`](Self::release_upload).
    ///
    /// # Errors
    /// [`UploadUnknown`](crate::MetadataError::UploadUnknown), and [`UploadBusy`](crate::MetadataError::UploadBusy)
    /// while another claim lasts or something asked for under it is still being done.
    async fn claim_upload(&self, repository: &RepositoryName, id: &UploadId) -> Result<ClaimedUpload>;

    /// How large an upload to this repository may become that has saved so much, if a [quota](crate::Options::quotas) limits
    /// it: a look, so that what can not be kept need not be sent. `digest` is what it will be, if that is known.
    async fn upload_room(
        &self,
        repository: &RepositoryName,
        saved_bytes: u64,
        digest: Option<&Digest>,
    ) -> Result<Option<UploadRoom>>;

    /// Keeps how far a session is. The bytes up to `offset` must be durable before.
    ///
    /// # Errors
    /// [`QuotaExceeded`](crate::MetadataError::QuotaExceeded), if so much can not be held; then the session is as it was.
    /// [`UploadStale`](crate::MetadataError::UploadStale) if `epoch` is not the session's current claim,
    /// [`UploadUnknown`](crate::MetadataError::UploadUnknown) if it expired.
    async fn save_upload(&self, id: &UploadId, epoch: i64, offset: u64, state: &[u8]) -> Result<()>;

    /// Gives a claim back. Never waits and never fails, so it can be called from `Drop`; giving back what is not
    /// current does nothing.
    fn release_upload(&self, id: &UploadId, epoch: i64);

    /// Turns a session into a blob of its repository, and grants it a lease. The bytes must be durable before.
    ///
    /// If the digest is known already, the object that is there stays and ours is given back; but if that object is
    /// marked bad or lies where `replaces` says, ours takes its place, in all repositories.
    ///
    /// # Errors
    /// [`UploadStale`](crate::MetadataError::UploadStale), [`UploadUnknown`](crate::MetadataError::UploadUnknown), and
    /// [`QuotaExceeded`](crate::MetadataError::QuotaExceeded) if the blob can not be held, or the manifest that needs it would
    /// certainly be refused; then the session is still there.
    async fn finish_upload(&self, finish: &FinishUpload) -> Result<()>;

    /// Ends a session; its bytes are given back.
    ///
    /// # Errors
    /// [`UploadUnknown`](crate::MetadataError::UploadUnknown), [`UploadBusy`](crate::MetadataError::UploadBusy).
    async fn cancel_upload(&self, repository: &RepositoryName, id: &UploadId) -> Result<()>;

    /// Ends up to `limit` sessions that no request claims and that were not saved for so long, and says how many. Where there is a
    /// quota, [a day](crate::COUNTED_UNTOUCHED_MAX) is enough.
    async fn expire_uploads(&self, untouched_for: Duration, limit: usize) -> Result<u64>;
}

/// What was deleted and can come back, the history of tags, and whole repositories. A part of a [`MetadataStore`].
#[async_trait]
pub trait Trash: fmt::Debug + Send + Sync + 'static {
    /// What can be restored in a repository, first tags and then manifests, in the order of their names, strictly after
    /// `after`, at most `limit`. Fewer than `limit` mean that there is no more.
    ///
    /// # Errors
    /// [`RepositoryUnknown`](crate::MetadataError::RepositoryUnknown).
    async fn trash(
        &self,
        repository: &RepositoryName,
        after: Option<&Trashed>,
        limit: usize,
    ) -> Result<Vec<Trashed>>;

    /// Restores a tag with what it led to when it was deleted, or a manifest with the tags that were deleted with it and
    /// are free. With a manifest come its blobs, the children of an index and its referrers.
    ///
    /// # Errors
    /// [`TagUnknown`](crate::MetadataError::TagUnknown) or [`ManifestUnknown`](crate::MetadataError::ManifestUnknown) if it
    /// was not deleted, or too long ago; [`TagTaken`](crate::MetadataError::TagTaken);
    /// [`ManifestRefused`](crate::MetadataError::ManifestRefused), if this version does not accept the manifest any more. A
    /// child or referrer for which that is so is left in the trash with a warning.
    async fn restore(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
        cause: &Cause,
    ) -> Result<Restored>;

    /// The changes of a tag, the newest first, those before the change with the number `before`, at most `limit`. The last
    /// [`TAG_HISTORY_MAX`] are kept for as long as the repository is.
    async fn tag_history(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<TagChange>>;

    /// Makes a tag lead to a manifest that is in the repository, or that can be restored and then is.
    ///
    /// # Errors
    /// [`ManifestUnknown`](crate::MetadataError::ManifestUnknown);
    /// [`ManifestRefused`](crate::MetadataError::ManifestRefused), as for [`restore`](Self::restore).
    async fn set_tag(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        digest: &Digest,
        cause: &Cause,
    ) -> Result<Restored>;

    /// Deletes a repository with all that is in it: it is gone at once, its name is free, and for the
    /// [window](crate::Options::undelete_window) it can be restored. After that [`collect`](crate::Collecting::collect) works it off.
    ///
    /// # Errors
    /// [`RepositoryUnknown`](crate::MetadataError::RepositoryUnknown); [`TagImmutable`](crate::MetadataError::TagImmutable)
    /// with the first tag of it that is immutable.
    async fn delete_repository(&self, repository: &RepositoryName, cause: &Cause) -> Result<()>;

    /// Restores the repository that was deleted last under this name.
    ///
    /// # Errors
    /// [`RepositoryUnknown`](crate::MetadataError::RepositoryUnknown) if none was, or too long ago;
    /// [`RepositoryExists`](crate::MetadataError::RepositoryExists) if the name is taken.
    async fn restore_repository(&self, repository: &RepositoryName, cause: &Cause) -> Result<()>;

    /// Ends the [window](crate::Options::undelete_window) of what was deleted: of at most `limit` tags, manifests and
    /// repositories each, in one repository and of those that were deleted under its name, or in all. A collection then
    /// takes them as if the time had passed. Nothing is left only if the answer [is none](EndedWindows::is_none).
    async fn end_windows(&self, repository: Option<&RepositoryName>, limit: usize) -> Result<EndedWindows>;

    /// All deleted repositories that can be restored.
    async fn deleted_repositories(&self) -> Result<Vec<DeletedRepository>>;
}
