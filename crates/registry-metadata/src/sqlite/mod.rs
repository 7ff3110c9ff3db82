//! [`SqliteStore`]: metadata in one SQLite file.

/// Reads, on the thread that asks. Each statement by itself sees one state of the database.
macro_rules! read {
    ($self:ident, $operation:expr, |$session:ident| $logic:expr) => {
        $self.readers.read($operation, |connection| {
            let $session = &registry_database::sqlite::Session::new(connection);
            registry_database::sqlite::at_once($logic)
        })
    };
}

/// Does something in a transaction, by the thread that writes. Named values are what the logic is given, by reference.
macro_rules! transact {
    ($self:ident, $operation:expr, $durability:ident, [$($name:ident = $value:expr),*], |$tx:ident| $logic:expr) => {{
        $(
            #[allow(clippy::redundant_locals, reason = "a value may have the name already")]
            let $name = $value;
        )*
        let work = move |$tx: &$crate::sqlite::writer::Tx<'_>| {
            $(let $name = &$name;)*
            registry_database::sqlite::at_once($logic)
        };
        $self.writer.run($operation, registry_database::Durability::$durability, (), work).await
    }};
}

/// Writes with one statement. PostgreSQL needs no transaction around it; here it is in one like all that writes.
macro_rules! write_alone {
    ($self:ident, $operation:expr, $durability:ident, [$($name:ident = $value:expr),*], |$session:ident| $logic:expr) => {
        transact!($self, $operation, $durability, [$($name = $value),*], |tx| {
            let $session = tx.session;
            $logic
        })
    };
}

mod blobs;
mod claims;
mod collect;
mod journalled;
mod manifests;
mod namespaces;
mod put;
mod readers;
mod reclaim;
mod store;
mod tags;
#[cfg(test)]
mod tests;
mod tuned;
mod uploads;
mod verify;
mod writer;

use std::{fmt, path::Path, sync::Arc};

use registry_database::{
    Database, Sqlite,
    sqlite::{Opening, statement},
};
use registry_journal::{Journal, is_journalled};

pub use self::journalled::JournalPlace;
use self::{claims::Claims, readers::Readers, writer::Writer};
use crate::{Clock, OpenError, Options, logic::namespaces::LookedAt};

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
    looked_at: Arc<LookedAt>,
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
        let is_journalled = is_journalled(opening.writer())
            .map_err(registry_database::OpenError::database("open the database"))?;
        if is_journalled {
            return Err(OpenError::Journalled { path: path.to_owned() });
        }
        opening.migrate(&options.owners)?;
        namespaces::place_all(opening.writer());
        Ok(Self::over(opening.finish(None)?, options))
    }

    /// A new database in memory, which is gone when the store is dropped. Reads and writes wait for each other.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_in_memory(options: Options, clock: Arc<dyn Clock>) -> Result<SqliteStore, OpenError> {
        Ok(Self::over(Sqlite::open_in_memory(&options.owners, clock)?, options))
    }

    fn over(database: Sqlite, options: Options) -> SqliteStore {
        let (database, options) = (Arc::new(database), Arc::new(options));
        SqliteStore {
            journal: None,
            readers: Readers::new(database.clone()),
            writer: Writer::new(database.clone(), options.clone()),
            claims: Claims::default(),
            looked_at: Arc::default(),
            options,
            database,
        }
    }

    /// The database, for the tables of other owners.
    pub fn database(&self) -> Database {
        Database::Sqlite(self.database.clone())
    }

    /// Makes this the one process that serves from the database, until the store is dropped. Commands that work beside
    /// the server do not ask for this.
    ///
    /// # Errors
    /// [`Served`](registry_database::OpenError::Served) if another process does.
    pub fn lock_for_serving(&self) -> Result<(), OpenError> {
        Ok(self.database.lock_for_serving()?)
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.database.path()).finish_non_exhaustive()
    }
}
