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
use registry_server::{Reservation, Share};
use tokio::sync::OnceCell;

use crate::error::ApiError;

/// The manifests that a node sends at this moment: the buffers that are read, or waited for.
#[derive(Clone, Default)]
pub struct Manifests(Arc<Mutex<HashMap<Digest, Weak<Entry>>>>);

struct Entry {
    digest: Digest,
    loaded: OnceCell<Loaded>,
    others: Manifests,
}

struct Loaded {
    bytes: Bytes,
    counted: Mutex<Counted>,
}

/// The memory of a buffer, which counts for the first of its readers, and when that goes for the next.
struct Counted {
    memory: Reservation,
    readers: Vec<Share>,
}

impl Manifests {
    /// The bytes of a digest: those that another reader has, or is about to have, or else those that `load` brings with the memory
    /// that was taken for them.
    pub(crate) async fn get(
        &self,
        digest: &Digest,
        share: &Share,
        load: impl Future<Output = Result<(Bytes, Reservation), ApiError>>,
    ) -> Result<Bytes, ApiError> {
        let entry = self.entry(digest);
        let load = async {
            let (bytes, memory) = load.await?;
            Ok::<_, ApiError>(Loaded { bytes, counted: Mutex::new(Counted { memory, readers: Vec::new() }) })
        };
        let loaded = entry.loaded.get_or_try_init(|| load).await?;
        loaded.counted.lock().readers.push(share.clone());
        Ok(Bytes::from_owner(Reader { entry, share: share.clone() }))
    }

    fn entry(&self, digest: &Digest) -> Arc<Entry> {
        let mut entries = self.0.lock();
        if let Some(entry) = entries.get(digest).and_then(Weak::upgrade) {
            return entry;
        }
        let entry = Arc::new(Entry { digest: *digest, loaded: OnceCell::new(), others: self.clone() });
        entries.insert(*digest, Arc::downgrade(&entry));
        entry
    }
}

impl fmt::Debug for Manifests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manifests").field("count", &self.0.lock().len()).finish()
    }
}

impl Counted {
    fn leave(&mut self, share: &Share) {
        if let Some(index) = self.readers.iter().position(|reader| reader.is_of_same_client(share)) {
            self.readers.remove(index);
        }
        if let Some(first) = self.readers.first() {
            self.memory.move_to(first);
        }
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

struct Reader {
    entry: Arc<Entry>,
    share: Share,
}

impl AsRef<[u8]> for Reader {
    fn as_ref(&self) -> &[u8] {
        self.entry.loaded.get().map_or(&[], |loaded| &loaded.bytes)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(loaded) = self.entry.loaded.get() {
            loaded.counted.lock().leave(&self.share);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Budget;
    use registry_digest::Algorithm;

    #[tokio::test]
    async fn readers_share_what_one_of_them_loaded() {
        let (shared, budget) = (Manifests::default(), Budget::new(1000, 1));
        let digest = Digest::of(Algorithm::default(), b"x");
        let [one, other] = [budget.client(), budget.client()];
        let load = async { Ok((Bytes::from(vec![1; 100]), one.memory(100).unwrap())) };
        let first = shared.get(&digest, &one, load).await.unwrap();
        let second = shared.get(&digest, &other, async { panic!("it is there") }).await.unwrap();
        assert_eq!(first.as_ptr(), second.as_ptr());
        assert_eq!([&one, &other].map(Share::held_bytes), [100, 0]);
        drop(first);
        assert_eq!(second, vec![1; 100]);
        assert_eq!([&one, &other].map(Share::held_bytes), [0, 100], "it counts for the reader that is left");
        assert_eq!(budget.memory_bytes(), 100);
        drop(second);
        assert_eq!((other.held_bytes(), budget.memory_bytes()), (0, 0));
        assert!(shared.0.lock().is_empty(), "nothing is kept that is not read");

        let refused = async { Err(ApiError::Denied) };
        assert!(shared.get(&digest, &one, refused).await.is_err());
        assert!(shared.0.lock().is_empty());
        let load = async { Ok((Bytes::new(), one.memory(0).unwrap())) };
        assert!(shared.get(&digest, &one, load).await.is_ok());
    }
}
