use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use registry_types::Location;

use crate::{ObjectInfo, StorageError};

/// The largest [small object](SmallObjects), in bytes.
pub const SMALL_OBJECT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Small objects with names of their own beside a store's blobs: what a journal is made of.
///
/// A name is a [`Location`] that begins with [`Location::PREFIX`] and is none of a blob, such as
/// `store/journal/00000042`. No name is the folder of another. A name is created once and its bytes never change; it may be created again only after it
/// was deleted. What was created is durable and seen by every later call on any node.
///
/// Dropping the future of any method here leaves the store as if the call had been made or had not been made.
#[async_trait]
pub trait SmallObjects: fmt::Debug + Send + Sync + 'static {
    /// Creates an object of at most [`SMALL_OBJECT_BYTES_MAX`], unless its name is taken. Of several attempts at once,
    /// on any nodes, one creates it.
    ///
    /// [`Creation::Exists`] can also mean one's own attempt, of which the answer was lost on the way and which was made
    /// again below this call: who must know [reads](Self::read) and compares.
    ///
    /// # Errors
    /// [`StorageError::NotForSmallObjects`] for another form of name or too many bytes. After any other error the
    /// object may be there or may still come.
    async fn create(&self, name: &Location, bytes: Bytes) -> Result<Creation, StorageError>;

    /// The bytes of an object, or nothing if there is none of this name.
    ///
    /// # Errors
    /// [`StorageError::NotForSmallObjects`] for another form of name, and for an object that is too large.
    async fn read(&self, name: &Location) -> Result<Option<Bytes>, StorageError>;

    /// Objects with names below `folder`, at any depth, in the order of their bytes, strictly after `after`, at most
    /// `limit`. Fewer than `limit` mean that there are no more. Memory is in proportion to `limit`.
    ///
    /// # Errors
    /// [`StorageError::NotForSmallObjects`] for a folder that can have none.
    async fn list_small(
        &self,
        folder: &Location,
        after: Option<&Location>,
        limit: usize,
    ) -> Result<Vec<ObjectInfo>, StorageError>;

    /// Removes an object. Removing what is not there succeeds.
    ///
    /// # Errors
    /// [`StorageError::NotForSmallObjects`] for another form of name.
    async fn remove(&self, name: &Location) -> Result<(), StorageError>;
}

/// What came of an attempt to create a small object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creation {
    /// It was not there and is now, durably.
    Created,
    /// There is one of this name.
    Exists,
}

/// That `name` can be one of a small object, or of a folder of them.
pub(crate) fn check_name(name: &Location) -> Result<(), StorageError> {
    let below = name.as_str().strip_prefix(Location::PREFIX);
    let is_ours = below.and_then(|below| below.split('/').next()).is_some_and(|folder| !is_taken(folder));
    match is_ours {
        true => Ok(()),
        false => Err(StorageError::NotForSmallObjects { name: name.clone() }),
    }
}

/// That `bytes` are few enough.
pub(crate) fn check_size(name: &Location, size_bytes: u64) -> Result<(), StorageError> {
    match size_bytes <= SMALL_OBJECT_BYTES_MAX as u64 {
        true => Ok(()),
        false => Err(StorageError::NotForSmallObjects { name: name.clone() }),
    }
}

/// Whether this, directly below [`Location::PREFIX`], is the store's own.
fn is_taken(folder: &str) -> bool {
    matches!(folder, "blobs" | "tails" | "probe" | "identity" | "mark" | "lock")
}
