//! What the writer does for the journal.

use std::{sync::Arc, time::Duration};

use rusqlite::Connection;

use super::{
    capture::Capture,
    error::JournalError,
    ledger::Kept,
    progress::{Answer, Shared},
    store::Remote,
};

/// How much one commit notes, in bytes, before the rest of the work goes into the next one.
const COMMIT_BYTES_MAX: i64 = 8 * 1024 * 1024;

/// The journal as the writer's thread has it.
#[derive(Debug)]
pub(in super::super) struct Hook {
    capture: Capture,
    shared: Arc<Shared>,
    remote: Remote,
}

impl Hook {
    /// Begins to note what `writer` changes.
    pub(super) fn new(writer: &Connection, shared: Arc<Shared>, remote: Remote) -> rusqlite::Result<Hook> {
        Ok(Hook { capture: Capture::install(writer)?, shared, remote })
    }

    /// Waits until more may be committed, or says why that is not so.
    pub(in super::super) fn admit(&self) -> Result<(), Arc<JournalError>> {
        loop {
            if let Some(answer) = Shared::admits(&self.shared.now()) {
                return answer;
            }
            let change = self.shared.until(|progress| Shared::admits(progress).is_some());
            self.remote.wait(Duration::from_secs(1), change).map_err(Arc::new)?;
        }
    }

    /// Whether the transaction has noted as much as one commit should.
    pub(in super::super) fn is_full(&self, writer: &Connection) -> rusqlite::Result<bool> {
        Ok(self.capture.size_bytes(writer)? > COMMIT_BYTES_MAX)
    }

    /// Keeps what the transaction noted. To be called right before it is committed.
    pub(in super::super) fn seal(&self, writer: &Connection) -> rusqlite::Result<Sealed> {
        let kept = self.capture.seal(writer, self.shared.now().stored)?;
        if let Some(kept) = &kept {
            self.shared.announce(kept.number);
        }
        Ok(Sealed(kept))
    }

    /// Tells whether the transaction was committed.
    pub(in super::super) fn committed(&self, sealed: Sealed, is_committed: bool) {
        if let Some(kept) = sealed.0 {
            let commit = is_committed.then_some((kept.number, kept.record.len() as u64));
            self.shared.committed(commit);
        }
    }

    /// Answers when everything that is committed now is stored.
    pub(in super::super) fn when_stored(&self, answer: Answer) {
        self.shared.when_stored(answer);
    }
}

/// What a transaction noted, if anything.
#[derive(Debug)]
pub(in super::super) struct Sealed(Option<Kept>);
