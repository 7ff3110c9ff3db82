//! What may be chosen about a registry, and the defaults.

use std::{path::PathBuf, sync::Arc};

use registry_api::{
    Api, App, EventSink, Events, Manifests, MeteredMetadata, MeteredStore, Metrics, Pulls, RunningUploads,
    Settings,
};
use registry_auth::{AllowAll, AnonymousAccess, Authenticated, Authenticator, Authorizer, NoAuthentication};
#[cfg(feature = "sqlite")]
use registry_journal::{JournalOptions, SmallObjects};
#[cfg(feature = "postgres")]
use registry_metadata::PostgresOptions;
use registry_metadata::{MetadataStore, Options};
use registry_server::{AccessLog, Budget, Check, Endpoint, ServeOptions, Server, Site, UnknownHosts};
use registry_storage::{BlobStore, Durability};

#[cfg(feature = "acme")]
use crate::acme::AcmeSettings;
#[cfg(feature = "webhooks")]
use crate::webhooks::{ToReceivers, WebhookSettings};
#[cfg(feature = "webhooks")]
use registry_api::Observer;

#[cfg(feature = "import")]
use crate::importing;

use crate::{
    Beside, Collecting, OpenError, Purge, Registry, Retaining, identity,
    places::{Bytes, Opened, Places, Tables},
    registry::{Background, Served, Task},
};

/// Collects what a registry is made of. Without any choice it lives in memory, and anybody may do anything.
#[derive(Debug)]
pub struct Builder {
    pub(crate) places: Places,
    authenticator: Option<Arc<dyn Authenticator>>,
    authorizer: Option<Arc<dyn Authorizer>>,
    is_meant_open: bool,
    pub(crate) settings: Settings,
    serve: ServeOptions,
    checks: Vec<Check>,
    mounted: Vec<(String, Arc<dyn Endpoint>)>,
    tasks: Vec<Task>,
    sinks: Vec<Arc<dyn EventSink>>,
    #[cfg(feature = "acme")]
    acme: Option<AcmeSettings>,
    #[cfg(feature = "webhooks")]
    webhooks: Option<WebhookSettings>,
    #[cfg(feature = "mirror")]
    mirror: Option<registry_proxy::ProxyOptions>,
    purge: Option<Purge>,
    collecting: Option<Collecting>,
    retaining: Option<Retaining>,
    #[cfg(feature = "import")]
    imports: bool,
}

impl Default for Builder {
    fn default() -> Self {
        Builder {
            places: Places::default(),
            authenticator: None,
            authorizer: None,
            is_meant_open: false,
            settings: Settings::default(),
            serve: ServeOptions::default(),
            checks: Vec::new(),
            mounted: Vec::new(),
            tasks: Vec::new(),
            sinks: Vec::new(),
            #[cfg(feature = "acme")]
            acme: None,
            #[cfg(feature = "webhooks")]
            webhooks: None,
            #[cfg(feature = "mirror")]
            mirror: None,
            purge: Some(Purge::default()),
            collecting: Some(Collecting::default()),
            retaining: None,
            #[cfg(feature = "import")]
            imports: false,
        }
    }
}

impl Builder {
    /// Keeps everything in memory, until the process ends. This is the default. Metadata is in SQLite, unless
    /// something else is chosen.
    pub fn memory(self) -> Self {
        self.bytes(Bytes::Memory)
    }

    /// Keeps everything below a folder, which is made if it is absent: bytes in `store/`, metadata in
    /// `metadata.sqlite` (feature `sqlite`), unless something else is chosen.
    pub fn filesystem(self, root: impl Into<PathBuf>) -> Self {
        self.bytes(Bytes::Filesystem(root.into()))
    }

    /// Whether what is acknowledged survives a power cut ([`Durability::Full`], the default), or only a crash of the
    /// process. Counts for [`filesystem`](Self::filesystem).
    pub fn durability(mut self, durability: Durability) -> Self {
        self.places.durability = durability;
        self
    }

    /// How much of the file system uploads leave free, in bytes, so that the database and whatever else lies there goes on;
    /// None, the default, is 256 MiB but at most a twentieth of it. Counts for [`filesystem`](Self::filesystem).
    pub fn reserve(mut self, reserve_bytes: Option<u64>) -> Self {
        self.places.reserve_bytes = reserve_bytes;
        self
    }

    /// Keeps bytes in a bucket of S3, or of what speaks its language; [`database`](Self::database) must be given as well.
    #[cfg(feature = "s3")]
    pub fn s3(self, options: registry_storage::S3Options) -> Self {
        self.bytes(Bytes::Cloud(Box::new(crate::cloud::Cloud::S3(options))))
    }

    /// Keeps bytes in Google Cloud Storage; [`database`](Self::database) must be given as well.
    #[cfg(feature = "gcs")]
    pub fn gcs(self, options: registry_storage::GcsOptions) -> Self {
        self.bytes(Bytes::Cloud(Box::new(crate::cloud::Cloud::Gcs(options))))
    }

    /// Keeps bytes in Azure Blob Storage; [`database`](Self::database) must be given as well.
    #[cfg(feature = "azure")]
    pub fn azure(self, options: registry_storage::AzureOptions) -> Self {
        self.bytes(Bytes::Cloud(Box::new(crate::cloud::Cloud::Azure(options))))
    }

    #[cfg(feature = "sqlite")]
    /// Puts the database elsewhere than below the root. It must not be on a network file system. Counts for
    /// [`filesystem`](Self::filesystem) and for object stores.
    pub fn database(self, path: impl Into<PathBuf>) -> Self {
        self.tables(Tables::Sqlite(Some(path.into())))
    }

    #[cfg(feature = "sqlite")]
    /// Keeps everything that the database knows in the store as well, so that it survives the loss of the disk that the
    /// database lies on. Counts for object stores and for [`filesystem`](Self::filesystem), where the store may lie on another disk than the
    /// [`database`](Self::database).
    pub fn journal(mut self, journal: Option<JournalOptions>) -> Self {
        self.places.journal = journal;
        self
    }

    /// Keeps metadata in a PostgreSQL database, which any number of nodes may share if they share the store of bytes too.
    #[cfg(feature = "postgres")]
    pub fn postgresql(self, postgres: PostgresOptions) -> Self {
        self.tables(Tables::Postgresql(Box::new(postgres)))
    }

    /// Keeps bytes in a store of your own; [`metadata`](Self::metadata) must be given as well, or a PostgreSQL database.
    pub fn store(self, store: Arc<dyn BlobStore>) -> Self {
        self.bytes(Bytes::Given(store))
    }

    /// Keeps metadata in a store of your own; [`store`](Self::store) must be given as well.
    pub fn metadata(self, metadata: Arc<dyn MetadataStore>) -> Self {
        self.tables(Tables::Given(metadata))
    }

    /// How long clients may rely on what they were told, how long deleted content can come back, and how much there may be.
    pub fn options(mut self, options: Options) -> Self {
        self.places.options = options;
        self
    }

    /// Finds out who is asking. By default everybody is anonymous.
    pub fn authenticator(self, authenticator: Arc<dyn Authenticator>) -> Self {
        Builder { authenticator: Some(authenticator), ..self }
    }

    /// Decides what they may do. By default users may do anything and the anonymous nothing; without an
    /// [`authenticator`](Self::authenticator), where there are no users, anybody may do anything.
    pub fn authorizer(self, authorizer: Arc<dyn Authorizer>) -> Self {
        Builder { authorizer: Some(authorizer), ..self }
    }

    /// Says that it is meant if anybody who reaches the registry may do anything. Without this, and without an
    /// [`authenticator`](Self::authenticator) or [`authorizer`](Self::authorizer), [`Registry::serve`] writes a warning if it
    /// listens on another address than loopback.
    pub fn open_to_everybody(self) -> Self {
        Builder { is_meant_open: true, ..self }
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

    /// Lets an endpoint of your own answer what is at a prefix of the path, or below it, instead of the registry's API. The prefix
    /// of all paths ([`Settings::prefix`]) is taken off before.
    pub fn mount(mut self, prefix: &str, endpoint: Arc<dyn Endpoint>) -> Self {
        self.mounted.push((prefix.to_owned(), endpoint));
        self
    }

    /// Runs work of your own while the registry is served. It is dropped when serving ends, after the last request. `name` stands in
    /// each line that it logs, as `task`.
    pub fn background(mut self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) -> Self {
        self.tasks.push(Task { name, work: Box::pin(work) });
        self
    }

    /// Tells a sink of your own what clients change. What is told, and what may be lost, is said at [`EventSink`].
    pub fn events(mut self, sink: Arc<dyn EventSink>) -> Self {
        self.sinks.push(sink);
        self
    }

    /// Tells receivers of events: those of the settings, and those that were added to the database. Not where the
    /// [metadata](Self::metadata) is a store of your own.
    #[cfg(feature = "webhooks")]
    pub fn webhooks(mut self, webhooks: WebhookSettings) -> Self {
        self.webhooks = Some(webhooks);
        self
    }

    /// Orders certificates for hosts of this registry, and has them ready for [TLS](Self::serve_options) that asks
    /// [`AcmeSettings::certificates`]. Not where the [metadata](Self::metadata) is a store of your own.
    #[cfg(feature = "acme")]
    pub fn acme(mut self, acme: AcmeSettings) -> Self {
        self.acme = Some(acme);
        self
    }

    /// Fetches what is asked for of other registries, and keeps it.
    #[cfg(feature = "mirror")]
    pub fn mirror(mut self, options: registry_proxy::ProxyOptions) -> Self {
        self.mirror = Some(options);
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

    /// By which policies images go, and how often; never by this process, if nothing.
    pub fn retaining(self, retaining: Option<Retaining>) -> Self {
        Builder { retaining, ..self }
    }

    /// Imports the data of a Go registry that is in the store when the registry is [opened](Self::open), once and for all: before it
    /// serves, and so that clients may change it from then on.
    #[cfg(feature = "import")]
    pub fn import(self, imports: bool) -> Self {
        Builder { imports, ..self }
    }

    /// Opens store and database for a command that works beside the process that serves. Makes neither.
    ///
    /// # Errors
    /// [`OpenError::NothingHere`] if there is no database; [`OpenError::OnlyInMemory`] if no other process can see it.
    pub async fn open_beside(self) -> Result<Beside, OpenError> {
        let beside = self.places.open_beside().await?;
        identity::check(&*beside.metadata, &*beside.store).await?;
        Ok(beside)
    }

    /// Opens store and database, and checks that they belong together.
    ///
    /// # Errors
    /// [`OpenError`], which says what to do about it.
    pub async fn open(self) -> Result<Registry, OpenError> {
        // An upload that no client goes on with is given back soon where space is counted.
        let has_quotas = !self.places.options.quotas.is_empty();
        let purge = self.purge.map(|purge| if has_quotas { purge.each_hour() } else { purge });
        #[cfg(feature = "import")]
        let imports = self.imports;
        #[cfg(not(feature = "import"))]
        let imports = false;
        let opened = open_places(self.places, imports, &self.settings).await?;
        #[cfg(feature = "webhooks")]
        let has_callbacks = self.webhooks.as_ref().is_some_and(|settings| settings.callbacks_below.is_some());
        #[cfg(feature = "webhooks")]
        let webhooks = match (self.webhooks, &opened.tables) {
            (Some(settings), Some(database)) => {
                let is_open = self.authenticator.is_none() && self.authorizer.is_none();
                Some(settings.start(database, &opened.recorder, &opened.metadata, is_open).await?)
            }
            _ => None,
        };
        #[cfg(feature = "webhooks")]
        let observer = webhooks.clone().map(|webhooks| Arc::new(ToReceivers(webhooks)) as Arc<dyn Observer>);
        #[cfg(not(feature = "webhooks"))]
        let observer = None;
        let budget = Budget::of_memory(self.settings.memory_bytes);
        let counted = Arc::new(registry_server::Metrics::new().with_budget(&budget));
        let metrics = Arc::new(Metrics::new(counted.clone()));
        let access_log = access_log(&self.settings)?;
        // Without users, being reached is all that a request needs: then it matters by which name.
        let unknown_hosts = match self.authenticator {
            Some(_) => UnknownHosts::Serve,
            None => self.settings.unknown_hosts,
        };
        let hosts = self.settings.known_hosts(unknown_hosts);
        let is_open = self.authenticator.is_none() && self.authorizer.is_none() && !self.is_meant_open;
        let authorizer = self.authorizer.unwrap_or_else(|| usual_authorizer(self.authenticator.is_some()));
        let (trusted_proxies, rate_limits) =
            (self.settings.trusted_proxies.clone(), self.settings.rate_limits);
        let mut tasks = self.tasks;
        let store: Arc<dyn BlobStore> =
            Arc::new(MeteredStore::new(opened.store, metrics.clone(), opened.driver));
        let metadata: Arc<dyn MetadataStore> =
            Arc::new(MeteredMetadata::new(opened.metadata, metrics.clone(), opened.database));
        #[cfg(feature = "mirror")]
        let origin = match self.mirror {
            Some(options) => {
                let (origin, task) = crate::mirror::start(options, &store, &metadata, &counted)?;
                tasks.extend(task);
                Some(origin)
            }
            None => None,
        };
        #[cfg(not(feature = "mirror"))]
        let origin = None;
        let app = Arc::new(App {
            store,
            metadata,
            authenticator: self.authenticator.unwrap_or_else(|| Arc::new(NoAuthentication)),
            authorizer,
            settings: self.settings,
            metrics,
            uploads: RunningUploads::default(),
            pulls: Pulls::default(),
            manifests: Manifests::default(),
            events: Events::to(self.sinks),
            observer,
            origin,
        });
        let mut site = Site::of(Arc::new(Api::new(app.clone()))).behind(&app.settings.prefix);
        #[cfg(feature = "webhooks")]
        if let Some(webhooks) = webhooks.as_ref().filter(|_| has_callbacks) {
            site = site.mount(crate::callbacks::PATH, crate::callbacks::endpoint(webhooks));
        }
        for (prefix, endpoint) in self.mounted {
            site = site.mount(&prefix, endpoint);
        }
        let mut server = Server::new(site);
        server.budget = budget;
        server.hosts = hosts;
        server.metrics = counted;
        server.access_log = access_log;
        server.trusted_proxies = trusted_proxies;
        server.limit_rates(rate_limits);
        #[cfg(feature = "acme")]
        if let Some(acme) = self.acme {
            let database = opened.tables.as_ref().ok_or(OpenError::AcmeWithoutDatabase)?;
            tasks.extend(acme.start(database, &server.metrics).await?);
        }
        if let Some(database) = opened.tables.clone() {
            let watch = registry_events::watch(database.clone(), opened.recorder.clone());
            tasks.push(Task { name: "events", work: Box::pin(watch) });
            #[cfg(feature = "webhooks")]
            if let Some(webhooks) = webhooks.clone() {
                let show = crate::webhooks::show(webhooks, database, opened.recorder.clone(), app.clone());
                tasks.push(Task { name: "metrics of webhooks", work: Box::pin(show) });
            }
        }
        let background = Background { tasks, purge, collecting: self.collecting, retaining: self.retaining };
        let served = Served { app, server: Arc::new(server) };
        let registry = Registry::new(
            served,
            self.serve,
            self.checks,
            background,
            opened.journal,
            opened.tables,
            is_open,
        );
        #[cfg(feature = "webhooks")]
        let registry = registry.with_webhooks(webhooks);
        Ok(registry)
    }

    #[cfg(feature = "sqlite")]
    /// The place of the database and of its journal, for a look at them beside the registry that serves.
    ///
    /// # Errors
    /// [`OpenError::NoJournal`], if there can be none here.
    pub async fn open_journal_store(&self) -> Result<(PathBuf, Arc<dyn SmallObjects>), OpenError> {
        self.places.open_journal_store().await
    }

    fn bytes(mut self, bytes: Bytes) -> Self {
        self.places.bytes = bytes;
        self
    }

    fn tables(mut self, tables: Tables) -> Self {
        self.places.tables = tables;
        self
    }
}

/// Opens store and database, which belong together, and takes over what is to be imported.
#[cfg_attr(not(feature = "import"), allow(unused_variables, reason = "nothing is imported"))]
async fn open_places(places: Places, imports: bool, settings: &Settings) -> Result<Opened, OpenError> {
    let opened = places.open(imports).await?;
    identity::bind(&*opened.metadata, &*opened.store).await?;
    opened.metadata.begin_quotas().await?;
    #[cfg(feature = "import")]
    if let (true, Some(keys)) = (imports, &opened.keys) {
        let (store, metadata) = (opened.store.clone(), opened.metadata.clone());
        let both = importing::Both { store, keys: keys.clone(), metadata };
        importing::take_over(both, &settings.references).await?;
    }
    Ok(opened)
}

fn access_log(settings: &Settings) -> Result<AccessLog, OpenError> {
    if !settings.access_log {
        return Ok(AccessLog::off());
    }
    let failed = |source| OpenError::System { operation: "can not start the access log", source };
    AccessLog::stdout().map_err(failed)
}

/// What callers may do where the embedder does not say so.
fn usual_authorizer(has_users: bool) -> Arc<dyn Authorizer> {
    match has_users {
        true => Arc::new(Authenticated { anonymous: AnonymousAccess::None }),
        false => Arc::new(AllowAll),
    }
}
