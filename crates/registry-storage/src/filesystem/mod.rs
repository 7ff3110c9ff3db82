//! Objects as files below a root directory.

mod directory;
mod disk;
mod flushed;
mod gather;
mod grouped;
mod layout;
mod list;
mod options;
mod other;
#[cfg(test)]
mod probe;
mod reserve;
mod root;
mod small;
mod tenure;
#[cfg(test)]
mod tests;
mod upload;
mod writer;

use std::{fs::File, io, ops::Range, sync::Arc};

use async_trait::async_trait;
use registry_digest::{Algorithm, Hasher};
use registry_types::Location;
use rustix::io::Errno;
use tokio::task::spawn_blocking;

pub use self::options::{Access, FilesystemOptions};
use self::{root::Root, upload::FileUpload};
use crate::{BlobStore, Body, FreeSpace, ObjectInfo, StorageError, StoreIdentity, Upload, UploadState};

/// A store in a local directory.
///
/// | Below the root | What |
/// |---|---|
/// | `store/identity` | the [`StoreIdentity`] |
/// | `store/mark` | how far the database had come that belongs to this store |
/// | `store/lock` | held by the process that serves, whose number is in it |
/// | `store/blobs/<two hex digits>/<upload id>` | an object, from its first byte on: nothing is moved or renamed |
/// | `store/small/<name>` | a [small object](crate::SmallObjects), the slashes in its name as `%2F` |
///
/// Keys that do not begin with `store/` can be read and deleted, but not written.
///
/// An upload is hashed and written on a blocking thread, in portions of 256 KiB, while the next is gathered; one that is
/// shorter costs a single trip to such a thread, with a handful of system calls of which two are flushes. Long ones are
/// flushed beside the writing, so that not everything is left for the end. Flushes of a directory are shared by those
/// that need one at the same time. Needs a Tokio runtime. Clones share everything, also the lock.
#[derive(Clone, Debug)]
pub struct FilesystemStore {
    root: Arc<Root>,
}

impl FilesystemStore {
    /// Opens the store below `options.root`, which is made if it is missing. Blocks for a few system calls.
    ///
    /// # Errors
    /// [`StorageError::Locked`] if another process serves this root; [`StorageError::ForeignStore`] if it holds the data
    /// of a Go registry; [`StorageError::ReadOnly`]; [`StorageError::Root`] for anything else about the root.
    pub fn open(options: &FilesystemOptions) -> Result<FilesystemStore, StorageError> {
        Ok(FilesystemStore { root: Arc::new(Root::open(options)?) })
    }

    /// Whether the folder at `root` may become or be a store's, before anything in it is changed. One that is not there may.
    ///
    /// # Errors
    /// [`StorageError::ForeignStore`] if it holds the data of another registry; [`StorageError::Root`] if it can not be
    /// looked at.
    pub fn check_root(root: &std::path::Path) -> Result<(), StorageError> {
        Root::check_root(root)
    }

    /// Runs `operation` on a blocking thread.
    async fn run<T: Send + 'static>(
        &self,
        name: &'static str,
        operation: impl FnOnce(&Root) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let root = self.root.clone();
        blocking(name, move || operation(&root)).await
    }

    /// Opens an object and tells its size, on this thread if that takes no waiting.
    async fn open_file(&self, location: &Location) -> Result<Option<(File, u64)>, StorageError> {
        let opened = match self.root.open_cached(location) {
            Some(opened) => opened,
            None => {
                let location = location.clone();
                self.run("open an object", move |root| Ok(root.open_file(&location))).await?
            }
        };
        let file = match opened {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            opened => opened.map_err(|errno| StorageError::io("open an object", errno))?,
        };
        let metadata = file.metadata().map_err(|error| StorageError::io("look at an object", error))?;
        Ok(metadata.is_file().then_some((file, metadata.len())))
    }

    fn upload(&self, location: &Location, hasher: Hasher) -> Result<Box<dyn Upload>, StorageError> {
        self.root.check_upload(location)?;
        Ok(Box::new(FileUpload::new(self.root.clone(), location, hasher)))
    }
}

#[async_trait]
impl BlobStore for FilesystemStore {
    async fn read_identity(&self) -> Result<Option<StoreIdentity>, StorageError> {
        self.run("read the store's identity", Root::read_identity).await
    }

    async fn create_identity(&self, identity: &StoreIdentity) -> Result<(), StorageError> {
        let identity = identity.clone();
        self.run("write the store's identity", move |root| root.create_identity(&identity)).await
    }

    async fn read_mark(&self) -> Result<Option<i64>, StorageError> {
        self.run("read the store's mark", Root::read_mark).await
    }

    async fn write_mark(&self, mark: i64) -> Result<bool, StorageError> {
        self.run("write the store's mark", move |root| root.write_mark(mark)).await?;
        Ok(true)
    }

    async fn begin(
        &self,
        location: &Location,
        algorithm: Algorithm,
    ) -> Result<Box<dyn Upload>, StorageError> {
        self.upload(location, Hasher::new(algorithm))
    }

    async fn resume(
        &self,
        location: &Location,
        state: &UploadState,
    ) -> Result<Box<dyn Upload>, StorageError> {
        self.upload(location, state.hasher()?)
    }

    async fn abandon(&self, location: &Location, _state: Option<&UploadState>) -> Result<(), StorageError> {
        self.delete(location).await
    }

    async fn open(&self, location: &Location, range: Range<u64>) -> Result<Body, StorageError> {
        let Some((file, actual_bytes)) = self.open_file(location).await? else {
            return Err(StorageError::Missing { location: location.clone() });
        };
        if actual_bytes < range.end {
            let (location, expected_bytes) = (location.clone(), range.end);
            return Err(StorageError::Truncated { location, expected_bytes, actual_bytes });
        }
        Ok(Body::File { file: Arc::new(file), range })
    }

    fn reads_unfinished(&self) -> bool {
        true
    }

    async fn size(&self, location: &Location) -> Result<Option<u64>, StorageError> {
        if let Some(found) = self.root.size_now(location) {
            return found.map_err(|errno| StorageError::io("look for an object", errno));
        }
        Ok(self.open_file(location).await?.map(|(_, size_bytes)| size_bytes))
    }

    async fn is_missing(&self, location: &Location, size_bytes: u64) -> Result<bool, StorageError> {
        Ok(self.size(location).await? != Some(size_bytes))
    }

    async fn delete(&self, location: &Location) -> Result<(), StorageError> {
        let tenure = self.root.tenures.begin(location);
        self.run("remove an object", move |root| {
            let _held = tenure.hold()?;
            root.remove(tenure.location())
        })
        .await
    }

    async fn list(&self, after: Option<&Location>, limit: usize) -> Result<Vec<ObjectInfo>, StorageError> {
        let after = after.cloned();
        self.run("list objects", move |root| {
            root.list(after.as_ref(), limit).map_err(|errno| StorageError::io("list objects", errno))
        })
        .await
    }

    async fn free_space(&self) -> Option<FreeSpace> {
        self.run("look at the free space", |root| Ok(root.free_space())).await.ok().flatten()
    }

    async fn check(&self) -> Result<(), StorageError> {
        self.run("check the store", Root::check).await
    }
}

/// Runs `operation` on a blocking thread. `name` says what it does, if it does not come to an end.
async fn blocking<T: Send + 'static>(
    name: &'static str,
    operation: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    match spawn_blocking(operation).await {
        Ok(result) => result,
        Err(error) => Err(StorageError::io(name, io::Error::other(error))),
    }
}
