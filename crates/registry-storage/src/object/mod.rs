//! Objects in S3, in Google Cloud Storage, in Azure, and in what speaks their language.

#[cfg(feature = "azure")]
mod azure;
mod backend;
mod budget;
mod buffer;
mod checked;
mod connector;
mod failure;
mod finish;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
#[cfg(feature = "gcs")]
mod gcs;
mod layout;
mod list;
mod options;
mod other;
mod probe;
mod progress;
mod requests;
#[cfg(feature = "s3")]
mod s3;
mod small;
mod tenure;
mod upload;
mod writer;

use std::{ops::Range, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, future::try_join, stream};
use registry_digest::{Algorithm, Hasher};
use registry_types::Location;

#[cfg(feature = "azure")]
pub use self::azure::AzureOptions;
#[cfg(feature = "gcs")]
pub use self::gcs::GcsOptions;
#[cfg(feature = "s3")]
pub use self::s3::S3Options;
use self::{
    backend::{Backend, Put, Reading},
    budget::Budget,
    layout::Tail,
    progress::Progress,
    tenure::Tenures,
    upload::ObjectUpload,
    writer::{PART_BYTES_MIN, Writer},
};
pub use self::{options::ObjectOptions, requests::Requests};
use crate::{Access, BlobStore, Body, ObjectInfo, StorageError, StoreIdentity, Upload, UploadState};

/// More than any identity has.
const IDENTITY_BYTES_MAX: u64 = 1024;

/// All parts under way are waited for at a checkpoint, so there are few of them.
const CHECKPOINT_EVERY_BYTES: u64 = 512 * 1024 * 1024;

/// How many tails of one upload are looked at: there are more only if many nodes broke down over one upload.
const TAILS_MAX: usize = 1000;

/// A store in a bucket of an object store.
///
/// | Key, below the bucket's prefix | What |
/// |---|---|
/// | `store/identity` | the [`StoreIdentity`] |
/// | `store/mark` | how far the database had come that belongs to this store |
/// | `store/blobs/<two hex digits>/<upload id>` | a completed object |
/// | `store/tails/<two hex digits>/<upload id>/…` | the end of an unfinished upload, where it is too short for a part |
/// | `store/probe/…` | what was tried at start; removed again |
/// | others below `store/` | [small objects](crate::SmallObjects) |
///
/// **Writing.** What is shorter than a part goes to its key with one request. What is longer goes there as parts, several
/// at once; what a request leaves behind that is too short for a part is kept in the upload's state if it is small, and
/// else as an object of its own, which the next request takes over. Nothing is copied, moved or renamed.
///
/// **Many nodes.** A final key is written only by the request that completes the upload, and only if there is no object: of
/// two that complete the same upload at once, also if one of them had slept for hours, one succeeds. What is written
/// before has names that nobody else uses, or is compared by the store when the parts are put together. So nothing here
/// relies on being the only process, on clocks, or on time limits. (Azure can not refuse to put parts together where an
/// object is; there it is looked first, and the moment between the two is unguarded.)
///
/// **Memory.** All uploads share a budget. A part is begun only when there is memory for all of it; then parts are smaller
/// while memory is scarce. What is read is passed on as it comes.
///
/// Clones share everything. Needs a Tokio runtime.
#[derive(Clone, Debug)]
pub struct ObjectBlobStore {
    shared: Arc<Shared>,
}

/// What all uploads to a store share.
#[derive(Debug)]
struct Shared {
    backend: Backend,
    budget: Budget,
    part_bytes: usize,
    inline_bytes: usize,
    signed_url_lifetime: Duration,
    /// Whether parts are put together only if there is no object yet.
    completes_if_absent: bool,
    access: Access,
    tenures: Tenures,
    requests: Arc<Requests>,
    name: String,
}

impl ObjectBlobStore {
    /// Opens a store: looks whether it may be used, and tries whether it keeps what is relied on.
    async fn open_backend(
        backend: Backend,
        options: &ObjectOptions,
        requests: Arc<Requests>,
        name: String,
    ) -> Result<ObjectBlobStore, StorageError> {
        let has_identity = backend.read(layout::IDENTITY, IDENTITY_BYTES_MAX).await?.is_some();
        if !has_identity && options.access == Access::Serve && is_foreign(&backend).await? {
            return Err(StorageError::ForeignStore { root: PathBuf::from(name) });
        }
        let completes_if_absent = match options.access {
            Access::Beside | Access::Look => true,
            _ => probe::run(&backend, !has_identity).await?,
        };
        let part_bytes = options.part_bytes.max(PART_BYTES_MIN);
        let shared = Shared {
            backend,
            budget: Budget::new(options.upload_memory_bytes.max(2 * part_bytes)),
            part_bytes,
            inline_bytes: options.inline_bytes,
            signed_url_lifetime: options.signed_url_lifetime,
            completes_if_absent,
            access: options.access,
            tenures: Tenures::default(),
            requests,
            name,
        };
        Ok(ObjectBlobStore { shared: Arc::new(shared) })
    }

    /// How many requests were sent since this was opened.
    pub fn requests(&self) -> &Requests {
        &self.shared.requests
    }

    /// The bucket and the prefix in it, for people.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    fn check_upload(&self, location: &Location) -> Result<(), StorageError> {
        if self.shared.access.is_beside() {
            return Err(StorageError::NotServing { root: PathBuf::from(&self.shared.name) });
        }
        match layout::upload(location) {
            Some(_) => Ok(()),
            None => Err(StorageError::NotForUploads { location: location.clone() }),
        }
    }

    /// The keys of the tails that an upload left.
    async fn tails(&self, location: &Location) -> Result<Vec<String>, StorageError> {
        let Some(folder) = layout::tails_of(location) else { return Ok(Vec::new()) };
        let listed = self.shared.backend.list(&folder, None, TAILS_MAX).await?;
        let is_tail = |key: &String, size_bytes| Tail::parse(key, size_bytes).is_some();
        Ok(listed.into_iter().filter(|(key, meta)| is_tail(key, meta.size)).map(|(key, _)| key).collect())
    }
}

#[async_trait]
impl BlobStore for ObjectBlobStore {
    async fn read_identity(&self) -> Result<Option<StoreIdentity>, StorageError> {
        let bytes = self.shared.backend.read(layout::IDENTITY, IDENTITY_BYTES_MAX).await?;
        bytes.map(|bytes| StoreIdentity::from_bytes(&bytes)).transpose()
    }

    async fn create_identity(&self, identity: &StoreIdentity) -> Result<(), StorageError> {
        match self.shared.backend.create(layout::IDENTITY, identity.to_bytes().into()).await? {
            Put::Done => Ok(()),
            Put::Exists => Err(StorageError::IdentityExists),
        }
    }

    async fn begin(
        &self,
        location: &Location,
        algorithm: Algorithm,
    ) -> Result<Box<dyn Upload>, StorageError> {
        self.check_upload(location)?;
        let tenure = self.shared.tenures.begin(location);
        let writer = Writer::new(self.shared.clone(), tenure, Hasher::new(algorithm));
        Ok(Box::new(ObjectUpload::new(location, writer)))
    }

    async fn resume(
        &self,
        location: &Location,
        state: &UploadState,
    ) -> Result<Box<dyn Upload>, StorageError> {
        self.check_upload(location)?;
        let tenure = self.shared.tenures.begin(location);
        let writer = Writer::resume(self.shared.clone(), tenure, state)?;
        Ok(Box::new(ObjectUpload::new(location, writer)))
    }

    async fn abandon(&self, location: &Location, state: Option<&UploadState>) -> Result<(), StorageError> {
        let progress = state.and_then(|state| Progress::from_bytes(state.backend()));
        if let Some(id) = progress.as_ref().and_then(|progress| progress.multipart.as_ref()) {
            self.shared.backend.abort(location.as_str(), id).await?;
        }
        self.delete(location).await
    }

    async fn open(&self, location: &Location, range: Range<u64>) -> Result<Body, StorageError> {
        let reading = self.shared.backend.get_range(location.as_str(), range.clone()).await?;
        let Some(Reading { size_bytes, range: found, stream }) = reading else {
            return Err(StorageError::Missing { location: location.clone() });
        };
        if size_bytes < range.end {
            return Err(StorageError::Truncated {
                location: location.clone(),
                expected_bytes: range.end,
                actual_bytes: size_bytes,
            });
        }
        Ok(Body::Stream(exactly(stream, location.clone(), found)))
    }

    async fn size(&self, location: &Location) -> Result<Option<u64>, StorageError> {
        self.shared.backend.size(location.as_str()).await
    }

    /// Always answers `false`: a look would be a request.
    async fn is_missing(&self, _: &Location, _: u64) -> Result<bool, StorageError> {
        Ok(false)
    }

    async fn delete(&self, location: &Location) -> Result<(), StorageError> {
        self.shared.tenures.end(location);
        let (_, tails) =
            try_join(self.shared.backend.remove(location.as_str()), self.tails(location)).await?;
        for key in tails {
            self.shared.backend.remove(&key).await?;
        }
        Ok(())
    }

    async fn list(&self, after: Option<&Location>, limit: usize) -> Result<Vec<ObjectInfo>, StorageError> {
        list::objects(&self.shared.backend, after, limit).await
    }

    async fn read_mark(&self) -> Result<Option<i64>, StorageError> {
        let bytes = self.shared.backend.read(layout::MARK, IDENTITY_BYTES_MAX).await?;
        let parse = |bytes: Bytes| str::from_utf8(&bytes).ok()?.trim().parse().ok();
        match bytes.map(parse) {
            Some(None) => Err(StorageError::Backend {
                operation: "read the store's mark",
                source: "it is no number".into(),
            }),
            mark => Ok(mark.flatten()),
        }
    }

    async fn write_mark(&self, mark: i64) -> Result<bool, StorageError> {
        self.shared.backend.put(layout::MARK, format!("{mark}\n").into()).await.map(|()| true)
    }

    async fn check(&self) -> Result<(), StorageError> {
        self.shared.backend.size(layout::IDENTITY).await.map(drop)
    }

    fn signs_urls(&self) -> bool {
        self.shared.backend.can_sign()
    }

    async fn redirect(&self, location: &Location) -> Result<Option<String>, StorageError> {
        self.shared.backend.sign(location, self.shared.signed_url_lifetime).await
    }

    fn checkpoint_every_bytes(&self) -> u64 {
        CHECKPOINT_EVERY_BYTES
    }
}

impl Shared {
    /// Removes tails that nothing needs any more, without being waited for. What is left behind is garbage, which a
    /// listing shows.
    fn remove_tails(self: &Arc<Self>, location: &Location, tails: Vec<Tail>) {
        if tails.is_empty() {
            return;
        }
        let (shared, location) = (self.clone(), location.clone());
        tokio::spawn(async move {
            for tail in tails {
                let _ = shared.backend.remove(&tail.key(&location)).await;
            }
        });
    }
}

/// Whether a Go registry's data is here.
async fn is_foreign(backend: &Backend) -> Result<bool, StorageError> {
    Ok(!backend.list(&format!("{}/", layout::FOREIGN), None, 1).await?.is_empty())
}

/// The stream, of which the end is an error if it comes too early.
fn exactly(
    stream: stream::BoxStream<'static, Result<Bytes, StorageError>>,
    location: Location,
    range: Range<u64>,
) -> stream::BoxStream<'static, Result<Bytes, StorageError>> {
    let state = (stream, range.start, location);
    stream::try_unfold(state, move |(mut stream, at, location)| async move {
        match stream.next().await.transpose()? {
            Some(bytes) => {
                let at = at + bytes.len() as u64;
                Ok(Some((bytes, (stream, at, location))))
            }
            None if at == range.end => Ok(None),
            None => Err(StorageError::Truncated { location, expected_bytes: range.end, actual_bytes: at }),
        }
    })
    .boxed()
}
