//! [`SqliteStore`]: metadata in one SQLite file.

mod audit;
mod blobs;
mod claims;
mod collect;
mod deleted;
mod empty;
mod expiry;
#[path = "../../../registry-journal/src/lib.rs"]
mod journal;
mod manifests;
mod put;
mod quota;
mod readers;
mod reclaim;
mod repositories;
mod restore;
mod retention;
mod store;
mod tags;
#[cfg(test)]
mod tests;
mod uploads;
mod writer;

use std::{fmt, path::Path, sync::Arc};

use registry_database::{
    Sqlite,
    sqlite::{CommitHook, Opening, place, statement},
};

#[cfg(fuzzing)]
pub(crate) use self::journal::fuzzing;
pub use self::journal::{
    JournalCreation, JournalError, JournalOptions, JournalReport, JournalRole, JournalStatus, JournalStore,
    JournalStoreError, drop_journal, survey_journal, verify_journal,
};
use self::{claims::Claims, journal::Journal, readers::Readers, writer::Writer};
use crate::{Clock, OpenError, Options, schema::OWNERS};

/// What stops a piece of work, as the modules of content name it.
mod fault {
    pub(super) use registry_database::Fault;
}

/// Metadata in one SQLite file, or in memory.
///
/// One thread writes, and commits together what is asked for at the same time. Reads happen on the thread that asks, in
/// microseconds if the page is cached.
///
/// **Other processes** may open the same file beside this one, read and write: no row is kept in memory. But only one
/// process may serve uploads, because which sessions are being worked on is known to it alone; see
/// [`lock_for_serving`](Self::lock_for_serving). [`expire_uploads`](crate::Uploads::expire_uploads) in another
/// process goes by the time of the last save only, so it must leave a session more time than a client needs for what lies
/// between two saves.
///
/// **Durability**: the file has a write-ahead log and every commit is fsynced, except commits of nothing but upload
/// sessions: those are in the system's hands when they are answered, so a power cut can lose the newest. A blob or
/// manifest that was answered is on the disk, with all that was answered before it.
///
/// **Loss of the disk** loses the database, unless it is opened [with a journal](Self::open_journalled).
///
/// Dropping the store does what is queued and closes the file; with a journal, what can not be stored at once is refused.
pub struct SqliteStore {
    // Ends first, so that the writer does not wait for it.
    journal: Option<Journal>,
    readers: Readers,
    writer: Writer,
    claims: Claims,
    options: Arc<Options>,
    database: Arc<Sqlite>,
}

impl SqliteStore {
    /// Opens the database at `path`, creates it if it is not there, and brings its schema up to date. Blocks.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(
        path: impl AsRef<Path>,
        options: Options,
        clock: Arc<dyn Clock>,
    ) -> Result<SqliteStore, OpenError> {
        let opening = Opening::begin(path.as_ref(), clock)?;
        Self::open_unjournalled(opening, path.as_ref(), options)
    }

    fn open_unjournalled(
        mut opening: Opening,
        path: &Path,
        options: Options,
    ) -> Result<SqliteStore, OpenError> {
        let is_journalled = journal::is_journalled(opening.writer())
            .map_err(registry_database::OpenError::database("open the database"))?;
        if is_journalled {
            return Err(OpenError::Journalled { path: path.to_owned() });
        }
        opening.migrate(&OWNERS)?;
        Ok(Self::over(opening.finish(None)?, options))
    }

    /// Opens a database every commit of which is also stored in `journal`, so that it survives the loss of this disk: a
    /// database that is not there or is behind is brought up to date first. What is answered is in the journal; see
    /// [`JournalOptions`]. As for any other database, only one process may serve from it, and of those who write to one
    /// journal from databases of their own only one goes on: see [`journal_lost`](Self::journal_lost).
    ///
    /// Needs a Tokio runtime, which must outlive the store. If the future is dropped, opening goes on to its end.
    ///
    /// # Errors
    /// See [`OpenError`]. [`OpenError::Journal`] says that database and journal can not be made one; then neither was
    /// changed but for what was stored or added before that was found out.
    pub async fn open_journalled(
        path: impl AsRef<Path>,
        options: Options,
        clock: Arc<dyn Clock>,
        journal_options: JournalOptions,
        journal: Arc<dyn JournalStore>,
    ) -> Result<SqliteStore, OpenError> {
        let (path, runtime) = (path.as_ref().to_owned(), tokio::runtime::Handle::current());
        let open = move || {
            place::prepare(&path)?;
            let serving = match journal_options.role {
                JournalRole::Serving => Some(place::lock(&path)?),
                JournalRole::Beside => None,
            };
            let journal = journal::Opening::begin(&path, clock.clone(), journal_options, journal, runtime)?;
            let mut opening = Opening::begin(&path, clock)?;
            opening.migrate(&OWNERS)?;
            let (journal, hook) = journal.finish(opening.writer())?;
            let hook: Box<dyn CommitHook> = Box::new(hook);
            let database = opening.finish(Some(hook))?;
            database.serve_with(serving);
            Ok(SqliteStore { journal: Some(journal), ..Self::over(database, options) })
        };
        match tokio::task::spawn_blocking(open).await {
            Ok(opened) => opened,
            Err(error) => Err(OpenError::Database(registry_database::OpenError::System {
                operation: "open the database on a thread of its own",
                source: std::io::Error::other(error),
            })),
        }
    }

    /// A new database in memory, which is gone when the store is dropped. Reads and writes wait for each other.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_in_memory(options: Options, clock: Arc<dyn Clock>) -> Result<SqliteStore, OpenError> {
        Ok(Self::over(Sqlite::open_in_memory(&OWNERS, clock)?, options))
    }

    fn over(database: Sqlite, options: Options) -> SqliteStore {
        let (database, options) = (Arc::new(database), Arc::new(options));
        SqliteStore {
            journal: None,
            readers: Readers::new(database.clone()),
            writer: Writer::new(database.clone(), options.clone()),
            claims: Claims::default(),
            options,
            database,
        }
    }

    /// Makes this the one process that serves from the database, until the store is dropped. Commands that work beside
    /// the server do not ask for this.
    ///
    /// # Errors
    /// [`Served`](registry_database::OpenError::Served) if another process does.
    pub fn lock_for_serving(&self) -> Result<(), OpenError> {
        Ok(self.database.lock_for_serving()?)
    }

    /// How the journal is doing; none without one.
    pub fn journal_status(&self) -> Option<JournalStatus> {
        self.journal.as_ref().map(Journal::status)
    }

    /// Completes when the journal is lost, with the reason: another registry writes to it, or it is damaged. Nothing is
    /// acknowledged any more, and what is read here may be out of date: stop serving. Never completes without a journal.
    pub async fn journal_lost(&self) -> Arc<JournalError> {
        match &self.journal {
            Some(journal) => journal.lost().await,
            None => std::future::pending().await,
        }
    }

    /// Completes when everything that is committed is stored, if there is a journal.
    ///
    /// # Errors
    /// [`Unavailable`](crate::MetadataError::Unavailable), if that does not happen in time.
    pub async fn journal_settled(&self) -> crate::Result<()> {
        self.settled("store the journal").await
    }

    /// Ends the journal before the store is dropped: what is not stored then is kept in the database, and nothing more is
    /// acknowledged. Without a journal nothing happens.
    pub fn end_journal(&self) {
        if let Some(journal) = &self.journal {
            journal.end();
        }
    }

    /// Fails if the journal has ended.
    fn check_journal(&self, operation: &'static str) -> crate::Result<()> {
        match self.journal_status().and_then(|status| status.fault) {
            Some(fault) => Err(journal::unavailable(operation, fault)),
            None => Ok(()),
        }
    }

    async fn settled(&self, operation: &'static str) -> crate::Result<()> {
        match &self.journal {
            Some(journal) => journal.settled(operation).await,
            None => Ok(()),
        }
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.database.path()).finish_non_exhaustive()
    }
}
