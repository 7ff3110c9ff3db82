//! An HTTP server whose peers can not make it hold more than it was given.
//!
//! The crate serves [`Endpoint`]s, which a [`Site`] finds by path, and knows nothing of what they do. It is where connections, their
//! limits and their end are decided: listening, TLS, HTTP/1.1 and HTTP/2, budgets, bodies, forwarded headers, hosts, the graceful
//! stop, and what operators see of all that.
//!
//! ```no_run
//! use std::sync::Arc;
//! use futures_util::future::BoxFuture;
//! use http::{Request, Response, request::Parts};
//! use registry_server::{Body, Context, Endpoint, Listener, Refused, Reply, Server, ServerBody, Site};
//!
//! #[derive(Debug)]
//! struct Hello;
//!
//! impl Endpoint for Hello {
//!     fn respond<'a>(&'a self, _: Request<ServerBody>, context: &'a Context) -> BoxFuture<'a, Reply> {
//!         context.set_route("hello");
//!         Box::pin(async { Response::new(Body::full("hello\n".into())).into() })
//!     }
//!
//!     fn refuse(&self, _: &Parts, refused: Refused) -> Response<Body> {
//!         refused.into_response()
//!     }
//! }
//!
//! # async fn run() -> std::io::Result<()> {
//! let server = Arc::new(Server::new(Site::of(Arc::new(Hello))));
//! let listener = Listener::tcp("127.0.0.1:0").await?;
//! let stop = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
//! registry_server::serve(listener, server, Default::default(), stop).await;
//! # Ok(()) }
//! ```
//!
//! | Module | What |
//! |---|---|
//! | `serve`, `listener`, `tls` (feature `tls`, on by default) | accepting connections, limits, the graceful stop |
//! | `connection` | HTTP on one connection, from its first byte to its end |
//! | `service` | the way of a request |
//! | `mounted` | the same for an application that has a server of its own |
//! | `endpoint` | what answers: [`Endpoint`], [`Site`], [`Context`], [`Reply`] |
//! | `body`, `file_body`, `receive` | bodies of answers and of requests |
//! | `budget`, `pool`, `addresses`, `turns`, `descriptors`, `refusals`, `release` | what peers can make a node hold at once |
//! | `rates` | how many requests a client may send |
//! | `forwarded`, `hosts` | what proxies say of a request; which hosts are ours, and which web pages may change something |
//! | `refused` | what is refused before an endpoint is asked, or while its body arrives |
//! | `metrics`, `holdings`, `process`, `access_log`, `observed`, `request_id` | what operators see of requests |
//! | `health`, `debug` | whether the node is well, and where that and the metrics are shown |

#![forbid(unsafe_code)]

mod access_log;
mod addresses;
mod body;
mod budget;
mod connection;
mod debug;
mod descriptors;
mod endpoint;
mod file_body;
pub mod forwarded;
#[cfg(fuzzing)]
pub mod fuzzing;
mod health;
mod holdings;
mod hosts;
mod listener;
mod metrics;
mod mounted;
mod observed;
mod options;
mod pool;
mod process;
mod rates;
mod receive;
mod refusals;
mod refused;
mod release;
mod request_id;
mod serve;
mod service;
#[cfg(feature = "tls")]
mod tls;
mod turns;

pub use access_log::AccessLog;
pub use body::{Body, Piece};
pub use budget::{Budget, MEMORY_BYTES, OpenFile, Reservation, Share};
pub use debug::{Debug, serve_debug};
pub use endpoint::{Context, Endpoint, Peer, Reply, Site};
pub use file_body::{FileBody, MAPPED_BYTES_MIN, MAPPED_PART_BYTES_MIN, SCARCE_READ_BYTES};
pub use health::{Check, CheckKind, Health, Probe, Vitals};
pub use hosts::{Hosts, UnknownHosts};
/// What stands in signatures, of the crates that an endpoint is written with.
#[doc(no_inline)]
pub use {bytes::Bytes, futures_util::future::BoxFuture, http, registry_types::Network};

pub use listener::{Bound, Listener};
pub use metrics::Metrics;
pub use mounted::Mounted;
pub use observed::Observed;
pub use receive::{ServerBody, declared_length};
pub use refused::Refused;
pub use registry_sendfile::Immutable;
pub use serve::{Limits, ServeOptions, serve, serve_all};
pub use service::Server;
pub use turns::Turn;
#[cfg(feature = "tls")]
pub use {
    registry_types::{ClientAuth, MinimumVersion},
    tls::{CertificateSource, Explain, Tls, TlsError, TlsOptions},
};

/// `error: cause: cause`, for a line of the log.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
