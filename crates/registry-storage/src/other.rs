use std::{fmt, time::SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use registry_types::Location;

use crate::StorageError;

/// What another registry keeps in the same folder or bucket, outside of [`Location::PREFIX`]: to be taken over in place, and to
/// be written again for that registry.
///
/// Keys are relative to the store's root and separated by `/`. A key that no [`Location`] can name is listed and can not be read.
#[async_trait]
pub trait OtherKeys: fmt::Debug + Send + Sync + 'static {
    /// The names of what lies directly below a folder and has something below it, in order. The folder ends in a slash.
    async fn folders(&self, folder: &str) -> Result<Vec<String>, StorageError>;

    /// The objects below a folder, at any depth, a page at a time. Those of a folder inside of it come one after the other. Folders
    /// for whose keys (with a slash at the end) `passes_over` is true need not be looked into. Memory is in proportion to a page, and
    /// to the names of the folders on the way.
    fn walk(
        &self,
        folder: &str,
        passes_over: fn(&str) -> bool,
    ) -> BoxStream<'static, Result<Vec<OtherObject>, StorageError>>;

    /// The bytes of an object, or nothing if it is not there.
    ///
    /// # Errors
    /// [`StorageError::Backend`] if it has more than `bytes_max`.
    async fn read(&self, key: &Location, bytes_max: u64) -> Result<Option<Bytes>, StorageError>;

    /// Whether [`BlobStore::size`](crate::BlobStore::size) costs a system call and no request over a network.
    fn is_near(&self) -> bool;

    /// Writes an object in the place of what is there, durably.
    ///
    /// # Errors
    /// [`StorageError::NotForOthers`] for a key of ours.
    async fn put(&self, key: &Location, bytes: Bytes) -> Result<(), StorageError>;

    /// Gives the bytes of an object of ours another registry's key as well, unless there is something under it: by a hard link where
    /// that can be, and by a copy otherwise. Answers whether bytes were copied or linked.
    ///
    /// # Errors
    /// [`StorageError::NotForOthers`] for a key of ours; [`StorageError::Missing`].
    async fn share(&self, from: &Location, key: &Location) -> Result<bool, StorageError>;

    /// Removes an object of another registry. Removing what is not there succeeds.
    ///
    /// # Errors
    /// [`StorageError::NotForOthers`] for a key of ours.
    async fn remove_other(&self, key: &Location) -> Result<(), StorageError>;

    /// Whether objects below a folder can be removed by this process, as far as a look can tell.
    async fn can_remove(&self, folder: &str) -> bool;
}

/// An object of another registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherObject {
    /// Its key.
    pub key: String,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// When it was written to last, by the store's clock.
    pub modified: SystemTime,
}

/// That a key is none of ours.
pub(crate) fn check_other(key: &Location) -> Result<(), StorageError> {
    match key.as_str().starts_with(Location::PREFIX) {
        true => Err(StorageError::NotForOthers { location: key.clone() }),
        false => Ok(()),
    }
}
