use std::collections::HashMap;

use registry_digest::Digest;
use registry_metadata::StoredObject;
use registry_types::Location;

use crate::{
    Import, ImportError,
    layout::{BLOBS, FOLDER, digest_of_blob},
};

/// How many objects are looked at together.
const PAGE: usize = 1000;

/// How many repositories are opened to clients in one transaction.
const RELEASED: usize = 500;

/// What the end of an import found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Finished {
    /// How many objects were hidden, because their bytes are missing or have another size. A push brings each of them back.
    pub hidden: u64,
    /// Whether this process can remove imported bytes that nothing needs any more: their folder may be another user's.
    pub can_remove: bool,
}

impl Import {
    /// Makes what was imported this registry's own: clients may change it, bytes that nothing needs are given back, and no further
    /// run takes anything over. Doing so twice does nothing more.
    ///
    /// # Errors
    /// [`ImportError::NeverRan`]; [`ImportError::BytesMissing`], unless that is accepted.
    pub async fn finish(&self, accepts_missing: bool) -> Result<Finished, ImportError> {
        let state = self.metadata.adoption().await?;
        let state = state.filter(|state| state.ran_at_ms.is_some()).ok_or(ImportError::NeverRan)?;
        let can_remove = self.keys.can_remove(BLOBS).await;
        let mut finished = Finished { hidden: 0, can_remove };
        if state.finished_at_ms.is_none() {
            finished.hidden = self.settle_missing(accepts_missing).await?;
            self.metadata.finish_adoption().await?;
        }
        while self.metadata.release_adopted(RELEASED).await? {}
        Ok(finished)
    }

    /// Looks whether the bytes are there. Answers how many objects were hidden.
    async fn settle_missing(&self, accepts: bool) -> Result<u64, ImportError> {
        let sizes = if self.keys.is_near() { None } else { Some(self.sizes().await?) };
        let (mut count, mut first) = (0, None);
        let mut after: Option<Location> = FOLDER.trim_end_matches('/').parse().ok();
        loop {
            let page = self.metadata.objects(after.as_ref(), PAGE).await?;
            for object in page.iter().take_while(|object| object.location.as_str().starts_with(FOLDER)) {
                if !object.is_bad && self.is_missing(object, sizes.as_ref()).await? {
                    count += 1;
                    first.get_or_insert_with(|| object.location.to_string());
                    if accepts {
                        self.metadata.mark_bad(&object.location).await?;
                    }
                }
            }
            let last = page.into_iter().next_back().map(|object| object.location);
            match last.filter(|last| last.as_str().starts_with(FOLDER)) {
                Some(last) => after = Some(last),
                None => break,
            }
        }
        match first {
            Some(first) if !accepts => Err(ImportError::BytesMissing { count, first }),
            _ => Ok(count),
        }
    }

    async fn is_missing(
        &self,
        object: &StoredObject,
        sizes: Option<&HashMap<Digest, u64>>,
    ) -> Result<bool, ImportError> {
        let found = match sizes {
            Some(sizes) => {
                digest_of_blob(object.location.as_str()).and_then(|digest| sizes.get(&digest).copied())
            }
            None => self.store.size(&object.location).await?,
        };
        Ok(found != Some(object.size_bytes))
    }
}
