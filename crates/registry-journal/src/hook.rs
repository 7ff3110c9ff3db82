//! What the writer does for the journal.

use std::{sync::Arc, time::Duration};

use registry_database::{
    Owners,
    sqlite::{Answer, CommitHook, HookError},
};
use rusqlite::Connection;

use super::{capture::Capture, ledger::Kept, progress::Shared, store::Remote};

/// How much one commit notes, in bytes, before the rest of the work goes into the next one.
const COMMIT_BYTES_MAX: i64 = 8 * 1024 * 1024;

/// The journal as the writer's thread has it.
#[derive(Debug)]
pub(crate) struct Hook {
    capture: Capture,
    shared: Arc<Shared>,
    remote: Remote,
    /// What the transaction noted that is about to be committed.
    sealed: Option<Kept>,
}

impl Hook {
    /// Begins to note what `writer` changes.
    pub(crate) fn new(
        writer: &Connection,
        owners: &Owners,
        shared: Arc<Shared>,
        remote: Remote,
    ) -> rusqlite::Result<Hook> {
        Ok(Hook { capture: Capture::install(writer, owners)?, shared, remote, sealed: None })
    }
}

impl CommitHook for Hook {
    fn admit(&mut self) -> Result<(), HookError> {
        loop {
            if let Some(answer) = Shared::admits(&self.shared.now()) {
                return answer.map_err(|error| error as HookError);
            }
            let change = self.shared.until(|progress| Shared::admits(progress).is_some());
            self.remote.wait(Duration::from_secs(1), change).map_err(|error| Arc::new(error) as HookError)?;
        }
    }

    fn is_full(&mut self, writer: &Connection) -> rusqlite::Result<bool> {
        Ok(self.capture.size_bytes(writer)? > COMMIT_BYTES_MAX)
    }

    fn seal(&mut self, writer: &Connection) -> rusqlite::Result<()> {
        self.sealed = self.capture.seal(writer, self.shared.now().stored)?;
        if let Some(kept) = &self.sealed {
            self.shared.announce(kept.number);
        }
        Ok(())
    }

    fn committed(&mut self, is_committed: bool) {
        if let Some(kept) = self.sealed.take() {
            let commit = is_committed.then_some((kept.number, kept.record.len() as u64));
            self.shared.committed(commit);
        }
    }

    fn when_stored(&mut self, answer: Answer) {
        self.shared.when_stored(Box::new(|stored| answer(stored.map_err(|error| error as HookError))));
    }
}
