use async_trait::async_trait;
use bytes::Bytes;
use object_store::PutPayload;
use registry_types::Location;

use super::{ObjectBlobStore, backend::Put};
use crate::{
    Creation, ObjectInfo, SMALL_OBJECT_BYTES_MAX, SmallObjects, StorageError,
    small::{check_name, check_size},
};

#[async_trait]
impl SmallObjects for ObjectBlobStore {
    async fn create(&self, name: &Location, bytes: Bytes) -> Result<Creation, StorageError> {
        check_name(name)?;
        check_size(name, bytes.len() as u64)?;
        Ok(match self.shared.backend.create(name.as_str(), PutPayload::from(bytes)).await? {
            Put::Done => Creation::Created,
            Put::Exists => Creation::Exists,
        })
    }

    async fn read(&self, name: &Location) -> Result<Option<Bytes>, StorageError> {
        check_name(name)?;
        self.shared.backend.read(name.as_str(), SMALL_OBJECT_BYTES_MAX as u64).await
    }

    async fn list_small(
        &self,
        folder: &Location,
        after: Option<&Location>,
        limit: usize,
    ) -> Result<Vec<ObjectInfo>, StorageError> {
        check_name(folder)?;
        let after = after.map(Location::as_str);
        let listed = self.shared.backend.list(&format!("{folder}/"), after, limit).await?;
        let infos = listed.into_iter().filter_map(|(key, meta)| {
            let location = key.parse().ok()?;
            Some(ObjectInfo { location, size_bytes: meta.size, modified: meta.last_modified.into() })
        });
        Ok(infos.collect())
    }

    async fn remove(&self, name: &Location) -> Result<(), StorageError> {
        check_name(name)?;
        self.shared.backend.remove(name.as_str()).await
    }
}
