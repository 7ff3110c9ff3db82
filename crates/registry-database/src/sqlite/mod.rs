//! SQLite: one file, one thread that writes, and connections for reading.

mod checkpoint;
pub mod connection;
mod content;
mod fault;
mod hook;
mod migrate;
mod opening;
mod owners;
pub mod place;
mod readers;
mod session;
pub mod statement;
#[cfg(test)]
pub(crate) mod tests;
mod writer;

use std::{
    fmt,
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;

pub(crate) use self::fault::{explain, is_about_rows, is_unreadable};
pub use self::{
    content::has_content,
    hook::{Answer, CommitHook, HookError},
    migrate::{migrate, refuse_foreign},
    opening::Opening,
    owners::tables_there,
    readers::Readers,
    session::{Session, at_once},
    writer::Writer,
};
use crate::{Clock, OpenError, Owners};

/// A SQLite database in one file, or in memory.
///
/// One thread writes, and commits together what is asked for at the same time. Reads happen on the thread that asks, in
/// microseconds if the page is cached.
///
/// **Other processes** may open the same file beside this one, read and write.
///
/// **Durability**: the file has a write-ahead log and every commit is fsynced, except commits of nothing but work of
/// [`Durability::Process`](crate::Durability::Process).
///
/// Dropping it does what is queued and closes the file.
pub struct Sqlite {
    // Readers close before the writer, which then copies the log into the file.
    readers: Readers,
    writer: Writer,
    path: Option<PathBuf>,
    serving: Mutex<Option<File>>,
    owners: Owners,
    /// Whether something follows the commits, and so can not do with tables that it has not seen.
    is_followed: bool,
}

impl Sqlite {
    /// Opens the database at `path`, creates it if it is not there, and brings its schema up to date. Blocks.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(path: impl AsRef<Path>, owners: &Owners, clock: Arc<dyn Clock>) -> Result<Sqlite, OpenError> {
        let mut opening = Opening::begin(path.as_ref(), clock)?;
        opening.migrate(owners)?;
        opening.finish(None)
    }

    /// A new database in memory, which is gone when this is dropped. Reads and writes wait for each other.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_in_memory(owners: &Owners, clock: Arc<dyn Clock>) -> Result<Sqlite, OpenError> {
        let mut connection = connection::memory(&clock).map_err(OpenError::database("open the database"))?;
        migrate(&mut connection, owners)?;
        let connection = Arc::new(Mutex::new(connection));
        let writer = Writer::start(connection.clone(), None, None)
            .map_err(OpenError::system("start the thread that writes"))?;
        Ok(Sqlite::new(Readers::new(vec![connection]), writer, *owners))
    }

    fn new(readers: Readers, writer: Writer, owners: Owners) -> Sqlite {
        Sqlite { readers, writer, path: None, serving: Mutex::new(None), owners, is_followed: false }
    }

    /// Connections for reading.
    pub fn readers(&self) -> &Readers {
        &self.readers
    }

    /// The thread that writes.
    pub fn writer(&self) -> &Writer {
        &self.writer
    }

    /// Where the file is; none for a database in memory.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Makes this the one process that serves from the database, until this is dropped. Commands that work beside the
    /// server do not ask for this.
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

    /// As [`lock_for_serving`](Self::lock_for_serving), with a lock that was taken before.
    pub fn serve_with(&self, lock: Option<File>) {
        *self.serving.lock() = lock;
    }
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sqlite").field("path", &self.path).finish_non_exhaustive()
    }
}
