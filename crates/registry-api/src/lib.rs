//! The OCI distribution API: route, authorise, handle, render.
//!
//! The crate turns HTTP into calls of a [`BlobStore`](registry_storage::BlobStore) and a
//! [`MetadataStore`](registry_metadata::MetadataStore), and what they answer into HTTP. It is *not* where decisions about
//! content are made: what may be deleted, what a push needs, when a session is taken are the metadata's matter. It knows
//! no configuration files, no SQL and no file layout, and nothing of connections: it is an [`Endpoint`](registry_server::Endpoint) of a
//! [`Server`].
//!
//! Start at [`Route`], which is one variant for each endpoint; then [`Api`], one function from the request
//! to the answer; then the handler of the endpoint in `handlers/`.
//!
//! ```no_run
//! use std::sync::Arc;
//! use registry_server::{Listener, Server, Site};
//! # async fn run(app: registry_api::App) -> std::io::Result<()> {
//! let server = Arc::new(Server::new(Site::of(Arc::new(registry_api::Api::new(Arc::new(app))))));
//! let listener = Listener::tcp("127.0.0.1:0").await?;
//! println!("listening on {}", listener.address()?);
//! let stop = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
//! registry_server::serve(listener, server, Default::default(), stop).await;
//! # Ok(()) }
//! ```
//!
//! | Module | What |
//! |---|---|
//! | `route`, `query` | method and URI to a [`Route`] |
//! | `service` | the way of a request |
//! | `handlers` | one file for each kind of thing: blob, upload, manifest, tags, catalog, referrers |
//! | `session`, `content_range` | an upload while bytes arrive |
//! | `range`, `conditional`, `accept`, `shared` | answers, whole and in part |
//! | `links`, `page`, `response` | headers that several answers share |
//! | `room`, `sizes` | what a manifest takes while it is parsed, and until it is durable |
//! | `error` | the one table from what went wrong to status and code |
//! | `events` | what clients change, for an embedder's sink |
//! | `pulls` | when manifests were pulled, for retention |
//! | `metrics`, `metered`, `vitals` | what operators see of store and database |
//!
//! The protocol is the OCI distribution-spec, release 1.1 and its main branch as of [`SPEC_REVISION`].

#![forbid(unsafe_code)]

mod accept;
mod app;
mod conditional;
mod content_range;
mod detached;
mod error;
mod events;
#[cfg(fuzzing)]
pub mod fuzzing;
mod handlers;
mod links;
mod metered;
mod metrics;
mod observer;
mod origin;
mod page;
mod pulls;
mod query;
pub mod range;
mod redirection;
mod response;
mod room;
mod route;
mod service;
mod session;
mod settings;
mod shared;
mod sizes;
mod vitals;

pub use app::{App, RunningUploads};
pub use events::{Change, EVENTS_WAITING_MAX, Event, EventSink, Events};
pub use metered::{MeteredMetadata, MeteredStore};
pub use metrics::{JournalFigures, Metrics, WebhookFigure, WebhookFigures};
pub use observer::{Observer, Seen, SeenAction};
pub use origin::{Arriving, Fetched, Freshness, Located, Origin, OriginError, OriginTags, ReadArriving};
pub use pulls::Pulls;
pub use redirection::{Redirection, Redirections, Rewritten, ToServer};
pub use registry_types::{RedirectPolicy, ReferencePolicy, RequiredChildren, UrlPattern, UrlPolicy};
pub use route::{PUSH_TAGS_MAX, Page, Route, RouteError, StartUpload};
pub use service::Api;
pub use settings::Settings;
pub use shared::Manifests;
pub use vitals::Vitals;

/// What serves the API, so that an embedder names one crate.
#[doc(no_inline)]
pub use registry_server::{
    AccessLog, Body, Bound, Budget, Check, CheckKind, Debug, Health, Hosts, Limits, Listener, MEMORY_BYTES,
    Mounted, Peer, Probe, ServeOptions, Server, Site, UnknownHosts, serve, serve_all, serve_debug,
};

#[cfg(feature = "tls")]
#[doc(no_inline)]
pub use registry_server::{CertificateSource, ClientAuth, MinimumVersion, Tls, TlsError, TlsOptions};

/// The version of this crate, which is that of the registry.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that was built, if the build was told (`BUILD_COMMIT`).
pub const COMMIT: Option<&str> = option_env!("BUILD_COMMIT");

/// Version and commit as they are shown: `0.1.0`, or `0.1.0 (commit 0123abcd)`.
pub fn version() -> &'static str {
    static TEXT: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| match COMMIT {
        Some(commit) => format!("{VERSION} (commit {commit})"),
        None => VERSION.to_owned(),
    });
    &TEXT
}

/// The commit of the distribution-spec whose text the comments cite.
pub const SPEC_REVISION: &str = "97274622c111";
