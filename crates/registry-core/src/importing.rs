//! Taking over the storage of a Go registry, and giving it back.

use std::sync::Arc;

use registry_api::ReferencePolicy;
use registry_import::{Export, Import, Policy, Progress, Report};
use registry_metadata::MetadataStore;
use registry_storage::{BlobStore, OtherKeys};

use crate::{Builder, OpenError, identity, places::Places};

/// How many problems of an import at the start are lines of the log.
const LOGGED_MAX: usize = 100;

/// Store, its keys of other registries, and database.
pub(crate) struct Both {
    pub(crate) store: Arc<dyn BlobStore>,
    pub(crate) keys: Arc<dyn OtherKeys>,
    pub(crate) metadata: Arc<dyn MetadataStore>,
}

impl Builder {
    /// Opens store and database for an import: beside the process that serves from them, or, if this store was never used,
    /// as that process would, so that both are made. Where `is_dry`, nothing is made or changed.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::NoOtherKeys`] where no other registry can have been.
    pub async fn open_import(self, is_dry: bool) -> Result<Import, OpenError> {
        let both = self.places.open_for_import(is_dry).await?;
        Ok(import_of(both, &self.settings.references, is_dry))
    }

    /// Opens store and database for an export, beside the process that serves from them.
    ///
    /// # Errors
    /// As [`open_beside`](Self::open_beside), and [`OpenError::NoOtherKeys`].
    pub async fn open_export(self) -> Result<Export, OpenError> {
        let Both { keys, metadata, .. } = self.places.open_for_export().await?;
        Ok(Export { metadata, keys })
    }
}

fn import_of(both: Both, references: &ReferencePolicy, is_dry: bool) -> Import {
    let Both { store, keys, metadata } = both;
    let references = references.clone();
    let policy: Policy = Arc::new(move |manifest| {
        (references.required_blobs(manifest), references.required_children(manifest))
    });
    Import { metadata, store, keys, policy, is_dry, progress: Arc::new(Progress::default()) }
}

/// Before a registry serves: imports what a Go registry left, once and for all. Without such data, nothing.
pub(crate) async fn take_over(both: Both, references: &ReferencePolicy) -> Result<(), OpenError> {
    let state = both.metadata.adoption().await?;
    let is_there = !both.keys.folders(&format!("{}repositories/", registry_import::FOLDER)).await?.is_empty();
    let is_finished = state.is_some_and(|state| state.finished_at_ms.is_some());
    let import = import_of(both, references, false);
    if is_finished {
        // A process that was killed may have left repositories that clients can not change yet.
        import.finish(true).await?;
    }
    if is_finished || !is_there {
        return Ok(());
    }
    tracing::info!("imports the data of the Go registry that is here (storage.import)");
    let report = import.run().await?;
    log(&report);
    let finished = import.finish(true).await?;
    if finished.hidden > 0 {
        tracing::warn!("hid {} imported blobs whose bytes are missing", finished.hidden);
    }
    if !finished.can_remove {
        tracing::warn!(
            "this process may not remove imported bytes: those that nothing needs any more will stay"
        );
    }
    Ok(())
}

fn log(report: &Report) {
    for problem in report.left_out.problems.iter().take(LOGGED_MAX) {
        tracing::warn!(
            "left out of the import: {} {}: {}",
            problem.repository,
            problem.entry,
            problem.reason
        );
    }
    tracing::info!(
        "imported {} repositories with {} tags; left out {} entries",
        report.repositories,
        report.tags,
        report.left_out.count()
    );
}

impl Places {
    async fn open_for_export(&self) -> Result<Both, OpenError> {
        let (beside, keys) = self.open_beside_with_keys().await?;
        identity::check(&*beside.metadata, &*beside.store).await?;
        Ok(Both { store: beside.store, keys: keys.ok_or(OpenError::NoOtherKeys)?, metadata: beside.metadata })
    }

    async fn open_for_import(&self, is_dry: bool) -> Result<Both, OpenError> {
        let (looked, keys) = self.look().await?;
        if looked.read_identity().await?.is_some() {
            return self.open_for_export().await;
        }
        if is_dry {
            let keys = keys.ok_or(OpenError::NoOtherKeys)?;
            return Ok(Both { store: looked, keys, metadata: self.empty_metadata()? });
        }
        let opened = self.open(true).await?;
        identity::bind(&*opened.metadata, &*opened.store).await?;
        let keys = opened.keys.ok_or(OpenError::NoOtherKeys)?;
        Ok(Both { store: opened.store, keys, metadata: opened.metadata })
    }
}
