//! [`SqliteStore`]: metadata in one SQLite file.

mod audit;
mod blobs;
mod checkpoint;
mod claims;
mod collect;
mod connection;
mod deleted;
mod empty;
mod error;
mod expiry;
mod fault;
mod journal;
mod manifests;
mod migrate;
mod place;
mod put;
mod quota;
mod readers;
mod reclaim;
mod repositories;
mod restore;
mod retention;
mod statement;
mod store;
mod tags;
#[cfg(test)]
mod tests;
mod uploads;
mod writer;

use std::{
    fmt,
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use parking_lot::Mutex;
use rusqlite::Connection;

#[cfg(fuzzing)]
pub(crate) use self::journal::fuzzing;
use self::{
    checkpoint::Log,
    claims::Claims,
    journal::{Hook, Journal, Opening},
    readers::Readers,
    writer::Writer,
};
pub use self::{
    error::OpenError,
    journal::{
        JournalCreation, JournalError, JournalOptions, JournalReport, JournalRole, JournalStatus,
        JournalStore, JournalStoreError, drop_journal, survey_journal, verify_journal,
    },
};
use crate::{Clock, Options};

/// The most connections for reading. More threads than this that read at the same moment wait for each other.
const READERS_MAX: usize = 16;

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
    // Readers close before the writer, which then copies the log into the file.
    readers: Readers,
    writer: Writer,
    claims: Claims,
    options: Options,
    path: Option<PathBuf>,
    serving: Mutex<Option<File>>,
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
        let path = path.as_ref();
        place::prepare(path)?;
        Self::open_prepared(path, options, clock, None)
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
            let opening = Opening::begin(&path, clock.clone(), journal_options, journal, runtime)?;
            let store = Self::open_prepared(&path, options, clock, Some(opening))?;
            *store.serving.lock() = serving;
            Ok(store)
        };
        match tokio::task::spawn_blocking(open).await {
            Ok(opened) => opened,
            Err(error) => Err(OpenError::System {
                operation: "open the database on a thread of its own",
                source: std::io::Error::other(error),
            }),
        }
    }

    fn open_prepared(
        path: &Path,
        options: Options,
        clock: Arc<dyn Clock>,
        opening: Option<Opening>,
    ) -> Result<SqliteStore, OpenError> {
        let failed = || OpenError::database("open the database");
        let mut writer = connection::writer(path, &clock).map_err(failed())?;
        migrate::refuse_foreign(&writer, path)?;
        if opening.is_none() && journal::is_journalled(&writer).map_err(failed())? {
            return Err(OpenError::Journalled { path: path.to_owned() });
        }
        connection::use_log(&writer)?;
        migrate::migrate(&mut writer)?;
        let (journal, hook) = opening.map(|opening| opening.finish(&mut writer)).transpose()?.unzip();
        let readers = (0..reader_count())
            .map(|_| connection::reader(path, &clock).map(|reader| Arc::new(Mutex::new(reader))))
            .collect::<Result<_, _>>()
            .map_err(failed())?;
        let copier = connection::copier(path).map_err(failed())?;
        let log = Log::watch(&mut writer, copier)
            .map_err(failed())?
            .map_err(OpenError::system("start the thread that copies the log"))?;
        let writer = Arc::new(Mutex::new(writer));
        let store =
            Self::start(Some(path.to_owned()), writer, Some(log), hook, Readers::new(readers), options)?;
        Ok(SqliteStore { journal, ..store })
    }

    /// A new database in memory, which is gone when the store is dropped. Reads and writes wait for each other.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_in_memory(options: Options, clock: Arc<dyn Clock>) -> Result<SqliteStore, OpenError> {
        let mut connection = connection::memory(&clock).map_err(OpenError::database("open the database"))?;
        migrate::migrate(&mut connection)?;
        let connection = Arc::new(Mutex::new(connection));
        Self::start(None, connection.clone(), None, None, Readers::new(vec![connection]), options)
    }

    fn start(
        path: Option<PathBuf>,
        writer: Arc<Mutex<Connection>>,
        log: Option<Log>,
        hook: Option<Hook>,
        readers: Readers,
        options: Options,
    ) -> Result<SqliteStore, OpenError> {
        let writer = Writer::start(writer, log, hook, options.clone())
            .map_err(OpenError::system("start the thread that writes"))?;
        Ok(SqliteStore {
            journal: None,
            readers,
            writer,
            claims: Claims::default(),
            options,
            path,
            serving: Mutex::new(None),
        })
    }

    /// Makes this the one process that serves from the database, until the store is dropped. Commands that work beside
    /// the server do not ask for this.
    ///
    /// # Errors
    /// [`OpenError::Served`] if another process does.
    pub fn lock_for_serving(&self) -> Result<(), OpenError> {
        let mut serving = self.serving.lock();
        if let (Some(path), None) = (&self.path, &*serving) {
            *serving = Some(place::lock(path)?);
        }
        Ok(())
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
        f.debug_struct("SqliteStore").field("path", &self.path).finish_non_exhaustive()
    }
}

fn reader_count() -> usize {
    thread::available_parallelism().map_or(1, usize::from).clamp(1, READERS_MAX)
}
