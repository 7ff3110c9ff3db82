//! Large manifests that are being sent: all readers of one digest share one buffer.
//!
//! What is shared is content by its digest, so no push and no delete can make it a lie; who may have it, and whether it is here
//! at all, was asked of the database before.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Weak},
};

use bytes::Bytes;
use parking_lot::Mutex;
use registry_digest::Digest;
use tokio::sync::OnceCell;

use crate::error::ApiError;

/// The manifests that a node sends at this moment.
#[derive(Clone, Default)]
pub struct Manifests(Arc<Mutex<HashMap<Digest, Weak<Entry>>>>);

struct Entry {
    digest: Digest,
    bytes: OnceCell<Bytes>,
    others: Manifests,
}

impl Manifests {
    /// The bytes of a digest: those that another reader has, or is about to have, or else those that `load` brings.
    pub(crate) async fn get(
        &self,
        digest: &Digest,
        load: impl Future<Output = Result<Bytes, ApiError>>,
    ) -> Result<Bytes, ApiError> {
        let entry = self.entry(digest);
        entry.bytes.get_or_try_init(|| load).await?;
        Ok(Bytes::from_owner(Reader(entry)))
    }

    fn entry(&self, digest: &Digest) -> Arc<Entry> {
        let mut entries = self.0.lock();
        if let Some(entry) = entries.get(digest).and_then(Weak::upgrade) {
            return entry;
        }
        let entry = Arc::new(Entry { digest: *digest, bytes: OnceCell::new(), others: self.clone() });
        entries.insert(*digest, Arc::downgrade(&entry));
        entry
    }
}

impl fmt::Debug for Manifests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manifests").field("count", &self.0.lock().len()).finish()
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut entries = self.others.0.lock();
        // Another one may have taken its place in the meantime.
        if entries.get(&self.digest).is_some_and(|entry| entry.strong_count() == 0) {
            entries.remove(&self.digest);
        }
    }
}

struct Reader(Arc<Entry>);

impl AsRef<[u8]> for Reader {
    fn as_ref(&self) -> &[u8] {
        self.0.bytes.get().map_or(&[], |bytes| bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use registry_digest::Algorithm;

    #[tokio::test]
    async fn readers_share_what_one_of_them_loaded() {
        let shared = Manifests::default();
        let digest = Digest::of(Algorithm::default(), b"x");
        let first = shared.get(&digest, async { Ok(Bytes::from(vec![1; 100])) }).await.unwrap();
        let second = shared.get(&digest, async { panic!("it is there") }).await.unwrap();
        assert_eq!(first.as_ptr(), second.as_ptr());
        drop(first);
        assert_eq!(second, vec![1; 100]);
        drop(second);
        assert!(shared.0.lock().is_empty(), "nothing is kept that nobody reads");

        let refused = async { Err(ApiError::Denied) };
        assert!(shared.get(&digest, refused).await.is_err());
        assert!(shared.0.lock().is_empty());
        assert!(shared.get(&digest, async { Ok(Bytes::new()) }).await.is_ok());
    }
}
