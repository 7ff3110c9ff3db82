//! A registry as a configuration describes it.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue};
use registry_api::{Settings, Vitals};
use registry_auth::FirstUser;
use registry_collector::{CollectorOptions, SweepOptions};
use registry_config::{self as config, Certificate, Config, Driver, Listen};
use registry_journal::JournalOptions;
use registry_metadata::{CollectRules, Options};
use registry_server::{Debug, Listener, Tls};

use crate::{
    Beside, Builder, Collecting, OpenError, Purge, Registry, Retaining, authentication,
    authentication::Credentials,
    configured_cloud,
    configured_health::checks,
    configured_hosts::{hosts, unknown_hosts, unknown_hosts_on},
    configured_redirects::redirections,
    configured_tls::{serve_options, tls},
    early::Early,
    selfsigned::SelfSigned,
};

/// What can be read again while a registry serves.
#[derive(Clone, Debug, Default)]
pub struct Reloadable {
    tls: Option<Arc<Tls>>,
    credentials: Option<Credentials>,
}

impl Reloadable {
    /// Reads certificate, key, authorities, password file and keys of tokens again, and logs what came of it. What can not be
    /// used stays as it was. Blocks.
    pub fn reload(&self) {
        if let Some(tls) = &self.tls {
            tls.reload();
        }
        if let Some(credentials) = &self.credentials {
            credentials.reload();
        }
    }
}

/// What a configuration comes to, beside the registry itself.
#[derive(Debug)]
pub struct Configured {
    /// What can be read again.
    pub reloadable: Reloadable,
    /// The builder, ready to be opened.
    pub builder: Builder,
    /// The certificate that was found or made, if the configuration asks for one.
    pub self_signed: Option<SelfSigned>,
    /// The user and password that were made up, for a password file that was absent.
    pub first_user: Option<FirstUser>,
}

/// Makes a builder of a configuration: reads certificates and password files, makes folders, opens no store yet.
///
/// # Errors
/// [`OpenError`], for everything that can not be seen from the configuration alone.
pub async fn configure(config: &Config) -> Result<Configured, OpenError> {
    configure_with(config, &mut Early::default(), true).await
}

/// As [`configure`], with what was opened before. `has_file` says whether somebody wrote a file: without one, a server on
/// loopback answers no host that it does not know.
///
/// # Errors
/// As [`configure`].
pub async fn configure_with(
    config: &Config,
    early: &mut Early,
    has_file: bool,
) -> Result<Configured, OpenError> {
    let address = match &config.http.listen {
        Listen::Tcp(address) => Some(address),
        Listen::Unix(_) => None,
    };
    let unknown_hosts = unknown_hosts_on(config, address, has_file);
    let settings = settings(config).unknown_hosts(unknown_hosts).redirections(redirections(config)?);
    let mut builder = configure_stores(config)?.settings(settings);
    // What is open has been said already, in the words of the configuration.
    builder = builder.open_to_everybody();
    for check in checks(&config.health)? {
        builder = builder.check(check);
    }
    let (builder, credentials, first_user) =
        authentication::configure(builder, &config.auth, early.credentials.take()).await?;
    #[cfg(feature = "acme")]
    let (builder, ordered) = crate::configured_acme::configure(builder, config, early).await?;
    #[cfg(not(feature = "acme"))]
    let ordered = None;
    let (tls, self_signed) = match ordered {
        Some(tls) => (Some(Arc::new(tls)), None),
        None => tls(config, early.tls.take())?,
    };
    let reloadable = Reloadable { tls: tls.clone(), credentials };
    let builder = builder.serve_options(serve_options(config, tls));
    #[cfg(feature = "import")]
    let builder = builder.import(config.storage.import);
    #[cfg(feature = "webhooks")]
    let builder = builder.webhooks(crate::configured_webhooks::settings(config)?);
    #[cfg(feature = "mirror")]
    let builder = crate::configured_mirror::configure(builder, config)?;
    #[cfg(not(feature = "mirror"))]
    if config.mirrors.is_some() {
        return Err(OpenError::NotBuilt { key: "mirrors", feature: "mirror" });
    }
    Ok(Configured { builder, self_signed, first_user, reloadable })
}

/// The part of [`configure`] that says where bytes, database and journal are, and what is done with them now and then: for
/// commands that look at those.
///
/// # Errors
/// [`OpenError`], as for [`configure`].
pub fn configure_stores(config: &Config) -> Result<Builder, OpenError> {
    Ok(places(config)?
        .settings(settings(config))
        .purge(purge(&config.storage.upload_purging))
        .collecting(collecting(&config.gc))
        .retaining(retaining(config)))
}

/// Opens the store and the database that a configuration names, for a command that works beside the process that serves.
///
/// # Errors
/// As [`Builder::open_beside`].
pub async fn open_beside(config: &Config) -> Result<Beside, OpenError> {
    places(config)?.open_beside().await
}

/// How a configuration wants garbage to be collected.
pub fn collector_options(gc: &config::Gc) -> CollectorOptions {
    CollectorOptions {
        rules: CollectRules { untagged: gc.untagged_deleted },
        candidates_per_second: gc.rate.candidates,
        deletes_per_second: gc.rate.deletes,
        ..CollectorOptions::default()
    }
}

/// What a configuration wants to be done with bytes that nobody knows.
pub fn sweep_options(gc: &config::Gc) -> SweepOptions {
    SweepOptions { delete: gc.sweep.delete, unknown_for: gc.sweep.age }
}

/// Where bytes and metadata are, and how long they are kept.
fn places(config: &Config) -> Result<Builder, OpenError> {
    let gc = &config.gc;
    let options = Options {
        lease: gc.lease,
        undelete_window: gc.undelete_window,
        // What a signed URL was handed out for must stay until the last download that it began has ended.
        read_grace: gc.grace + signed_url_lifetime(&config.storage),
        immutable_tags: config.immutable_tags.clone(),
        quotas: config.quotas.clone(),
        owners: crate::OWNERS,
        ..Options::default()
    };
    let builder = Registry::builder().options(options).journal(journal(&config.journal));
    let builder = match &config.storage.driver {
        Driver::InMemory => builder.memory(),
        Driver::Filesystem { root, durability, reserve } => {
            builder.filesystem(root).reserve(*reserve).durability(*durability)
        }
        Driver::S3(_) | Driver::Gcs(_) | Driver::Azure(_) => {
            configured_cloud::place(builder, &config.storage)?
        }
    };
    match &config.metadata {
        config::Metadata::SqliteFile(path) => Ok(builder.database(path)),
        config::Metadata::SqliteMemory => Ok(builder),
        config::Metadata::Postgresql(postgresql) => with_postgresql(builder, postgresql),
    }
}

#[cfg(feature = "postgres")]
fn with_postgresql(builder: Builder, postgresql: &config::Postgresql) -> Result<Builder, OpenError> {
    Ok(builder.postgresql(postgres_options(postgresql)?))
}

#[cfg(not(feature = "postgres"))]
fn with_postgresql(_: Builder, _: &config::Postgresql) -> Result<Builder, OpenError> {
    Err(OpenError::NotBuilt { key: "metadata.postgresql", feature: "postgres" })
}

#[cfg(feature = "postgres")]
pub(crate) fn postgres_options(
    postgresql: &config::Postgresql,
) -> Result<registry_metadata::PostgresOptions, OpenError> {
    let options = postgresql.url.expose().parse::<registry_metadata::PostgresOptions>();
    let options = options.map_err(registry_metadata::OpenError::from)?;
    Ok(options.with_pool(registry_metadata::PoolOptions {
        size: postgresql.pool_size,
        waiting_max: postgresql.pool_waiting_max,
        wait: postgresql.pool_wait,
    }))
}

/// Listens where a configuration says.
///
/// # Errors
/// If that is not possible.
pub async fn listen(config: &Config) -> Result<Listener, OpenError> {
    listen_with(config, &mut Early::default()).await
}

/// As [`listen`], with what was opened before.
///
/// # Errors
/// As [`listen`].
pub async fn listen_with(config: &Config, early: &mut Early) -> Result<Listener, OpenError> {
    let result = match (&config.http.listen, early.main.take()) {
        (_, Some(bound)) => bound.listen(),
        (Listen::Tcp(address), None) => listen_tcp(address).await,
        (Listen::Unix(path), None) => Listener::unix(path),
    };
    let address = listen_address(config);
    result.map_err(|source| OpenError::Listen { address, variable: "REGISTRY_HTTP_ADDR", source })
}

/// Listens where a debug server is to be, with what was opened before.
///
/// # Errors
/// If that is not possible.
pub async fn listen_debug_with(
    debug: &config::DebugServer,
    early: &mut Early,
) -> Result<Listener, OpenError> {
    let result = match early.debug.take() {
        Some(bound) => bound.listen(),
        None => listen_tcp(&debug.address).await,
    };
    let address = debug.address.to_string();
    result.map_err(|source| OpenError::Listen { address, variable: "REGISTRY_HTTP_DEBUG_ADDR", source })
}

/// Where a configuration says to listen, as text.
pub fn listen_address(config: &Config) -> String {
    match &config.http.listen {
        Listen::Tcp(address) => address.to_string(),
        Listen::Unix(path) => path.display().to_string(),
    }
}

/// Listens on a TCP address; without a host on all addresses of the machine.
///
/// # Errors
/// If that is not possible.
pub async fn listen_tcp(address: &config::TcpAddress) -> io::Result<Listener> {
    match address.host.as_str() {
        "" => Listener::tcp_everywhere(address.port).await,
        _ => Listener::tcp(&address.to_string()).await,
    }
}

/// The folder that the data lies in.
pub fn data_folder(config: &Config) -> Option<PathBuf> {
    match &config.storage.driver {
        Driver::Filesystem { root, .. } => Some(root.clone()),
        // Where the database lies, unless it is told to lie elsewhere.
        Driver::S3(_) | Driver::Gcs(_) | Driver::Azure(_) => match &config.metadata {
            config::Metadata::SqliteFile(database) => database.parent().map(PathBuf::from),
            config::Metadata::SqliteMemory | config::Metadata::Postgresql(_) => None,
        },
        Driver::InMemory => None,
    }
}

pub use crate::configured_files::check_files;
#[cfg(feature = "sealed")]
pub use crate::configured_sealed::{key_file, outbound, secrets};
#[cfg(feature = "webhooks")]
pub use crate::configured_webhooks::open_webhooks_beside;

/// The folder of the store, if it is one.
pub fn store_root(config: &Config) -> Option<PathBuf> {
    match &config.storage.driver {
        Driver::Filesystem { root, .. } => Some(root.clone()),
        Driver::S3(_) | Driver::Gcs(_) | Driver::Azure(_) | Driver::InMemory => None,
    }
}

/// Something that the registry writes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The folder for data itself, which may hold files of others too.
    Folder(PathBuf),
    /// A file of the registry's, or a folder with all that is in it.
    Tree(PathBuf),
}

/// What the registry writes to: the folder for data, what it makes there, and what was told to lie elsewhere.
pub fn written_places(config: &Config) -> Vec<Place> {
    let mut places: Vec<Place> = data_folder(config).into_iter().map(Place::Folder).collect();
    places.extend(store_root(config).map(|root| Place::Tree(root.join("store"))));
    if let config::Metadata::SqliteFile(database) = &config.metadata {
        // Its log and its index of the log lie beside it.
        let beside = |suffix: &str| {
            let mut path = database.clone().into_os_string();
            path.push(suffix);
            Place::Tree(PathBuf::from(path))
        };
        places.extend(["", "-wal", "-shm", ".serving"].map(beside));
    }
    if let Some(Certificate::SelfSigned { directory, .. }) =
        config.http.tls.as_ref().map(|tls| &tls.certificate)
    {
        places.extend(directory.clone().map(Place::Tree));
    }
    places
}

fn settings(config: &Config) -> Settings {
    let http = &config.http;
    Settings::default()
        .delete_enabled(config.storage.delete_enabled)
        .read_only(config.storage.read_only)
        .host(http.host.clone())
        .hosts(hosts(http))
        .unknown_hosts(unknown_hosts(config))
        .trusted_proxies(http.trusted_proxies.clone())
        .rate_limits(http.rate_limits)
        .prefix(http.prefix.clone())
        .relative_urls(http.relative_urls)
        .headers(headers(&http.headers))
        .catalog_entries_max(config.catalog_entries_max)
        .tags_entries_max(config.tags_entries_max)
        .manifest_bytes_max(http.limits.manifest_bytes)
        .memory_bytes(http.limits.memory_bytes)
        .blob_bytes_max(http.limits.blob_bytes)
        .chunk_bytes_min(http.limits.chunk_bytes_min)
        .references(config.validation.references.clone())
        .layer_urls(config.validation.urls.clone())
        .body_idle(http.limits.body_idle_timeout)
        .access_log(!config.log.access_log_disabled)
        .classes(config.classes.clone())
        .redirects(config.storage.redirect.policy.clone())
}

/// The health and metrics of a registry, as a configuration wants them shown on an address of their own.
pub fn debug(config: &Config, server: &config::DebugServer, registry: &Registry, has_file: bool) -> Debug {
    let unknown = unknown_hosts_on(config, Some(&server.address), has_file);
    Debug {
        health: registry.server().health.clone(),
        vitals: Arc::new(Vitals::new(registry.app().clone())),
        metrics: registry.server().metrics.clone(),
        metrics_path: server.metrics_path.clone(),
        hosts: Arc::new(registry.app().settings.known_hosts(unknown)),
        is_beyond_loopback: !server.address.is_loopback(),
    }
}

fn signed_url_lifetime(storage: &config::Storage) -> Duration {
    match (&storage.driver, storage.redirect.policy.disabled) {
        (Driver::S3(_) | Driver::Gcs(_) | Driver::Azure(_), false) => storage.redirect.lifetime,
        _ => Duration::ZERO,
    }
}

/// The configuration has checked that they can stand in an answer.
pub(crate) fn headers(pairs: &[(String, Vec<String>)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, values) in pairs {
        for value in values {
            if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
                headers.append(name, value);
            }
        }
    }
    headers
}

fn journal(journal: &config::Journal) -> Option<JournalOptions> {
    journal.enabled.then(|| JournalOptions {
        snapshot_bytes: journal.snapshot_bytes,
        snapshot_entries: journal.snapshot_entries,
        ..JournalOptions::default()
    })
}

fn purge(purging: &config::UploadPurging) -> Option<Purge> {
    let purges = purging.enabled && !purging.dry_run;
    purges.then_some(Purge { age: purging.age, interval: purging.interval })
}

fn collecting(gc: &config::Gc) -> Option<Collecting> {
    gc.enabled.then(|| Collecting {
        interval: gc.interval,
        options: collector_options(gc),
        sweep_interval: (!gc.sweep.interval.is_zero()).then_some(gc.sweep.interval),
        sweep: sweep_options(gc),
    })
}

/// Policies that nobody has seen a preview of do nothing; the configuration has a warning about that.
fn retaining(config: &Config) -> Option<Retaining> {
    let retention = &config.retention;
    let applies = retention.enabled && retention.is_approved() && !config.storage.read_only;
    applies.then(|| Retaining { interval: retention.interval, policies: retention.policies.clone() })
}
