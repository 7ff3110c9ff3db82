//! [`SqliteStore`]: metadata in one SQLite file.

mod blobs;
mod checkpoint;
mod claims;
mod connection;
mod error;
mod fault;
mod manifests;
mod migrate;
mod place;
mod put;
mod readers;
mod reclaim;
mod repositories;
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

pub use self::error::OpenError;
use self::{checkpoint::Log, claims::Claims, readers::Readers, writer::Writer};
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
/// [`lock_for_serving`](Self::lock_for_serving). [`expire_uploads`](crate::MetadataStore::expire_uploads) in another
/// process goes by the time of the last save only, so it must leave a session more time than a client needs for what lies
/// between two saves.
///
/// **Durability**: the file has a write-ahead log and every commit is fsynced, except commits of nothing but upload
/// sessions: those are in the system's hands when they are answered, so a power cut can lose the newest. A blob or
/// manifest that was answered is on the disk, with all that was answered before it.
///
/// Dropping the store does what is queued and closes the file.
pub struct SqliteStore {
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
        let failed = || OpenError::database("open the database");
        let mut writer = connection::writer(path, &clock).map_err(failed())?;
        migrate::refuse_foreign(&writer, path)?;
        connection::use_log(&writer)?;
        migrate::migrate(&mut writer)?;
        let readers = (0..reader_count())
            .map(|_| connection::reader(path, &clock).map(|reader| Arc::new(Mutex::new(reader))))
            .collect::<Result<_, _>>()
            .map_err(failed())?;
        let copier = connection::copier(path).map_err(failed())?;
        let log = Log::watch(&mut writer, copier)
            .map_err(failed())?
            .map_err(OpenError::system("start the thread that copies the log"))?;
        let writer = Arc::new(Mutex::new(writer));
        Self::start(Some(path.to_owned()), writer, Some(log), Readers::new(readers), options)
    }

    /// A new database in memory, which is gone when the store is dropped. Reads and writes wait for each other.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_in_memory(options: Options, clock: Arc<dyn Clock>) -> Result<SqliteStore, OpenError> {
        let mut connection = connection::memory(&clock).map_err(OpenError::database("open the database"))?;
        migrate::migrate(&mut connection)?;
        let connection = Arc::new(Mutex::new(connection));
        Self::start(None, connection.clone(), None, Readers::new(vec![connection]), options)
    }

    fn start(
        path: Option<PathBuf>,
        writer: Arc<Mutex<rusqlite::Connection>>,
        log: Option<Log>,
        readers: Readers,
        options: Options,
    ) -> Result<SqliteStore, OpenError> {
        let writer = Writer::start(writer, log, options.clone())
            .map_err(OpenError::system("start the thread that writes"))?;
        Ok(SqliteStore {
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
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.path).finish_non_exhaustive()
    }
}

fn reader_count() -> usize {
    thread::available_parallelism().map_or(1, usize::from).clamp(1, READERS_MAX)
}
