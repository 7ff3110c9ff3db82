//! The journal: every commit that counts is also in a store, from which the database can be made again.
//!
//! For databases on disks that may be lost while the store with the bytes remains. Everything but the
//! [volatile tables](registry_database::Schema::volatile) is journalled.
//!
//! # What is promised
//!
//! - Work is answered when its commit *and every commit before it* are stored. Only what a power cut may forget as well,
//!   such as how far an upload session is, does not wait.
//! - A store holds one history. Commits are numbered without gaps and each has the hash of the one before; an entry is
//!   created under the number of its first commit, if there is none of that name. So of two writers one loses, and stops
//!   before it has answered ([`JournalError::Fenced`]).
//! - Whoever starts has all of it, or refuses. An empty database is made from the newest snapshot and the entries after
//!   it; one that is behind gets what it lacks; one that is ahead stores what it keeps. One that can not be the same
//!   history is refused, and nothing is overwritten.
//! - Bytes of blobs are deleted only when the commit that gave them up is stored.
//!   ([`reclaimable`](crate::Collecting::reclaimable) waits.)
//!
//! # Readers
//!
//! A reader sees what is committed here, also if it is not stored yet. If then both process and disk are lost before it
//! is, the next registry does not know it: a tag that somebody pulled may be gone, before its pusher was ever answered.
//! Making reads wait would make every pull depend on the journal's store; what they are told has been pushed, and by
//! digest it stays true. But what is told as a *promise* ([`Purpose::Promise`](crate::Purpose::Promise), `HEAD`) waits, if
//! there is anything to wait for: a client will leave a layer out because of it. And whoever *writes* on account of what
//! he read is behind it in the journal, and answered after it.
//!
//! # How
//!
//! | Module | What |
//! |---|---|
//! | `capture` | triggers in the writer's memory note what changes |
//! | `ledger` | the commit is kept as a row, in its own transaction |
//! | `upload` | one thread stores kept commits, as many as there are in one entry |
//! | `progress` | how far that is, and who waits |
//! | `snapshot`, `prune` | another thread makes snapshots and removes what they replace |
//! | `reconcile`, `replay`, `restore` | what a start does |
//! | `record`, `change`, `names` | the format |
//! | `verify`, `manage` | whether all of it is so, and its end |

mod capture;
mod change;
mod error;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod history;
mod hook;
mod keeper;
mod ledger;
mod manage;
mod names;
mod opening;
mod options;
mod progress;
mod prune;
mod reconcile;
mod record;
mod replay;
mod restore;
mod snapshot;
mod store;
mod table;
mod upload;
mod verify;

use std::{sync::Arc, thread::JoinHandle};

use rusqlite::Connection;
use tokio::sync::watch;

use self::progress::Shared;
pub use self::{
    error::JournalError,
    manage::{drop_journal, survey_journal, verify_journal},
    options::{JournalOptions, JournalRole, JournalStatus},
    store::{JournalCreation, JournalStore, JournalStoreError},
    verify::JournalReport,
};
pub(super) use self::{hook::Hook, opening::Opening};
use crate::MetadataError;

/// The journal of an open store. Dropping it ends its threads; what is not stored then is kept in the database.
#[derive(Debug)]
pub(super) struct Journal {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

impl Journal {
    /// Completes when everything that a reader could see until now is stored.
    pub(super) async fn settled(&self, operation: &'static str) -> crate::Result<()> {
        self.shared.settled().await.map_err(|error| unavailable(operation, error))
    }

    /// Completes when the journal is lost, with the reason.
    pub(super) async fn lost(&self) -> Arc<JournalError> {
        let progress = self.shared.until(|progress| progress.fault.is_some()).await;
        progress.fault.unwrap_or_else(|| Arc::new(JournalError::Stopping))
    }

    /// Makes its threads end.
    pub(super) fn end(&self) {
        self.stop.send_replace(true);
    }

    pub(super) fn status(&self) -> JournalStatus {
        JournalStatus::of(self.shared.now())
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.end();
        for thread in self.threads.drain(..) {
            // The panic that ended it has been reported already.
            let _ = thread.join();
        }
        self.shared.fail(Arc::new(JournalError::Stopping));
    }
}

/// Whether a database has a journal.
pub(super) fn is_journalled(connection: &Connection) -> rusqlite::Result<bool> {
    ledger::state(connection).map(|state| state.is_some())
}

/// What the journal's trouble means for whoever asked for `operation`.
pub(super) fn unavailable(operation: &'static str, error: Arc<JournalError>) -> MetadataError {
    MetadataError::Unavailable { operation, source: Box::new(error) }
}
