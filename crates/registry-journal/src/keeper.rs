//! The thread that makes snapshots and removes what they replace.

use std::{path::PathBuf, sync::Arc, time::Duration};

use registry_database::{Clock, Owners};

use super::{
    error::{JournalError, Result},
    options::JournalOptions,
    progress::{Progress, Shared},
    prune::prune,
    snapshot,
    store::Remote,
};

/// How often is looked whether something old can go, and how long a failure is waited after.
const REST: Duration = Duration::from_secs(600);
const PAUSE: Duration = Duration::from_secs(30);

/// Makes snapshots.
pub(crate) struct Keeper {
    pub(crate) path: PathBuf,
    pub(crate) owners: Owners,
    pub(crate) remote: Remote,
    pub(crate) shared: Arc<Shared>,
    pub(crate) options: JournalOptions,
    pub(crate) clock: Arc<dyn Clock>,
    /// How many entries there were after the newest snapshot at the start, and their bytes.
    pub(crate) found: (u64, u64),
    /// How many entries this process had stored when it made its last snapshot, and their bytes.
    pub(crate) snapped: (u64, u64),
}

impl Keeper {
    /// Works until the journal is closed or lost.
    pub(crate) fn run(&mut self) {
        loop {
            let work = self.shared.until(|progress| progress.fault.is_some() || self.is_due(progress));
            let outcome = match self.remote.wait(REST, work) {
                Ok(Some(progress)) if progress.fault.is_some() => return,
                Ok(Some(_)) => self.make(),
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            let outcome =
                outcome.and_then(|()| prune(&self.remote, self.clock.now_ms(), self.options.retention));
            match outcome {
                Ok(()) => {}
                Err(JournalError::Stopping) => return,
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(error, "no snapshot was made of the database; tried again in {PAUSE:?}");
                    if self.remote.pause(PAUSE).is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn is_due(&self, progress: &Progress) -> bool {
        let size_bytes = progress.snapshot.map_or(0, |snapshot| snapshot.size_bytes);
        let entries = self.found.0 + progress.entries - self.snapped.0;
        let bytes = self.found.1 + progress.entries_bytes - self.snapped.1;
        entries >= self.options.snapshot_entries.max(size_bytes >> 20)
            || bytes >= self.options.snapshot_bytes.max(size_bytes / 4)
    }

    fn make(&mut self) -> Result<()> {
        let before = self.shared.now();
        let made = snapshot::make(&self.path, &self.owners, &self.remote, self.clock.now_ms())?;
        // It counts only when its last commit is in the journal.
        while self.shared.now().stored < made.number {
            let stored =
                self.shared.until(|progress| progress.fault.is_some() || progress.stored >= made.number);
            if self.remote.wait(REST, stored)?.is_some_and(|progress| progress.fault.is_some()) {
                return Err(JournalError::Stopping);
            }
        }
        (self.found, self.snapped) = ((0, 0), (before.entries, before.entries_bytes));
        self.shared.made(made);
        let size_bytes = made.size_bytes;
        tracing::info!(size_bytes, "made a snapshot of the database as of commit {}", made.number);
        Ok(())
    }
}
