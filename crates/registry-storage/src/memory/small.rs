use std::{
    collections::btree_map::Entry,
    ops::Bound::{Excluded, Included, Unbounded},
    time::SystemTime,
};

use async_trait::async_trait;
use bytes::Bytes;
use registry_types::Location;

use super::MemoryStore;
use crate::{
    Creation, ObjectInfo, SmallObjects, StorageError,
    small::{check_name, check_size},
};

#[derive(Debug)]
pub(super) struct Small {
    bytes: Bytes,
    modified: SystemTime,
}

#[async_trait]
impl SmallObjects for MemoryStore {
    async fn create(&self, name: &Location, bytes: Bytes) -> Result<Creation, StorageError> {
        check_name(name)?;
        check_size(name, bytes.len() as u64)?;
        #[allow(clippy::disallowed_methods, reason = "the store's clock")]
        let modified = SystemTime::now();
        Ok(match self.shared.contents.lock().small.entry(name.clone()) {
            Entry::Occupied(_) => Creation::Exists,
            Entry::Vacant(entry) => {
                entry.insert(Small { bytes: Bytes::copy_from_slice(&bytes), modified });
                Creation::Created
            }
        })
    }

    async fn read(&self, name: &Location) -> Result<Option<Bytes>, StorageError> {
        check_name(name)?;
        Ok(self.shared.contents.lock().small.get(name).map(|small| small.bytes.clone()))
    }

    async fn list_small(
        &self,
        folder: &Location,
        after: Option<&Location>,
        limit: usize,
    ) -> Result<Vec<ObjectInfo>, StorageError> {
        check_name(folder)?;
        let prefix = format!("{folder}/");
        let contents = self.shared.contents.lock();
        let begin = match after {
            Some(after) if after > folder => Excluded(after),
            _ => Included(folder),
        };
        let names = contents.small.range((begin, Unbounded));
        // What lies between a folder and its names, such as `a-b` between `a` and `a/b`, is passed over.
        let below = names.filter(|(name, _)| name.as_str().starts_with(&prefix)).take(limit);
        Ok(below.map(|(name, small)| small.info(name)).collect())
    }

    async fn remove(&self, name: &Location) -> Result<(), StorageError> {
        check_name(name)?;
        self.shared.contents.lock().small.remove(name);
        Ok(())
    }
}

impl Small {
    fn info(&self, name: &Location) -> ObjectInfo {
        ObjectInfo { location: name.clone(), size_bytes: self.bytes.len() as u64, modified: self.modified }
    }
}
