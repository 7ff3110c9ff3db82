//! The database's journal in the store of bytes, and what a registry does about it.

use std::{path::Path, sync::Arc, time::Duration};

use registry_api::{App, JournalFigures};
use registry_journal::{JournalError, JournalOptions, JournalRole, JournalStatus, SmallObjects};
use registry_metadata::{JournalPlace, Options, SqliteStore, SystemClock};
use registry_storage::BlobStore;
use tokio::time::{sleep, timeout};

use crate::{OpenError, ServeError};

/// How often the metrics are brought up to date.
const SHOW_EVERY: Duration = Duration::from_secs(2);

/// How long the end of a registry waits for what is not stored yet. Nobody waits for an answer about it by then.
const SETTLE_MAX: Duration = Duration::from_secs(5);

/// The journal that was asked for, and where it is to be.
pub(crate) type JournalIn = (JournalOptions, Arc<dyn SmallObjects>);

/// Opens a database and makes this the process that serves from it; with a journal in `store`, if there is to be one.
pub(crate) async fn open_database(
    path: &Path,
    options: Options,
    journal: Option<JournalIn>,
    store: &dyn BlobStore,
) -> Result<Arc<SqliteStore>, OpenError> {
    let metadata = open_as(JournalRole::Serving, path, options, journal, store).await?;
    metadata.lock_for_serving()?;
    Ok(metadata)
}

/// Opens a database beside the process that serves from it; what is changed here goes into the journal as well, if there
/// is one.
pub(crate) async fn open_beside(
    path: &Path,
    options: Options,
    journal: Option<JournalIn>,
    store: &dyn BlobStore,
) -> Result<Arc<SqliteStore>, OpenError> {
    open_as(JournalRole::Beside, path, options, journal, store).await
}

async fn open_as(
    role: JournalRole,
    path: &Path,
    options: Options,
    journal: Option<JournalIn>,
    store: &dyn BlobStore,
) -> Result<Arc<SqliteStore>, OpenError> {
    let clock = Arc::new(SystemClock);
    Ok(Arc::new(match journal {
        None => SqliteStore::open(path, options, clock)?,
        Some((journal, objects)) => {
            let store_id = store.read_identity().await?.map(|identity| identity.id().to_owned());
            let place = JournalPlace { options: JournalOptions { role, ..journal }, objects, store_id };
            SqliteStore::open_journalled(path, options, clock, place).await?
        }
    }))
}

/// A database whose journal a registry looks after; without a journal there is nothing to do.
#[derive(Clone, Debug)]
pub struct Journal(pub(crate) Arc<SqliteStore>);

impl Journal {
    /// Completes when the journal is lost: another process writes to it. What serves the registry has to stop.
    pub async fn lost(&self) -> Arc<JournalError> {
        self.0.journal_lost().await
    }

    /// How it is doing.
    pub fn status(&self) -> Option<JournalStatus> {
        self.0.journal_status()
    }

    /// Why the registry ends now. The journal ends with every stop; what counts is whether it was lost before.
    pub(crate) fn outcome(&self) -> Result<(), ServeError> {
        let fault = self.status().and_then(|status| status.fault);
        match fault.filter(|fault| !matches!(**fault, JournalError::Stopping)) {
            Some(fault) => Err(ServeError::JournalLost(fault)),
            None => Ok(()),
        }
    }

    /// Shows in the metrics how it is doing, until the future is dropped.
    pub(crate) async fn show(self, app: Arc<App>) {
        while let Some(status) = self.status() {
            app.metrics.journal(&figures(&status));
            sleep(SHOW_EVERY).await;
        }
    }

    /// Stores what can be stored in a moment; the rest is kept in the database.
    pub(crate) async fn settle(&self) {
        if let Ok(Err(error)) = timeout(SETTLE_MAX, self.0.journal_settled()).await {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(
                error,
                "stopped before every commit was stored in the journal; the next start stores the rest"
            );
        }
        self.0.end_journal();
    }
}

fn figures(status: &JournalStatus) -> JournalFigures {
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    JournalFigures {
        stored: status.stored,
        behind: status.committed - status.stored,
        behind_secs: status.behind.as_secs_f64(),
        entries: signed(status.entries),
        entries_bytes: signed(status.entries_bytes),
        snapshot_at_secs: status.snapshot_at_ms.unwrap_or(0) as f64 / 1000.0,
        snapshot_bytes: signed(status.snapshot_bytes.unwrap_or(0)),
    }
}
