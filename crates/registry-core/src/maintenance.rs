//! What is done now and then, besides serving: uploads that nobody finishes, and bytes to give back.

use std::{sync::Arc, time::Duration};

use registry_metadata::{MetadataError, MetadataStore, Reclaim};
use registry_storage::{BlobStore, StorageError, UploadState};
use tokio::time::sleep;

/// When uploads that nobody continues are given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purge {
    /// How long nobody must have continued an upload.
    pub age: Duration,
    /// How often is looked.
    pub interval: Duration,
}

impl Default for Purge {
    fn default() -> Self {
        let hours = |hours: u64| Duration::from_secs(hours * 60 * 60);
        Purge { age: hours(168), interval: hours(24) }
    }
}

/// How often bytes are given back.
const RECLAIM_EVERY: Duration = Duration::from_secs(60);

/// How much is done in one go, so that no transaction is long.
const BATCH: usize = 100;

/// Gives up abandoned uploads until the future is dropped. The first look is right at the start: a registry that is
/// restarted every night still purges.
pub(crate) async fn purge_uploads(metadata: Arc<dyn MetadataStore>, purge: Purge) {
    loop {
        match purge_once(&*metadata, purge.age).await {
            Ok(0) => {}
            Ok(count) => tracing::info!("gave up {count} uploads that nobody continued for {:?}", purge.age),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "could not purge uploads")
            }
        }
        sleep(purge.interval).await;
    }
}

async fn purge_once(metadata: &dyn MetadataStore, age: Duration) -> Result<u64, MetadataError> {
    let mut sum = 0;
    loop {
        let count = metadata.expire_uploads(age, BATCH).await?;
        sum += count;
        if count < BATCH as u64 {
            return Ok(sum);
        }
    }
}

/// Gives back the bytes that nothing refers to any more, until the future is dropped.
pub(crate) async fn reclaim_bytes(metadata: Arc<dyn MetadataStore>, store: Arc<dyn BlobStore>) {
    loop {
        if let Err(error) = reclaim_once(&*metadata, &*store).await {
            tracing::error!(error = &error as &dyn std::error::Error, "could not give back bytes");
        }
        sleep(RECLAIM_EVERY).await;
    }
}

/// First the bytes, then the row: a crash in between repeats the removal, which is harmless, since keys are never
/// reused. What can not be removed now does not keep the rest from it, and is tried again the next time.
async fn reclaim_once(metadata: &dyn MetadataStore, store: &dyn BlobStore) -> Result<(), MetadataError> {
    loop {
        let batch = metadata.reclaimable(BATCH).await?;
        let mut all_removed = true;
        for reclaim in &batch {
            match remove(store, reclaim).await {
                Ok(()) => metadata.reclaimed(&reclaim.location).await?,
                Err(error) => {
                    all_removed = false;
                    let error: &dyn std::error::Error = &error;
                    tracing::error!(error, location = %reclaim.location, "could not remove an object");
                }
            }
        }
        // The same batch would come again.
        if batch.len() < BATCH || !all_removed {
            return Ok(());
        }
    }
}

async fn remove(store: &dyn BlobStore, reclaim: &Reclaim) -> Result<(), StorageError> {
    match &reclaim.upload_state {
        None => store.delete(&reclaim.location).await,
        Some(bytes) => {
            // A state that can not be read is worth a warning, not a row that comes back for ever.
            let state = UploadState::from_bytes(bytes)
                .inspect_err(|error| tracing::warn!("upload at {}: {error}", reclaim.location))
                .ok();
            store.abandon(&reclaim.location, state.as_ref()).await
        }
    }
}
