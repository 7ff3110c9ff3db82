//! A database in a file or in memory.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use registry_metadata::{Options, SqliteStore, SystemClock};
use registry_storage::{Access, SmallObjects};

use super::{Bytes, OpenedTables, Places, Store, Tables, make_folder};
use crate::{
    OpenError,
    journalled::{Journal, JournalIn, open_beside, open_database},
};

/// The database's name below the root.
const DATABASE: &str = "metadata.sqlite";

impl Places {
    /// Opens the database to serve from it: in memory, where the bytes are, or in a file.
    pub(super) async fn open_sqlite(
        &self,
        path: Option<&Path>,
        options: Options,
        store: &Store,
    ) -> Result<OpenedTables, OpenError> {
        if matches!(self.bytes, Bytes::Memory) {
            let metadata = SqliteStore::open_in_memory(options, Arc::new(SystemClock))?;
            return Ok(opened(Arc::new(metadata), None));
        }
        let path = self.database_path(path)?;
        if let Some(folder) = path.parent() {
            make_folder(folder)?;
        }
        // This also keeps the server of another root away that was told to use the same database.
        let metadata = open_database(&path, options, self.journal_in(store)?, &*store.blobs).await?;
        let journal = self.journal.is_some().then(|| Journal(metadata.clone()));
        Ok(opened(metadata, journal))
    }

    /// Opens the database beside the process that serves from it.
    pub(super) async fn open_sqlite_beside(
        &self,
        path: Option<&Path>,
        options: Options,
        store: &Store,
    ) -> Result<OpenedTables, OpenError> {
        let path = self.database_path(path)?;
        let metadata = open_beside(&path, options, self.journal_in(store)?, &*store.blobs).await?;
        Ok(opened(metadata, None))
    }

    /// Metadata that know nothing, for a look at what they would become.
    #[cfg(feature = "import")]
    pub(crate) fn empty_metadata(&self) -> Result<Arc<dyn registry_metadata::MetadataStore>, OpenError> {
        let options = Options { owners: crate::OWNERS, ..self.options.clone() };
        Ok(Arc::new(SqliteStore::open_in_memory(options, Arc::new(SystemClock))?))
    }

    /// That the file of the database is there, if it is to be in one.
    pub(super) fn expect_file(&self) -> Result<(), OpenError> {
        let Tables::Sqlite(path) = &self.tables else { return Ok(()) };
        let path = self.database_path(path.as_deref())?;
        if path.is_file() { Ok(()) } else { Err(OpenError::NothingHere { path }) }
    }

    /// The database and the place of its journal, for a look at them beside the registry that serves.
    pub(crate) async fn open_journal_store(&self) -> Result<(PathBuf, Arc<dyn SmallObjects>), OpenError> {
        let Tables::Sqlite(path) = &self.tables else { return Err(OpenError::NoJournal) };
        if matches!(self.bytes, Bytes::Memory | Bytes::Given(_)) {
            return Err(OpenError::NoJournal);
        }
        let path = self.database_path(path.as_deref())?;
        let small = self.open_store(Access::Beside).await?.small.ok_or(OpenError::NoJournal)?;
        Ok((path, small))
    }

    /// Where the file of the database is.
    fn database_path(&self, path: Option<&Path>) -> Result<PathBuf, OpenError> {
        match (&self.bytes, path) {
            (Bytes::Given(_), _) => Err(OpenError::Incomplete),
            (_, Some(path)) => Ok(path.to_owned()),
            (Bytes::Filesystem(root), None) => Ok(root.join(DATABASE)),
            (_, None) => Err(OpenError::DatabaseMissing),
        }
    }

    /// The journal that was asked for, and where it is to be.
    fn journal_in(&self, store: &Store) -> Result<Option<JournalIn>, OpenError> {
        let Some(journal) = &self.journal else { return Ok(None) };
        let small = store.small.clone().ok_or(OpenError::NoJournal)?;
        Ok(Some((journal.clone(), small)))
    }
}

fn opened(metadata: Arc<SqliteStore>, journal: Option<Journal>) -> OpenedTables {
    let database = Some(metadata.database());
    OpenedTables { metadata, name: "sqlite", database, journal }
}
