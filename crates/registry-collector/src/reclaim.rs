//! Deleting the bytes that nothing leads to any more.

use std::collections::BTreeSet;

use futures_util::{StreamExt, stream};
use registry_metadata::{MetadataError, Reclaim};
use registry_storage::{BlobStore, StorageError, UploadState};
use registry_types::Location;

use crate::{Collector, Report, Watch};

/// How many are asked for at once.
const BATCH: usize = 200;

/// How many may fail before the rest is left to the next collection.
const FAILED_MAX: usize = 1000;

/// First the bytes, then the row: a crash in between repeats the deletion, which is harmless, since keys are never
/// reused. What can not be deleted now does not keep the rest from it, and is tried again the next time.
pub(crate) async fn run(
    collector: &Collector,
    report: &mut Report,
    watch: &dyn Watch,
) -> Result<(), MetadataError> {
    let mut failed = BTreeSet::new();
    while failed.len() < FAILED_MAX {
        // Those that failed come again, before all others.
        let mut batch = collector.metadata.reclaimable(BATCH + failed.len()).await?;
        batch.retain(|reclaim| !failed.contains(&reclaim.location));
        if batch.is_empty() {
            break;
        }
        let deletions = stream::iter(batch).map(|reclaim| delete(collector, reclaim));
        let mut deletions = deletions.buffer_unordered(collector.options.deletes_at_once.max(1));
        while let Some((location, result)) = deletions.next().await {
            match result {
                Ok(()) => {
                    report.objects_deleted += 1;
                    watch.reclaimed(&location);
                }
                Err(error) => {
                    collector.note(report, watch, &format!("could not delete {location}"), &*error);
                    failed.insert(location);
                }
            }
        }
    }
    Ok(())
}

async fn delete(
    collector: &Collector,
    reclaim: Reclaim,
) -> (Location, Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    collector.deletes.wait(1).await;
    let result = async {
        delete_bytes(&*collector.store, &reclaim).await?;
        Ok(collector.metadata.reclaimed(&reclaim.location).await?)
    };
    let result = result.await;
    (reclaim.location, result)
}

async fn delete_bytes(store: &dyn BlobStore, reclaim: &Reclaim) -> Result<(), StorageError> {
    let Some(bytes) = &reclaim.upload_state else { return store.delete(&reclaim.location).await };
    // A state that can not be read is worth a warning, not a row that comes back for ever.
    let state = UploadState::from_bytes(bytes)
        .inspect_err(|error| tracing::warn!("upload at {}: {error}", reclaim.location))
        .ok();
    store.abandon(&reclaim.location, state.as_ref()).await
}
