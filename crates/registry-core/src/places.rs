//! Where bytes and metadata are: what was chosen, and opening it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use registry_database::Database;
use registry_events::Recorder;
use registry_journal::JournalOptions;
use registry_metadata::{MetadataStore, Options, SqliteStore, SystemClock};
#[cfg(feature = "postgres")]
use registry_metadata::{PostgresOptions, PostgresStore};
use registry_storage::{
    Access, BlobStore, Durability, FilesystemOptions, FilesystemStore, MemoryStore, SmallObjects,
};

use crate::{
    Beside, Journal, OWNERS, OpenError,
    journalled::{JournalIn, open_beside, open_database},
};

/// The database's name below the root.
const DATABASE: &str = "metadata.sqlite";

/// What was chosen about the places.
#[derive(Debug)]
pub(crate) struct Places {
    pub(crate) bytes: Bytes,
    pub(crate) tables: Tables,
    pub(crate) durability: Durability,
    /// How much of the file system uploads leave free.
    pub(crate) reserve_bytes: Option<u64>,
    pub(crate) journal: Option<JournalOptions>,
    pub(crate) options: Options,
}

/// Where bytes are.
#[derive(Debug)]
pub(crate) enum Bytes {
    Memory,
    Filesystem(PathBuf),
    #[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
    Cloud(Box<crate::cloud::Cloud>),
    Given(Arc<dyn BlobStore>),
}

/// Where metadata is.
#[derive(Debug)]
pub(crate) enum Tables {
    /// In a file; below the root of a file system, if no other is named; in memory, where the bytes are.
    Sqlite(Option<PathBuf>),
    #[cfg(feature = "postgres")]
    Postgresql(Box<PostgresOptions>),
    Given(Arc<dyn MetadataStore>),
}

/// What was opened, with the names under which calls are measured.
pub(crate) struct Opened {
    pub(crate) store: Arc<dyn BlobStore>,
    pub(crate) metadata: Arc<dyn MetadataStore>,
    pub(crate) driver: &'static str,
    pub(crate) database: &'static str,
    /// For the tables of other owners; none where an embedder gave the metadata.
    pub(crate) tables: Option<Database>,
    /// Records events while there is a consumer.
    pub(crate) recorder: Recorder,
    pub(crate) journal: Option<Journal>,
}

/// A store of bytes that was opened.
struct Store {
    blobs: Arc<dyn BlobStore>,
    /// Where a journal can be; not every store has such a place.
    small: Option<Arc<dyn SmallObjects>>,
    driver: &'static str,
}

impl Store {
    fn new<S: BlobStore + SmallObjects + 'static>(store: S, driver: &'static str) -> Self {
        let store = Arc::new(store);
        Store { blobs: store.clone(), small: Some(store), driver }
    }

    fn without_journal(blobs: Arc<dyn BlobStore>, driver: &'static str) -> Self {
        Store { blobs, small: None, driver }
    }
}

impl Default for Places {
    fn default() -> Self {
        Places {
            bytes: Bytes::Memory,
            tables: Tables::Sqlite(None),
            durability: Durability::Full,
            reserve_bytes: None,
            journal: None,
            options: Options::default(),
        }
    }
}

impl Places {
    /// Opens both, to serve from them, and makes what is not there yet.
    pub(crate) async fn open(&self) -> Result<Opened, OpenError> {
        // The store first: its lock says whether another process serves this root, before the database is touched. (A
        // bucket has no lock: that one process serves is then the database's and its journal's matter.)
        let store = self.open_store(Access::Serve).await?;
        let recorder = Recorder::new();
        let (metadata, database, tables, journal): (Arc<dyn MetadataStore>, _, _, _) = match &self.tables {
            Tables::Sqlite(_) if matches!(self.bytes, Bytes::Memory) => {
                let metadata = SqliteStore::open_in_memory(self.options(&recorder), Arc::new(SystemClock))?;
                let tables = metadata.database();
                (Arc::new(metadata), "sqlite", Some(tables), None)
            }
            Tables::Sqlite(path) => {
                let path = self.database_path(path.as_deref())?;
                if let Some(folder) = path.parent() {
                    make_folder(folder)?;
                }
                let (options, journal) = (self.options(&recorder), self.journal_in(&store)?);
                // This also keeps the server of another root away that was told to use the same database.
                let metadata = open_database(&path, options, journal, &*store.blobs).await?;
                let journal = self.journal.is_some().then(|| Journal(metadata.clone()));
                let tables = metadata.database();
                (metadata, "sqlite", Some(tables), journal)
            }
            #[cfg(feature = "postgres")]
            Tables::Postgresql(postgres) => {
                let metadata = PostgresStore::open(postgres, self.options(&recorder)).await?;
                let tables = metadata.database();
                (Arc::new(metadata), "postgresql", Some(tables), None)
            }
            Tables::Given(_) if matches!(self.bytes, Bytes::Memory) => return Err(OpenError::Incomplete),
            Tables::Given(metadata) => (metadata.clone(), "given", None, None),
        };
        look_for_consumers(&recorder, tables.as_ref()).await?;
        Ok(Opened { store: store.blobs, metadata, driver: store.driver, database, tables, recorder, journal })
    }

    /// Opens both for a command that works beside the process that serves. Makes neither.
    pub(crate) async fn open_beside(&self) -> Result<Beside, OpenError> {
        if matches!(self.bytes, Bytes::Memory) {
            return Err(OpenError::OnlyInMemory);
        }
        let path = match &self.tables {
            Tables::Sqlite(path) => Some(self.database_path(path.as_deref())?),
            _ => None,
        };
        if let Some(path) = path.clone().filter(|path| !path.is_file()) {
            return Err(OpenError::NothingHere { path });
        }
        let store = self.open_store(Access::Beside).await?;
        let recorder = Recorder::new();
        let (metadata, database): (Arc<dyn MetadataStore>, _) = match &self.tables {
            Tables::Sqlite(_) => {
                let path = path.ok_or(OpenError::Incomplete)?;
                let (options, journal) = (self.options(&recorder), self.journal_in(&store)?);
                let metadata = open_beside(&path, options, journal, &*store.blobs).await?;
                let database = metadata.database();
                (metadata, Some(database))
            }
            #[cfg(feature = "postgres")]
            Tables::Postgresql(postgres) => {
                let metadata = PostgresStore::open(postgres, self.options(&recorder)).await?;
                let database = metadata.database();
                (Arc::new(metadata), Some(database))
            }
            Tables::Given(metadata) => (metadata.clone(), None),
        };
        look_for_consumers(&recorder, database.as_ref()).await?;
        Ok(Beside { store: store.blobs, metadata, database, recorder })
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

    async fn open_store(&self, access: Access) -> Result<Store, OpenError> {
        Ok(match &self.bytes {
            Bytes::Memory => Store::without_journal(Arc::new(MemoryStore::new()), "inmemory"),
            Bytes::Filesystem(root) => {
                if access == Access::Serve {
                    make_folder(root)?;
                }
                let options = FilesystemOptions {
                    durability: self.durability,
                    access,
                    reserve_bytes: self.reserve_bytes,
                    ..FilesystemOptions::new(root)
                };
                Store::new(FilesystemStore::open(&options)?, "filesystem")
            }
            #[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
            Bytes::Cloud(cloud) => Store::new(cloud.open(access).await?, cloud.driver()),
            Bytes::Given(store) => Store::without_journal(store.clone(), "given"),
        })
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

    fn options(&self, recorder: &Recorder) -> Options {
        Options { owners: OWNERS, recorder: recorder.clone(), ..self.options.clone() }
    }

    /// The journal that was asked for, and where it is to be.
    fn journal_in(&self, store: &Store) -> Result<Option<JournalIn>, OpenError> {
        let Some(journal) = &self.journal else { return Ok(None) };
        let small = store.small.clone().ok_or(OpenError::NoJournal)?;
        Ok(Some((journal.clone(), small)))
    }
}

/// So that nothing is recorded that no consumer takes.
async fn look_for_consumers(recorder: &Recorder, database: Option<&Database>) -> Result<(), OpenError> {
    let Some(database) = database else { return Ok(()) };
    recorder.look(database).await.map_err(|error| OpenError::Metadata(error.into()))
}

fn make_folder(path: &Path) -> Result<(), OpenError> {
    std::fs::create_dir_all(path).map_err(|source| OpenError::Folder { path: path.to_owned(), source })
}
