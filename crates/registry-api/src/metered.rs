//! A blob store and a metadata store that note how long each call takes.

use std::{
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use registry_digest::{Algorithm, Digest};
use registry_metadata::{
    AdoptedTag, Adopting, Adoption, AdoptionState, Audit, Blob, ClaimedUpload, CollectRules, Collected,
    Collecting, Content, DeletedRepository, EndedWindows, FinishUpload, FoundManifest, Identity, Image,
    ImagePage, ImagePosition, ManifestPosition, MetadataStore, NewUpload, Preview, Pull, Purpose,
    PutManifest, QueuePosition, QuotaUsage, Quotas, Reclaim, Restored, Result as MetadataResult,
    StoredManifest, StoredObject, TagChange, Trash, Trashed, UnknownObject, UploadRoom, UploadStatus,
    Uploads,
};
use registry_storage::{
    BlobStore, Body, FreeSpace, ObjectInfo, StorageError, StoreIdentity, Upload, UploadState,
};
use registry_types::{Cause, Descriptor, Location, Reference, RepositoryName, Tag, UploadId, Viewer};

use crate::metrics::Metrics;

/// A blob store whose calls are measured.
#[derive(Debug)]
pub struct MeteredStore {
    inner: Arc<dyn BlobStore>,
    metrics: Arc<Metrics>,
    driver: &'static str,
}

impl MeteredStore {
    /// Measures the calls of `inner` under the name of its driver.
    pub fn new(inner: Arc<dyn BlobStore>, metrics: Arc<Metrics>, driver: &'static str) -> MeteredStore {
        MeteredStore { inner, metrics, driver }
    }

    fn measure(&self, inner: Box<dyn Upload>) -> Box<dyn Upload> {
        Box::new(MeteredUpload { inner, metrics: self.metrics.clone(), driver: self.driver })
    }
}

/// A metadata store whose calls are measured.
#[derive(Debug)]
pub struct MeteredMetadata {
    inner: Arc<dyn MetadataStore>,
    metrics: Arc<Metrics>,
    driver: &'static str,
}

impl MeteredMetadata {
    /// Measures the calls of `inner` under the name of its driver.
    pub fn new(
        inner: Arc<dyn MetadataStore>,
        metrics: Arc<Metrics>,
        driver: &'static str,
    ) -> MeteredMetadata {
        MeteredMetadata { inner, metrics, driver }
    }
}

/// Implements a trait by methods that pass on their arguments and note the time, and by those that are written out.
macro_rules! measured {
    (
        impl $trait:ident for $type:ident, noted by $note:ident
        { $(fn $name:ident(&self $(, $argument:ident: $argument_type:ty)* $(,)?) -> $result:ty;)* }
        { $($written_out:tt)* }
    ) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl $trait for $type {
            $(async fn $name(&self $(, $argument: $argument_type)*) -> $result {
                let begun = Instant::now();
                let result = self.inner.$name($($argument),*).await;
                self.metrics.$note(self.driver, stringify!($name), begun.elapsed());
                result
            })*

            $($written_out)*
        }
    };
}

measured! {
    impl BlobStore for MeteredStore, noted by storage_call
    {
        fn read_identity(&self) -> Result<Option<StoreIdentity>, StorageError>;
        fn create_identity(&self, identity: &StoreIdentity) -> Result<(), StorageError>;
        fn read_mark(&self) -> Result<Option<i64>, StorageError>;
        fn write_mark(&self, mark: i64) -> Result<bool, StorageError>;
        fn abandon(&self, location: &Location, state: Option<&UploadState>) -> Result<(), StorageError>;
        fn open(&self, location: &Location, range: Range<u64>) -> Result<Body, StorageError>;
        fn size(&self, location: &Location) -> Result<Option<u64>, StorageError>;
        fn is_missing(&self, location: &Location, size_bytes: u64) -> Result<bool, StorageError>;
        fn delete(&self, location: &Location) -> Result<(), StorageError>;
        fn list(&self, after: Option<&Location>, limit: usize) -> Result<Vec<ObjectInfo>, StorageError>;
        fn free_space(&self) -> Option<FreeSpace>;
        fn check(&self) -> Result<(), StorageError>;
        fn redirect(&self, location: &Location) -> Result<Option<String>, StorageError>;
    }
    {
        fn signs_urls(&self) -> bool {
            self.inner.signs_urls()
        }

        fn reads_unfinished(&self) -> bool {
            self.inner.reads_unfinished()
        }

        fn checkpoint_every_bytes(&self) -> u64 {
            self.inner.checkpoint_every_bytes()
        }

        async fn begin(
            &self,
            location: &Location,
            algorithm: Algorithm,
        ) -> Result<Box<dyn Upload>, StorageError> {
            Ok(self.measure(self.inner.begin(location, algorithm).await?))
        }

        async fn resume(
            &self,
            location: &Location,
            state: &UploadState,
        ) -> Result<Box<dyn Upload>, StorageError> {
            Ok(self.measure(self.inner.resume(location, state).await?))
        }
    }
}

/// An upload whose slow steps are measured. Appending is not: it waits for the client.
#[derive(Debug)]
struct MeteredUpload {
    inner: Box<dyn Upload>,
    metrics: Arc<Metrics>,
    driver: &'static str,
}

#[async_trait]
impl Upload for MeteredUpload {
    fn offset(&self) -> u64 {
        self.inner.offset()
    }

    async fn append(&mut self, bytes: bytes::Bytes) -> Result<(), StorageError> {
        self.inner.append(bytes).await
    }

    async fn checkpoint(&mut self) -> Result<UploadState, StorageError> {
        let begun = Instant::now();
        let result = self.inner.checkpoint().await;
        self.metrics.storage_call(self.driver, "checkpoint", begun.elapsed());
        result
    }

    async fn finish(self: Box<Self>, expected: &Digest) -> Result<u64, StorageError> {
        let begun = Instant::now();
        let MeteredUpload { inner, metrics, driver } = *self;
        let result = inner.finish(expected).await;
        metrics.storage_call(driver, "finish", begun.elapsed());
        result
    }
}

measured! {
    impl Identity for MeteredMetadata, noted by database_call
    {
        fn store_id(&self) -> MetadataResult<Option<String>>;
        fn bind_store(&self, id: &str) -> MetadataResult<()>;
        fn is_empty(&self) -> MetadataResult<bool>;
        fn check(&self) -> MetadataResult<()>;
        fn mark(&self) -> MetadataResult<i64>;
        fn raise_mark(&self, above: i64) -> MetadataResult<i64>;
    }
    {}
}

measured! {
    impl Content for MeteredMetadata, noted by database_call
    {
        fn blob(&self, repository: &RepositoryName, digest: &Digest, purpose: Purpose) -> MetadataResult<Option<Blob>>;
        fn manifest(&self, repository: &RepositoryName, reference: &Reference, purpose: Purpose)
            -> MetadataResult<Option<StoredManifest>>;
        fn manifest_within(
            &self,
            repository: &RepositoryName,
            reference: &Reference,
            purpose: Purpose,
            bytes_max: usize,
        ) -> MetadataResult<Option<FoundManifest>>;
        fn tags(&self, repository: &RepositoryName, after: Option<&str>, limit: usize) -> MetadataResult<Vec<Tag>>;
        fn has_namespace_of(&self, repository: &RepositoryName) -> MetadataResult<bool>;
        fn repositories(&self, viewer: &Viewer, after: Option<&str>, limit: usize)
            -> MetadataResult<Vec<RepositoryName>>;
        fn referrers(
            &self,
            repository: &RepositoryName,
            subject: &Digest,
            artifact_type: Option<&str>,
            after: Option<&Digest>,
            limit: usize,
        ) -> MetadataResult<Vec<Descriptor>>;
        fn object(&self, digest: &Digest) -> MetadataResult<Option<Blob>>;
        fn mark_bad(&self, location: &Location) -> MetadataResult<()>;
        fn repositories_with_blob(&self, viewer: &Viewer, digest: &Digest, limit: usize) -> MetadataResult<Vec<RepositoryName>>;
        fn mount_blob(&self, from: &RepositoryName, to: &RepositoryName, digest: &Digest) -> MetadataResult<bool>;
        fn put_manifest(&self, put: &PutManifest<'_>) -> MetadataResult<()>;
        fn delete_tag(&self, repository: &RepositoryName, tag: &Tag, cause: &Cause) -> MetadataResult<()>;
        fn delete_manifest(&self, repository: &RepositoryName, digest: &Digest, cause: &Cause)
            -> MetadataResult<Vec<Tag>>;
        fn delete_blob(&self, repository: &RepositoryName, digest: &Digest) -> MetadataResult<()>;
        fn record_pulls(&self, pulls: &[Pull]) -> MetadataResult<()>;
    }
    {}
}

measured! {
    impl Uploads for MeteredMetadata, noted by database_call
    {
        fn start_upload(&self, new: &NewUpload) -> MetadataResult<()>;
        fn upload(&self, repository: &RepositoryName, id: &UploadId) -> MetadataResult<Option<UploadStatus>>;
        fn claim_upload(&self, repository: &RepositoryName, id: &UploadId) -> MetadataResult<ClaimedUpload>;
        fn upload_room(&self, repository: &RepositoryName, saved_bytes: u64, digest: Option<&Digest>)
            -> MetadataResult<Option<UploadRoom>>;
        fn save_upload(&self, id: &UploadId, epoch: i64, offset: u64, state: &[u8]) -> MetadataResult<()>;
        fn finish_upload(&self, finish: &FinishUpload) -> MetadataResult<()>;
        fn cancel_upload(&self, repository: &RepositoryName, id: &UploadId) -> MetadataResult<()>;
        fn expire_uploads(&self, untouched_for: Duration, limit: usize) -> MetadataResult<u64>;
    }
    {
        fn release_upload(&self, id: &UploadId, epoch: i64) {
            self.inner.release_upload(id, epoch);
        }
    }
}

measured! {
    impl Trash for MeteredMetadata, noted by database_call
    {
        fn trash(&self, repository: &RepositoryName, after: Option<&Trashed>, limit: usize)
            -> MetadataResult<Vec<Trashed>>;
        fn restore(&self, repository: &RepositoryName, reference: &Reference, cause: &Cause)
            -> MetadataResult<Restored>;
        fn tag_history(&self, repository: &RepositoryName, tag: &Tag, before: Option<i64>, limit: usize)
            -> MetadataResult<Vec<TagChange>>;
        fn set_tag(&self, repository: &RepositoryName, tag: &Tag, digest: &Digest, cause: &Cause)
            -> MetadataResult<Restored>;
        fn delete_repository(&self, repository: &RepositoryName, cause: &Cause) -> MetadataResult<()>;
        fn restore_repository(&self, repository: &RepositoryName, cause: &Cause) -> MetadataResult<()>;
        fn end_windows(&self, repository: Option<&RepositoryName>, limit: usize) -> MetadataResult<EndedWindows>;
        fn deleted_repositories(&self) -> MetadataResult<Vec<DeletedRepository>>;
    }
    {}
}

measured! {
    impl Quotas for MeteredMetadata, noted by database_call
    {
        fn begin_quotas(&self) -> MetadataResult<()>;
        fn recount_quotas(&self) -> MetadataResult<()>;
        fn quota_usage(&self) -> MetadataResult<Vec<QuotaUsage>>;
    }
    {}
}

measured! {
    impl Collecting for MeteredMetadata, noted by database_call
    {
        fn unread_labels(&self, limit: usize) -> MetadataResult<Vec<(RepositoryName, Digest)>>;
        fn postpone_labels(&self, repository: &RepositoryName, digest: &Digest, by: Duration)
            -> MetadataResult<()>;
        fn set_expiry(&self, repository: &RepositoryName, digest: &Digest, after: Option<Duration>)
            -> MetadataResult<()>;
        fn collect(&self, rules: &CollectRules, limit: usize) -> MetadataResult<Vec<Collected>>;
        fn preview_collect(&self, rules: &CollectRules, after: Option<&QueuePosition>, limit: usize)
            -> MetadataResult<Preview>;
        fn enqueue_untagged(&self, after: Option<&QueuePosition>, limit: usize)
            -> MetadataResult<Option<QueuePosition>>;
        fn images(&self, repository: &RepositoryName, after: Option<&ImagePosition>, limit: usize)
            -> MetadataResult<ImagePage>;
        fn expire_image(&self, repository: &RepositoryName, image: &Image, cause: &Cause) -> MetadataResult<bool>;
        fn reclaimable(&self, limit: usize) -> MetadataResult<Vec<Reclaim>>;
        fn postpone_reclaim(&self, location: &Location, by: Duration) -> MetadataResult<()>;
        fn reclaimable_count(&self, limit: usize) -> MetadataResult<u64>;
        fn reclaimed(&self, location: &Location) -> MetadataResult<()>;
    }
    {}
}

measured! {
    impl Audit for MeteredMetadata, noted by database_call
    {
        fn claim_sweep(&self, interval: Duration) -> MetadataResult<bool>;
        fn note_unknown(&self, locations: &[Location]) -> MetadataResult<Vec<UnknownObject>>;
        fn reclaim_unknown(&self, locations: &[Location]) -> MetadataResult<u64>;
        fn forget_unknown(&self, not_seen_for: Duration) -> MetadataResult<()>;
        fn objects(&self, after: Option<&Location>, limit: usize) -> MetadataResult<Vec<StoredObject>>;
        fn mark_good(&self, location: &Location) -> MetadataResult<()>;
        fn all_manifests(&self, after: Option<&ManifestPosition>, limit: usize)
            -> MetadataResult<Vec<(ManifestPosition, StoredManifest)>>;
        fn verify(&self) -> MetadataResult<Vec<String>>;
    }
    {}
}

measured! {
    impl Adopting for MeteredMetadata, noted by database_call
    {
        fn adoption(&self) -> MetadataResult<Option<AdoptionState>>;
        fn begin_adoption(&self) -> MetadataResult<AdoptionState>;
        fn adopt(&self, adoption: &Adoption) -> MetadataResult<Vec<Digest>>;
        fn adopted_repositories(&self, after: Option<&str>, limit: usize) -> MetadataResult<Vec<RepositoryName>>;
        fn stored_tags(&self, repository: &RepositoryName, after: Option<&str>, limit: usize)
            -> MetadataResult<Vec<AdoptedTag>>;
        fn stored_manifests(&self, repository: &RepositoryName, after: Option<&Digest>, limit: usize)
            -> MetadataResult<Vec<Digest>>;
        fn stored_blobs(&self, repository: &RepositoryName, after: Option<&Digest>, limit: usize)
            -> MetadataResult<Vec<Digest>>;
        fn end_adoption_run(&self, began_at_ms: i64) -> MetadataResult<()>;
        fn finish_adoption(&self) -> MetadataResult<()>;
        fn keep_adopted_bytes(&self, folder: &str) -> MetadataResult<()>;
        fn release_adopted(&self, limit: usize) -> MetadataResult<bool>;
    }
    {}
}
