use std::{fmt, ops::Range, time::SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use registry_digest::{Algorithm, Digest};
use registry_types::Location;

use crate::{Body, StorageError, StoreIdentity, UploadState};

/// The bytes of a registry: objects that are written once, under keys that are never reused.
///
/// A store knows no names and no digests. Which object is which content, and who may see it, is the metadata's matter:
/// an object exists for the world from the moment that the metadata names its [`Location`], so its bytes may lie at
/// their final place from the first on.
///
/// Dropping the future of any method here leaves the store as if the call had been made or had not been made.
#[async_trait]
pub trait BlobStore: fmt::Debug + Send + Sync + 'static {
    /// Which store this is, or nothing if that was never decided.
    ///
    /// # Errors
    /// [`StorageError::IdentityInvalid`] if there is one that this version can not read.
    async fn read_identity(&self) -> Result<Option<StoreIdentity>, StorageError>;

    /// Decides which store this is, durably. Of several attempts at once one succeeds.
    ///
    /// # Errors
    /// [`StorageError::IdentityExists`] if that was decided before.
    async fn create_identity(&self, identity: &StoreIdentity) -> Result<(), StorageError>;

    /// Starts to write a new object at `location`, which has the form of [`Location::of_upload`]. What an interrupted
    /// upload without a checkpoint left there is overwritten.
    ///
    /// May leave all work to the first call on the upload that needs it: nothing is there before.
    ///
    /// # Errors
    /// [`StorageError::NotForUploads`] for another form of key.
    async fn begin(&self, location: &Location, algorithm: Algorithm)
    -> Result<Box<dyn Upload>, StorageError>;

    /// Goes on from a state that [`Upload::checkpoint`] returned, on any node. Bytes beyond the state's offset are cut
    /// off. Whatever else still writes there, because its request was given up, counts no more.
    ///
    /// May leave all work to the first call on the upload that needs it, and with it the errors.
    ///
    /// # Errors
    /// [`StorageError::UploadBytesLost`] if bytes are missing that the state counts;
    /// [`StorageError::UploadStateInvalid`] if the state is not of this store.
    async fn resume(&self, location: &Location, state: &UploadState)
    -> Result<Box<dyn Upload>, StorageError>;

    /// Gives up what was uploaded to `location`, whatever is there. Doing so twice, or for nothing, is not an error. An
    /// upload that is still being written fails with [`StorageError::UploadSuperseded`].
    async fn abandon(&self, location: &Location, state: Option<&UploadState>) -> Result<(), StorageError>;

    /// Opens `range` of an object that is finished; of one that is not, whether it can be read is the store's matter. The error comes before the first byte: a body that is returned has its bytes, also
    /// when the object is deleted while it is read.
    ///
    /// # Errors
    /// [`StorageError::Missing`], and [`StorageError::Truncated`] if the object ends before the range does.
    async fn open(&self, location: &Location, range: Range<u64>) -> Result<Body, StorageError>;

    /// The size of an object in bytes, or nothing if it is not there.
    async fn size(&self, location: &Location) -> Result<Option<u64>, StorageError>;

    /// Whether the object is *known* to be missing, or to have another size than it should. Costs at most a few system
    /// calls; a store to which this would be a request over a network answers `false`.
    async fn is_missing(&self, location: &Location, size_bytes: u64) -> Result<bool, StorageError>;

    /// Removes an object. Removing what is not there succeeds: keys are never reused, so a late or repeated removal
    /// can hit only garbage. A power cut may bring it back, as garbage that [`list`](Self::list) shows.
    async fn delete(&self, location: &Location) -> Result<(), StorageError>;

    /// Objects below the prefix of uploads, finished or not, in the order of their key, strictly after `after`, at most
    /// `limit`. Fewer than `limit` mean that there are no more. Memory is in proportion to `limit`.
    async fn list(&self, after: Option<&Location>, limit: usize) -> Result<Vec<ObjectInfo>, StorageError>;

    /// The mark that was [written](Self::write_mark) last; none if none ever was, or if the store keeps none.
    async fn read_mark(&self) -> Result<Option<i64>, StorageError> {
        Ok(None)
    }

    /// Keeps a number in place of the last one, durably: how far the database had come that belongs to this store, so
    /// that a database which was restored from before that is recognised. Of two at once either may be kept. Answers
    /// whether the store keeps marks.
    async fn write_mark(&self, _mark: i64) -> Result<bool, StorageError> {
        Ok(false)
    }

    /// Whether [`redirect`](Self::redirect) may have an answer. Costs nothing.
    fn signs_urls(&self) -> bool {
        false
    }

    /// A URL at which whoever has it can read an object, for a while that the store was told; nothing if there is no such
    /// thing. That the object is there is not looked at.
    ///
    /// # Errors
    /// If the credentials to sign it can not be had.
    async fn redirect(&self, _location: &Location) -> Result<Option<String>, StorageError> {
        Ok(None)
    }

    /// Whether what was appended to an upload can be [opened](Self::open) before it is finished, but for the last 512 KiB and the piece
    /// that was appended last.
    fn reads_unfinished(&self) -> bool {
        false
    }

    /// How much of a long upload is best written between two checkpoints: what a crash may cost a client.
    fn checkpoint_every_bytes(&self) -> u64 {
        64 * 1024 * 1024
    }

    /// How much space is free, if the store lies on something that can be full. Costs a system call.
    async fn free_space(&self) -> Option<FreeSpace> {
        None
    }

    /// A cheap request that fails if the store can not serve.
    async fn check(&self) -> Result<(), StorageError>;
}

/// An object being written. Dropping it leaves what the last checkpoint made durable, to be resumed or abandoned.
///
/// After an error every further call answers [`StorageError::UploadFailed`]: what was not durable before does not count,
/// and the upload is resumed from its last checkpoint or abandoned.
#[async_trait]
pub trait Upload: fmt::Debug + Send {
    /// How many bytes were appended so far, from the object's beginning.
    fn offset(&self) -> u64;

    /// Appends bytes, which are also hashed. May return before they are written; a failure then comes with a later
    /// call. Waits while too much is unwritten: at most 512 KiB are held, apart from what the caller shares of `bytes`.
    ///
    /// If the future is dropped before it is ready, nothing of `bytes` was appended.
    ///
    /// # Errors
    /// [`StorageError::NoSpace`] if the disk is full, for bytes of this or an earlier call.
    async fn append(&mut self, bytes: Bytes) -> Result<(), StorageError>;

    /// Makes everything appended durable and returns the state from which any node can go on.
    ///
    /// # Errors
    /// As [`append`](Self::append). An error while bytes are made durable is final, as the system may not tell it twice.
    async fn checkpoint(&mut self) -> Result<UploadState, StorageError>;

    /// Completes the object: its digest equal to `expected`, all bytes durable, its name durable. Returns its size in
    /// bytes. If the future is dropped, the object is completed or removed without it.
    ///
    /// If `expected` names another algorithm than the upload was begun with, the object is read once more.
    ///
    /// # Errors
    /// [`StorageError::DigestMismatch`]: the object was removed. Otherwise as [`append`](Self::append).
    async fn finish(self: Box<Self>, expected: &Digest) -> Result<u64, StorageError>;
}

/// How much space is free, and how much of it uploads leave free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreeSpace {
    /// What is free.
    pub free_bytes: u64,
    /// An upload that would leave less than this free fails with [`StorageError::NoSpace`]. Whatever else is written, like
    /// the database, may use it.
    pub reserve_bytes: u64,
}

/// An object in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its key.
    pub location: Location,
    /// Its size in bytes, which still grows if it is being uploaded.
    pub size_bytes: u64,
    /// When it was written to last, by the store's clock.
    pub modified: SystemTime,
}
