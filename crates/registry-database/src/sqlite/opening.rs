//! Opening a database step by step, so that something can be done in between.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use parking_lot::Mutex;
use rusqlite::Connection;

use super::{
    CommitHook, Readers, Sqlite, Writer, checkpoint::Log, connection, migrate, place, refuse_foreign,
};
use crate::{Clock, OpenError, Owners, SCHEMA};

/// The most connections for reading. More threads than this that read at the same moment wait for each other.
const READERS_MAX: usize = 16;

/// A database that is on its way to being open: it is there and ours, or empty. Blocks in all it does.
pub struct Opening {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    writer: Connection,
    owners: Owners,
}

impl Opening {
    /// Makes the file if it is not there, and looks at it. Nothing in it is changed yet.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn begin(path: &Path, clock: Arc<dyn Clock>) -> Result<Opening, OpenError> {
        place::prepare(path)?;
        let writer = connection::writer(path, &clock).map_err(OpenError::database("open the database"))?;
        refuse_foreign(&writer, path)?;
        let owners = Owners::new(&[&SCHEMA]);
        Ok(Opening { path: path.to_owned(), clock, writer, owners })
    }

    /// The connection that will write.
    pub fn writer(&mut self) -> &mut Connection {
        &mut self.writer
    }

    /// Makes commits durable, and brings the schema up to date.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn migrate(&mut self, owners: &Owners) -> Result<(), OpenError> {
        connection::use_log(&self.writer)?;
        self.owners = *owners;
        migrate(&mut self.writer, owners)
    }

    /// Starts the thread that writes. `hook` follows its commits.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn finish(mut self, hook: Option<Box<dyn CommitHook>>) -> Result<Sqlite, OpenError> {
        let failed = || OpenError::database("open the database");
        let readers = (0..reader_count())
            .map(|_| connection::reader(&self.path, &self.clock).map(|reader| Arc::new(Mutex::new(reader))))
            .collect::<Result<_, _>>()
            .map_err(failed())?;
        let copier = connection::copier(&self.path).map_err(failed())?;
        let log = Log::watch(&mut self.writer, copier)
            .map_err(failed())?
            .map_err(OpenError::system("start the thread that copies the log"))?;
        let is_followed = hook.is_some();
        let writer = Writer::start(Arc::new(Mutex::new(self.writer)), Some(log), hook)
            .map_err(OpenError::system("start the thread that writes"))?;
        let database = Sqlite::new(Readers::new(readers), writer, self.owners);
        Ok(Sqlite { path: Some(self.path), is_followed, ..database })
    }
}

fn reader_count() -> usize {
    thread::available_parallelism().map_or(1, usize::from).clamp(1, READERS_MAX)
}
