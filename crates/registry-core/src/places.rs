//! Where bytes and metadata are: what was chosen, and opening it.

#[cfg(feature = "sqlite")]
mod sqlite;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use registry_database::Database;
use registry_events::Recorder;
#[cfg(feature = "sqlite")]
use registry_journal::JournalOptions;
use registry_metadata::{MetadataStore, Options};
#[cfg(feature = "postgres")]
use registry_metadata::{PostgresOptions, PostgresStore};
use registry_storage::{
    Access, BlobStore, Durability, FilesystemOptions, FilesystemStore, MemoryStore, OtherKeys, SmallObjects,
};

use crate::{Beside, OWNERS, OpenError, journalled::Journal};

/// What was chosen about the places.
#[derive(Debug)]
pub(crate) struct Places {
    pub(crate) bytes: Bytes,
    pub(crate) tables: Tables,
    pub(crate) durability: Durability,
    /// How much of the file system uploads leave free.
    pub(crate) reserve_bytes: Option<u64>,
    #[cfg(feature = "sqlite")]
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
    #[cfg(feature = "sqlite")]
    /// In a file; below the root of a file system, if no other is named; in memory, where the bytes are.
    Sqlite(Option<PathBuf>),
    /// Not chosen, and there is no default.
    #[cfg(not(feature = "sqlite"))]
    Absent,
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
    /// What other registries keep in the store; not every store has that.
    #[cfg_attr(not(feature = "import"), allow(dead_code))]
    pub(crate) keys: Option<Arc<dyn OtherKeys>>,
}

/// The metadata of what was opened.
struct OpenedTables {
    metadata: Arc<dyn MetadataStore>,
    name: &'static str,
    database: Option<Database>,
    journal: Option<Journal>,
}

/// A store of bytes that was opened.
struct Store {
    blobs: Arc<dyn BlobStore>,
    /// Where a journal can be; not every store has such a place.
    #[cfg_attr(not(feature = "sqlite"), allow(dead_code))]
    small: Option<Arc<dyn SmallObjects>>,
    keys: Option<Arc<dyn OtherKeys>>,
    driver: &'static str,
}

impl Store {
    fn new<S: BlobStore + SmallObjects + OtherKeys + 'static>(store: S, driver: &'static str) -> Self {
        let store = Arc::new(store);
        Store { blobs: store.clone(), small: Some(store.clone()), keys: Some(store), driver }
    }

    fn without_journal(blobs: Arc<dyn BlobStore>, driver: &'static str) -> Self {
        Store { blobs, small: None, keys: None, driver }
    }
}

impl Default for Places {
    fn default() -> Self {
        Places {
            bytes: Bytes::Memory,
            #[cfg(feature = "sqlite")]
            tables: Tables::Sqlite(None),
            #[cfg(not(feature = "sqlite"))]
            tables: Tables::Absent,
            durability: Durability::Full,
            reserve_bytes: None,
            #[cfg(feature = "sqlite")]
            journal: None,
            options: Options::default(),
        }
    }
}

impl Places {
    /// Opens both, to serve from them, and makes what is not there yet. `adopts`: the store may be another registry's.
    pub(crate) async fn open(&self, adopts: bool) -> Result<Opened, OpenError> {
        // The store first: its lock says whether another process serves this root, before the database is touched. (A
        // bucket has no lock: that one process serves is then the database's and its journal's matter.)
        let store = self.open_store(if adopts { Access::Adopt } else { Access::Serve }).await?;
        let recorder = Recorder::new();
        let options = self.options(&recorder);
        let OpenedTables { metadata, name, database, journal } = self.open_tables(options, &store).await?;
        look_for_consumers(&recorder, database.as_ref()).await?;
        Ok(Opened {
            store: store.blobs,
            metadata,
            driver: store.driver,
            database: name,
            tables: database,
            recorder,
            journal,
            keys: store.keys,
        })
    }

    /// Opens both for a command that works beside the process that serves. Makes neither.
    pub(crate) async fn open_beside(&self) -> Result<Beside, OpenError> {
        Ok(self.open_beside_with_keys().await?.0)
    }

    /// A store that is only looked at, whatever it is, and what other registries keep in it.
    #[cfg(feature = "import")]
    pub(crate) async fn look(&self) -> Result<(Arc<dyn BlobStore>, Option<Arc<dyn OtherKeys>>), OpenError> {
        let store = self.open_store(Access::Look).await?;
        Ok((store.blobs, store.keys))
    }

    /// As [`open_beside`](Self::open_beside), with what other registries keep in the store.
    pub(crate) async fn open_beside_with_keys(
        &self,
    ) -> Result<(Beside, Option<Arc<dyn OtherKeys>>), OpenError> {
        if matches!(self.bytes, Bytes::Memory) {
            return Err(OpenError::OnlyInMemory);
        }
        #[cfg(feature = "sqlite")]
        self.expect_file()?;
        let store = self.open_store(Access::Beside).await?;
        let recorder = Recorder::new();
        let options = self.options(&recorder);
        let OpenedTables { metadata, database, .. } = match &self.tables {
            #[cfg(feature = "sqlite")]
            Tables::Sqlite(path) => self.open_sqlite_beside(path.as_deref(), options, &store).await?,
            _ => self.open_tables(options, &store).await?,
        };
        look_for_consumers(&recorder, database.as_ref()).await?;
        // A journal follows the tables that were there when the database was opened: it would know nothing of events in later ones.
        if let Some(database) = &database
            && (recorder.has_tables() || !self.is_journalled())
        {
            tokio::spawn(registry_events::keep_informed(database.clone(), &recorder));
        }
        Ok((Beside { store: store.blobs, metadata, database, recorder }, store.keys))
    }

    fn is_journalled(&self) -> bool {
        #[cfg(feature = "sqlite")]
        return self.journal.is_some();
        #[cfg(not(feature = "sqlite"))]
        false
    }

    #[cfg_attr(
        not(feature = "sqlite"),
        allow(unused_variables, reason = "a database of an embedder's has options of its own")
    )]
    async fn open_tables(&self, options: Options, store: &Store) -> Result<OpenedTables, OpenError> {
        match &self.tables {
            #[cfg(feature = "sqlite")]
            Tables::Sqlite(path) => self.open_sqlite(path.as_deref(), options, store).await,
            #[cfg(not(feature = "sqlite"))]
            Tables::Absent => Err(OpenError::MetadataMissing),
            #[cfg(feature = "postgres")]
            Tables::Postgresql(postgres) => {
                let metadata = PostgresStore::open(postgres, options).await?;
                let database = Some(metadata.database());
                Ok(OpenedTables { metadata: Arc::new(metadata), name: "postgresql", database, journal: None })
            }
            Tables::Given(_) if matches!(self.bytes, Bytes::Memory) => Err(OpenError::Incomplete),
            Tables::Given(metadata) => {
                Ok(OpenedTables { metadata: metadata.clone(), name: "given", database: None, journal: None })
            }
        }
    }

    async fn open_store(&self, access: Access) -> Result<Store, OpenError> {
        Ok(match &self.bytes {
            Bytes::Memory => Store::without_journal(Arc::new(MemoryStore::new()), "inmemory"),
            Bytes::Filesystem(root) => {
                if matches!(access, Access::Serve | Access::Adopt) {
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

    fn options(&self, recorder: &Recorder) -> Options {
        Options { owners: OWNERS, recorder: recorder.clone(), ..self.options.clone() }
    }
}

/// So that nothing is recorded that no consumer takes.
async fn look_for_consumers(recorder: &Recorder, database: Option<&Database>) -> Result<(), OpenError> {
    let Some(database) = database else { return Ok(()) };
    recorder.refresh(database).await.map_err(|error| OpenError::Metadata(error.into()))
}

fn make_folder(path: &Path) -> Result<(), OpenError> {
    std::fs::create_dir_all(path).map_err(|source| OpenError::Folder { path: path.to_owned(), source })
}
