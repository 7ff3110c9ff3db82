//! The OCI distribution API over hyper: route, authorise, handle, render.
//!
//! The crate turns HTTP into calls of a [`BlobStore`](registry_storage::BlobStore) and a
//! [`MetadataStore`](registry_metadata::MetadataStore), and what they answer into HTTP. It is *not* where decisions about
//! content are made: what may be deleted, what a push needs, when a session is taken are the metadata's matter. It knows
//! no configuration files, no SQL and no file layout.
//!
//! Start at [`Route`], which is one variant for each endpoint; then [`Service::respond`], one function from the request
//! to the answer; then the handler of the endpoint in `handlers/`.
//!
//! ```no_run
//! use std::sync::Arc;
//! # async fn run(app: registry_api::App) -> std::io::Result<()> {
//! let listener = registry_api::Listener::tcp("127.0.0.1:0").await?;
//! println!("listening on {}", listener.address()?);
//! let stop = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
//! registry_api::serve(listener, Arc::new(app), Default::default(), stop).await;
//! # Ok(()) }
//! ```
//!
//! | Module | What |
//! |---|---|
//! | `route`, `query` | method and URI to a [`Route`] |
//! | `service` | the way of a request |
//! | `handlers` | one file for each kind of thing: blob, upload, manifest, tags, catalog, referrers |
//! | `session`, `receive`, `content_range` | an upload while bytes arrive |
//! | `body`, `file_body`, `range`, `conditional`, `accept` | answers, whole and in part |
//! | `budget`, `pool`, `addresses`, `descriptors`, `refusals`, `shared`, `release` | what peers can make a node hold at once |
//! | `links`, `page`, `response` | headers that several answers share |
//! | `forwarded`, `hosts` | what proxies say of a request; which hosts are ours, and which web pages may change something |
//! | `error` | the one table from what went wrong to status and code |
//! | `server`, `debug` | listening, TLS, limits, the graceful stop; health and metrics |
//! | `pulls` | when manifests were pulled, for retention |
//! | `metrics`, `holdings`, `metered`, `access_log`, `observed`, `request_id`, `health` | what operators see |
//!
//! The protocol is the OCI distribution-spec, release 1.1 and its main branch as of [`SPEC_REVISION`].

#![forbid(unsafe_code)]

mod accept;
mod access_log;
mod addresses;
mod app;
mod body;
mod budget;
mod conditional;
mod content_range;
mod debug;
mod descriptors;
mod error;
mod file_body;
mod forwarded;
#[cfg(fuzzing)]
pub mod fuzzing;
mod handlers;
mod health;
mod holdings;
mod hosts;
mod links;
mod metered;
mod metrics;
mod observed;
mod page;
mod pool;
mod process;
mod pulls;
mod query;
pub mod range;
mod receive;
mod refusals;
mod release;
mod request_id;
mod response;
mod route;
mod server;
mod service;
mod session;
mod settings;
mod shared;

pub use access_log::AccessLog;
pub use app::{App, RunningUploads};
pub use body::Body;
pub use budget::{Budget, MEMORY_BYTES};
pub use debug::{Debug, serve_debug};
pub use health::{Check, CheckKind, Health};
pub use hosts::Hosts;
pub use metered::{MeteredMetadata, MeteredStore};
pub use metrics::{JournalFigures, Metrics};
pub use observed::Observed;
pub use pulls::Pulls;
pub use regex_lite::Regex;
pub use route::{PUSH_TAGS_MAX, Page, Route, RouteError, StartUpload};
pub use server::{
    Bound, ClientAuth, Limits, Listener, MinimumVersion, ServeOptions, Tls, TlsError, TlsFiles, serve,
};
pub use service::{Peer, Service};
pub use settings::{RedirectPolicy, ReferencePolicy, RequiredChildren, Settings, UnknownHosts, UrlPolicy};

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
