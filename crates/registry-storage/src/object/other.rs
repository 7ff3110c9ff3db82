//! What another registry keeps below the same prefix of a bucket.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream, stream::BoxStream};
use registry_types::Location;

use super::ObjectBlobStore;
use crate::{OtherKeys, OtherObject, StorageError, other::check_other};

/// How many objects a page has: what one request lists.
const PAGE: usize = 1000;

#[async_trait]
impl OtherKeys for ObjectBlobStore {
    async fn folders(&self, folder: &str) -> Result<Vec<String>, StorageError> {
        self.shared.backend.folders(folder).await
    }

    fn walk(
        &self,
        folder: &str,
        _passes_over: fn(&str) -> bool,
    ) -> BoxStream<'static, Result<Vec<OtherObject>, StorageError>> {
        let state = (self.shared.backend.clone(), folder.to_owned(), Some(None::<String>));
        stream::try_unfold(state, |(backend, folder, after)| async move {
            let Some(after) = after else { return Ok(None) };
            let listed = backend.list(&folder, after.as_deref(), PAGE).await?;
            let next = (listed.len() == PAGE).then(|| listed.last().map(|(key, _)| key.clone()));
            let object = |(key, meta): (String, object_store::ObjectMeta)| OtherObject {
                key,
                size_bytes: meta.size,
                modified: meta.last_modified.into(),
            };
            let page = listed.into_iter().map(object).collect();
            Ok(Some((page, (backend, folder, next))))
        })
        .boxed()
    }

    async fn read(&self, key: &Location, bytes_max: u64) -> Result<Option<Bytes>, StorageError> {
        self.shared.backend.read(key.as_str(), bytes_max).await
    }

    fn is_near(&self) -> bool {
        false
    }

    async fn put(&self, key: &Location, bytes: Bytes) -> Result<(), StorageError> {
        check_other(key)?;
        self.shared.backend.put(key.as_str(), bytes.into()).await
    }

    async fn share(&self, from: &Location, key: &Location) -> Result<bool, StorageError> {
        check_other(key)?;
        if self.shared.backend.size(key.as_str()).await?.is_some() {
            return Ok(false);
        }
        match self.shared.backend.copy(from.as_str(), key.as_str()).await? {
            true => Ok(true),
            false => Err(StorageError::Missing { location: from.clone() }),
        }
    }

    async fn remove_other(&self, key: &Location) -> Result<(), StorageError> {
        check_other(key)?;
        self.shared.backend.remove(key.as_str()).await
    }

    /// A look tells nothing here.
    async fn can_remove(&self, _folder: &str) -> bool {
        true
    }
}
