//! The journal of a SQLite database: every commit that counts is also among the small objects of a store, from which the
//! database can be made again.
//!
//! For databases of [`registry_database`] on disks that may be lost while the store remains: a container without a volume
//! beside a bucket. It knows what rows change, whose tables they are in and what their owners say of them
//! ([`Schema`](registry_database::Schema)), and objects with names ([`SmallObjects`]). What
//! is in the tables is the caller's.
//!
//! A journal for tables of one's own takes a schema and a place for the objects:
//!
//! ```
//! use std::sync::Arc;
//!
//! use registry_database::{Durability, Fault, Migration, Owners, SCHEMA, Schema, SystemClock};
//! use registry_journal::{JournalOptions, Journalled};
//! use registry_storage::MemoryStore;
//!
//! const NOTES: Schema = Schema {
//!     owner: "notes",
//!     migrations: &[
//!         Migration {
//!             number: 1,
//!             oldest_binary: 1,
//!             sql: "CREATE TABLE store (one INTEGER PRIMARY KEY, format BIGINT NOT NULL,
//!                       oldest_binary BIGINT NOT NULL, created_at BIGINT NOT NULL);
//!                   CREATE TABLE notes (id {id}, text {text} NOT NULL);",
//!         },
//!     ],
//!     volatile: &[],
//!     content: &["notes"],
//! };
//! const OWNERS: Owners = Owners::new(&[&NOTES, &SCHEMA]);
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! let objects = Arc::new(MemoryStore::new()); // a bucket, in earnest
//! let open = |name: &str| {
//!     let (clock, options) = (Arc::new(SystemClock), JournalOptions::default());
//!     registry_journal::open(folder.join(name), OWNERS, clock, options, objects.clone())
//! };
//!
//! let Journalled { journal, database } = open("notes.sqlite").await?;
//! let insert = |connection: &rusqlite::Connection| -> Result<(), Fault> {
//!     connection.execute("INSERT INTO notes (text) VALUES ('buy milk')", [])?;
//!     Ok(())
//! };
//! // Answered when it is on the disk and in the store.
//! database.writer().run("write a note", Durability::Full, (), insert).await?;
//! drop(journal);
//! drop(database);
//!
//! // The disk is lost, and the store is not.
//! let again = open("another.sqlite").await?;
//! let read = |connection: &rusqlite::Connection| -> Result<String, Fault> {
//!     Ok(connection.query_row("SELECT text FROM notes", [], |row| row.get(0))?)
//! };
//! assert_eq!(again.database.readers().read("read a note", read)?, "buy milk");
//! # Ok(()) }
//! ```
//!
//! # What is promised
//!
//! - Work is answered when its commit *and every commit before it* are stored. Only what a power cut may forget as well
//!   ([`Durability::Process`](registry_database::Durability::Process)) does not wait.
//! - A store holds one history. Commits are numbered without gaps and each has the hash of the one before; an entry is
//!   created under the number of its first commit, if there is none of that name. So of two writers one loses, and stops
//!   before it has answered ([`JournalError::Fenced`]).
//! - A process that starts has all of it, or refuses. A database without content is made from the newest snapshot and the
//!   entries after it; one that is behind gets what it lacks; one that is ahead stores what it keeps. One that can not be the
//!   same history is refused, and nothing is overwritten.
//! - A database with a row in any table that any owner calls [content](registry_database::Schema::content) is not empty, and
//!   is never replaced by the journal of another one ([`JournalError::Foreign`]).
//!
//! # What owners must keep
//!
//! Everything but the [volatile tables](registry_database::Schema::volatile) is journalled, row by row. [`problems`] finds
//! what an owner's tables may not be; call it in a test of the program that lists the owners.
//!
//! - No journalled table refers to a volatile one: volatile rows are in no snapshot, and are gone after a loss.
//! - No column that changes at work, such as a claim, a number of attempts or a time of last use, is in a journalled table:
//!   each change would be an object in the store. Such columns belong in a volatile table beside it.
//! - Each journalled table has a primary key, whose values never change, and at most 63 columns. None is virtual, has a trigger
//!   or a foreign key that acts by itself (`CASCADE`): a replay would do twice what those do.
//! - Whatever is due is found from journalled rows alone.
//!
//! # Readers
//!
//! A reader sees what is committed here, also if it is not stored yet. If both process and disk are lost before it is, the
//! next process does not know it: a row that a client read may be gone, before its writer was answered. Making every read
//! wait would make it depend on the store. What is told as a *promise* waits for [`Journal::settled`] first. A client whose
//! write depends on such a read is ordered after it in the journal and acknowledged later.
//!
//! # How
//!
//! | Module | What |
//! |---|---|
//! | `opening` | [`open`], [`Opening`]: from a path to a database with its journal |
//! | `capture`, `hook` | triggers in the writer's memory note what changes; the writer waits for the store |
//! | `ledger` | the commit is kept as a row, in its own transaction |
//! | `upload` | one thread stores kept commits, as many as there are in one entry |
//! | `progress` | how far that is, and the work that waits for it |
//! | `snapshot`, `keeper`, `prune` | another thread makes snapshots and removes what they replace |
//! | `reconcile`, `replay`, `restore` | what a start does |
//! | `record`, `change`, `names`, `history` | the format, and what there is of it |
//! | `store` | the store as threads call it |
//! | `table`, `rules` | which tables are journalled, and what they may be |
//! | `verify`, `manage` | whether all of it is so, and its end |

#![forbid(unsafe_code)]

mod capture;
mod change;
mod error;
/// Private decoders, for fuzz targets.
#[cfg(fuzzing)]
pub mod fuzzing;
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
mod rules;
mod snapshot;
mod store;
mod table;
#[cfg(test)]
mod tests;
mod upload;
mod verify;

use std::{sync::Arc, thread::JoinHandle};

use rusqlite::Connection;
use tokio::sync::watch;

pub use registry_storage::SmallObjects;

use self::progress::Shared;
pub use self::{
    error::{JournalError, OpenError},
    manage::{drop_journal, survey_journal, verify_journal},
    opening::{Journalled, Opening, open},
    options::{JournalOptions, JournalRole, JournalStatus},
    rules::problems,
    verify::JournalReport,
};

/// The journal of an open database. Dropping it ends its threads; what is not stored then is kept in the database, and
/// nothing more is acknowledged.
#[derive(Debug)]
pub struct Journal {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

impl Journal {
    /// Completes when everything that a reader could see until now is stored.
    ///
    /// # Errors
    /// [`JournalError::Behind`], if that does not happen within 30 s; or why the journal has ended.
    pub async fn settled(&self) -> Result<(), Arc<JournalError>> {
        self.shared.settled().await
    }

    /// Completes when the journal is lost, with the reason: another process writes to it, or it is damaged. Nothing is
    /// acknowledged any more, and what is read from the database may be out of date.
    pub async fn lost(&self) -> Arc<JournalError> {
        let progress = self.shared.until(|progress| progress.fault.is_some()).await;
        progress.fault.unwrap_or_else(|| Arc::new(JournalError::Stopping))
    }

    /// Makes its threads end: what is not stored then is kept in the database, and nothing more is acknowledged.
    pub fn end(&self) {
        self.stop.send_replace(true);
    }

    /// How it is doing.
    pub fn status(&self) -> JournalStatus {
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

/// Whether a database has a journal. One that has must not be written to without it.
///
/// # Errors
/// SQLite's.
pub fn is_journalled(connection: &Connection) -> rusqlite::Result<bool> {
    ledger::state(connection).map(|state| state.is_some())
}
