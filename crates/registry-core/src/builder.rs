//! What may be chosen about a registry, and the defaults.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use registry_api::{
    AccessLog, App, Check, Health, MeteredMetadata, MeteredStore, Metrics, RunningUploads, ServeOptions,
    Settings,
};
use registry_auth::{AllowAll, Authenticator, Authorizer, NoAuthentication};
use registry_metadata::{JournalOptions, JournalStore, MetadataStore, Options, SqliteStore, SystemClock};
#[cfg(feature = "postgres")]
use registry_metadata::{PostgresOptions, PostgresStore};
use registry_storage::{Access, BlobStore, Durability, FilesystemOptions, FilesystemStore, MemoryStore};

use crate::{
    Beside, Collecting, Journal, JournalObjects, OpenError, Purge, Registry, identity,
    journal::{open_beside, open_database},
};

/// The database's name below the root.
const DATABASE: &str = "metadata.sqlite";

/// Collects what a registry is made of. Without any choice it lives in memory, and anybody may do anything.
#[derive(Debug)]
pub struct Builder {
    place: Place,
    durability: Durability,
    database: Option<PathBuf>,
    journal: Option<JournalOptions>,
    #[cfg(feature = "postgres")]
    postgres: Option<PostgresOptions>,
    options: Options,
    authenticator: Arc<dyn Authenticator>,
    authorizer: Arc<dyn Authorizer>,
    settings: Settings,
    serve: ServeOptions,
    checks: Vec<Check>,
    purge: Option<Purge>,
    collecting: Option<Collecting>,
}

/// Where bytes and metadata live.
#[derive(Debug)]
enum Place {
    Memory,
    Filesystem(PathBuf),
    Given { store: Option<Arc<dyn BlobStore>>, metadata: Option<Arc<dyn MetadataStore>> },
}

impl Default for Builder {
    fn default() -> Self {
        Builder {
            place: Place::Memory,
            durability: Durability::Full,
            database: None,
            journal: None,
            #[cfg(feature = "postgres")]
            postgres: None,
            options: Options::default(),
            authenticator: Arc::new(NoAuthentication),
            authorizer: Arc::new(AllowAll),
            settings: Settings { access_log: false, ..Settings::default() },
            serve: ServeOptions::default(),
            checks: Vec::new(),
            purge: Some(Purge::default()),
            collecting: Some(Collecting::default()),
        }
    }
}

impl Builder {
    /// Keeps everything in memory, until the process ends. This is the default.
    pub fn memory(self) -> Self {
        Builder { place: Place::Memory, ..self }
    }

    /// Keeps everything below a folder, which is made if it is absent: bytes in `store/`, metadata in
    /// `metadata.sqlite`.
    pub fn filesystem(self, root: impl Into<PathBuf>) -> Self {
        Builder { place: Place::Filesystem(root.into()), ..self }
    }

    /// Whether what is acknowledged survives a power cut ([`Durability::Full`], the default), or only a crash of the
    /// process. Counts for [`filesystem`](Self::filesystem).
    pub fn durability(self, durability: Durability) -> Self {
        Builder { durability, ..self }
    }

    /// Puts the database elsewhere than below the root. It must not be on a network file system. Counts for
    /// [`filesystem`](Self::filesystem).
    pub fn database(self, path: impl Into<PathBuf>) -> Self {
        Builder { database: Some(path.into()), ..self }
    }

    /// Keeps everything that the database knows in the store as well, so that it survives the loss of the disk that the
    /// database lies on. Counts for [`filesystem`](Self::filesystem), where the store may lie on another disk than the
    /// [`database`](Self::database).
    pub fn journal(self, journal: Option<JournalOptions>) -> Self {
        Builder { journal, ..self }
    }

    /// Keeps metadata in a PostgreSQL database, which any number of nodes may share if they share the store of bytes too.
    #[cfg(feature = "postgres")]
    pub fn postgresql(self, postgres: PostgresOptions) -> Self {
        Builder { postgres: Some(postgres), ..self }
    }

    /// Keeps bytes in a store of your own; [`metadata`](Self::metadata) must be given as well, or a PostgreSQL database.
    pub fn store(self, store: Arc<dyn BlobStore>) -> Self {
        let metadata = match self.place {
            Place::Given { metadata, .. } => metadata,
            _ => None,
        };
        Builder { place: Place::Given { store: Some(store), metadata }, ..self }
    }

    /// Keeps metadata in a store of your own; [`store`](Self::store) must be given as well.
    pub fn metadata(self, metadata: Arc<dyn MetadataStore>) -> Self {
        let store = match self.place {
            Place::Given { store, .. } => store,
            _ => None,
        };
        Builder { place: Place::Given { store, metadata: Some(metadata) }, ..self }
    }

    /// How long clients may rely on what they were told, and how long deleted content can come back.
    pub fn options(self, options: Options) -> Self {
        Builder { options, ..self }
    }

    /// Finds out who is asking. By default everybody is anonymous.
    pub fn authenticator(self, authenticator: Arc<dyn Authenticator>) -> Self {
        Builder { authenticator, ..self }
    }

    /// Decides what they may do. By default anything.
    pub fn authorizer(self, authorizer: Arc<dyn Authorizer>) -> Self {
        Builder { authorizer, ..self }
    }

    /// How the API behaves.
    pub fn settings(self, settings: Settings) -> Self {
        Builder { settings, ..self }
    }

    /// How connections are served: TLS, limits, how long a stop may take.
    pub fn serve_options(self, serve: ServeOptions) -> Self {
        Builder { serve, ..self }
    }

    /// Something to check now and then; while it fails, requests are refused.
    pub fn check(mut self, check: Check) -> Self {
        self.checks.push(check);
        self
    }

    /// When uploads that nobody continues are given up; never, if nothing.
    pub fn purge(self, purge: Option<Purge>) -> Self {
        Builder { purge, ..self }
    }

    /// When garbage is collected, and how; never by this process, if nothing.
    pub fn collecting(self, collecting: Option<Collecting>) -> Self {
        Builder { collecting, ..self }
    }

    /// Opens store and database for a command that works beside the process that serves. Makes neither.
    ///
    /// # Errors
    /// [`OpenError::NothingHere`] if there is no database; [`OpenError::OnlyInMemory`] if no other process can see it.
    pub async fn open_beside(self) -> Result<Beside, OpenError> {
        let shared = self.open_shared_database().await?;
        let beside = match &self.place {
            Place::Memory => return Err(OpenError::OnlyInMemory),
            Place::Filesystem(root) if shared.is_some() => {
                let options = FilesystemOptions { access: Access::Beside, ..FilesystemOptions::new(root) };
                let store = Arc::new(FilesystemStore::open(&options)?);
                let (metadata, _) = shared.ok_or(OpenError::Incomplete)?;
                Beside { store, metadata }
            }
            Place::Filesystem(root) => {
                let path = self.database.clone().unwrap_or_else(|| root.join(DATABASE));
                if !path.is_file() {
                    return Err(OpenError::NothingHere { path });
                }
                let options = FilesystemOptions {
                    durability: self.durability,
                    access: Access::Beside,
                    ..FilesystemOptions::new(root)
                };
                let store = Arc::new(FilesystemStore::open(&options)?);
                let (options, journal) = (self.options.clone(), self.journal.as_ref());
                let metadata = open_beside(&path, options, journal, store.clone()).await?;
                Beside { store, metadata }
            }
            Place::Given { store: Some(store), metadata } => {
                let shared = shared.map(|(metadata, _)| metadata);
                let metadata = metadata.clone().or(shared).ok_or(OpenError::Incomplete)?;
                Beside { store: store.clone(), metadata }
            }
            Place::Given { .. } => return Err(OpenError::Incomplete),
        };
        identity::check(&*beside.metadata, &*beside.store).await?;
        Ok(beside)
    }

    /// Opens store and database, and checks that they belong together.
    ///
    /// # Errors
    /// [`OpenError`], which says what to do about it.
    pub async fn open(self) -> Result<Registry, OpenError> {
        let opened = self.open_stores().await?;
        identity::bind(&*opened.metadata, &*opened.store).await?;
        let metrics = Arc::new(Metrics::new());
        let access_log = if self.settings.access_log {
            AccessLog::stdout()
                .map_err(|source| OpenError::System { operation: "can not start the access log", source })?
        } else {
            AccessLog::off()
        };
        let app = App {
            store: Arc::new(MeteredStore::new(opened.store, metrics.clone(), opened.driver)),
            metadata: Arc::new(MeteredMetadata::new(opened.metadata, metrics.clone(), opened.database)),
            authenticator: self.authenticator,
            authorizer: self.authorizer,
            settings: self.settings,
            metrics,
            health: Arc::new(Health::default()),
            access_log,
            uploads: RunningUploads::default(),
        };
        Ok(Registry::new(Arc::new(app), self.serve, self.checks, self.purge, self.collecting, opened.journal))
    }

    /// The place of the database and of its journal, for a look at them beside the registry that serves.
    ///
    /// # Errors
    /// [`OpenError::NoJournal`], if there can be none here.
    pub async fn open_journal_store(&self) -> Result<(PathBuf, Arc<dyn JournalStore>), OpenError> {
        match &self.place {
            Place::Filesystem(root) => {
                let options = FilesystemOptions { access: Access::Beside, ..FilesystemOptions::new(root) };
                let store = FilesystemStore::open(&options)?;
                let path = self.database.clone().unwrap_or_else(|| root.join(DATABASE));
                Ok((path, Arc::new(JournalObjects(Arc::new(store)))))
            }
            Place::Memory | Place::Given { .. } => Err(OpenError::NoJournal),
        }
    }

    async fn open_stores(&self) -> Result<Opened, OpenError> {
        let clock = Arc::new(SystemClock);
        let shared = self.open_shared_database().await?;
        match &self.place {
            Place::Memory => {
                let store = Arc::new(MemoryStore::new());
                let (metadata, database) = match shared {
                    Some(shared) => shared,
                    None => {
                        let metadata = SqliteStore::open_in_memory(self.options.clone(), clock)?;
                        (Arc::new(metadata) as Arc<dyn MetadataStore>, "sqlite")
                    }
                };
                Ok(Opened { store, metadata, driver: "inmemory", database, journal: None })
            }
            Place::Filesystem(root) => {
                make_folder(root)?;
                let options =
                    FilesystemOptions { durability: self.durability, ..FilesystemOptions::new(root) };
                // The store first: its lock says whether another process serves this root, before the database is touched.
                // That holds for a shared database too: a folder is one node's.
                let store = Arc::new(FilesystemStore::open(&options)?);
                if let Some((metadata, database)) = shared {
                    return Ok(Opened { store, metadata, driver: "filesystem", database, journal: None });
                }
                let path = self.database.clone().unwrap_or_else(|| root.join(DATABASE));
                // This also keeps the server of another root away that was told to use the same database.
                let (options, journal) = (self.options.clone(), self.journal.as_ref());
                let metadata = open_database(&path, options, clock, journal, store.clone()).await?;
                Ok(Opened {
                    store,
                    metadata: metadata.clone(),
                    driver: "filesystem",
                    database: "sqlite",
                    journal: journal.map(|_| Journal(metadata)),
                })
            }
            Place::Given { store: Some(store), metadata } => {
                let given = metadata.clone().map(|metadata| (metadata, "given"));
                let (metadata, database) = given.or(shared).ok_or(OpenError::Incomplete)?;
                Ok(Opened { store: store.clone(), metadata, driver: "given", database, journal: None })
            }
            Place::Given { .. } => Err(OpenError::Incomplete),
        }
    }

    /// The database that nodes share, if one was chosen, with its name in measurements.
    #[cfg(feature = "postgres")]
    async fn open_shared_database(&self) -> Result<Option<Database>, OpenError> {
        let Some(postgres) = &self.postgres else { return Ok(None) };
        let metadata = PostgresStore::open(postgres, self.options.clone()).await?;
        Ok(Some((Arc::new(metadata), "postgresql")))
    }

    #[cfg(not(feature = "postgres"))]
    async fn open_shared_database(&self) -> Result<Option<Database>, OpenError> {
        Ok(None)
    }
}

/// A database, with the name under which calls are measured.
type Database = (Arc<dyn MetadataStore>, &'static str);

/// What was opened, with the names under which calls are measured.
struct Opened {
    store: Arc<dyn BlobStore>,
    metadata: Arc<dyn MetadataStore>,
    driver: &'static str,
    database: &'static str,
    journal: Option<Journal>,
}

fn make_folder(path: &Path) -> Result<(), OpenError> {
    std::fs::create_dir_all(path).map_err(|source| OpenError::Folder { path: path.to_owned(), source })
}
