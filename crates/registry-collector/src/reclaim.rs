//! Deleting the bytes that nothing leads to any more.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use registry_metadata::{MetadataError, Reclaim};
use registry_storage::{BlobStore, StorageError, UploadState};
use registry_types::Location;

use crate::{Collector, Report, Watch};

/// How many are asked for at once.
const BATCH: usize = 200;

/// How many may fail before the rest is left to the next collection.
const FAILED_MAX: usize = 1000;

/// When to try again what could not be deleted.
const AGAIN: Duration = Duration::from_secs(10 * 60);

/// First the bytes, then the row: a crash in between repeats the deletion, which is harmless, since keys are never
/// reused. What can not be deleted now does not keep the rest from it, and is tried again the next time.
pub(crate) async fn run(
    collector: &Collector,
    report: &mut Report,
    watch: &dyn Watch,
) -> Result<(), MetadataError> {
    let mut failed = 0;
    while failed < FAILED_MAX {
        let batch = collector.metadata.reclaimable(BATCH).await?;
        if batch.is_empty() {
            break;
        }
        let deletions = stream::iter(batch).map(|reclaim| delete(collector, reclaim));
        let mut deletions = deletions.buffer_unordered(collector.options.deletes_at_once.max(1));
        while let Some((location, result)) = deletions.next().await {
            match result? {
                Ok(()) => {
                    report.objects_deleted += 1;
                    watch.reclaimed(&location);
                }
                Err(error) => {
                    collector.note(report, watch, &format!("could not delete {location}"), &*error);
                    failed += 1;
                }
            }
        }
    }
    Ok(())
}

type Deleted = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Deletes bytes, or has them wait: what fails must not come before others again and again, in this collection or the next.
async fn delete(collector: &Collector, reclaim: Reclaim) -> (Location, Result<Deleted, MetadataError>) {
    collector.deletes.wait(1).await;
    let deleted: Deleted = async {
        delete_bytes(&*collector.store, &reclaim).await?;
        Ok(collector.metadata.reclaimed(&reclaim.location).await?)
    }
    .await;
    let postponed = match deleted {
        Ok(()) => Ok(()),
        Err(_) => collector.metadata.postpone_reclaim(&reclaim.location, AGAIN).await,
    };
    (reclaim.location, postponed.map(|()| deleted))
}

async fn delete_bytes(store: &dyn BlobStore, reclaim: &Reclaim) -> Result<(), StorageError> {
    let Some(bytes) = &reclaim.upload_state else { return store.delete(&reclaim.location).await };
    // A state that can not be read is worth a warning, not a row that comes back for ever.
    let state = UploadState::from_bytes(bytes)
        .inspect_err(|error| tracing::warn!("upload at {}: {error}", reclaim.location))
        .ok();
    store.abandon(&reclaim.location, state.as_ref()).await
}
