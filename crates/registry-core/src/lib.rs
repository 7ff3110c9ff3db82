//! A container registry to embed.
//!
//! The crate is the front door of the layers below it, which it re-exports: [`digest`], [`types`], [`storage`],
//! [`database`], [`events`], `journal`, [`metadata`], [`auth`], [`collector`], [`server`] and [`api`]. It adds only the wiring: [`Registry::builder`] opens a store and its database,
//! makes sure that they belong together, and serves them. It is *not* where any of them is implemented.
//!
//! ```no_run
//! use registry_core::{Registry, api::Listener};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let registry = Registry::builder().filesystem("data").open().await?;
//! let listener = Listener::tcp("127.0.0.1:5000").await?;
//! let stop = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
//! registry.serve(listener, stop).await?;
//! # Ok(()) }
//! ```
//!
//! | Module | What |
//! |---|---|
//! | `builder` | [`Builder`]: what may be chosen, and the defaults |
//! | `registry` | [`Registry`]: a registry that is open, and serving it |
//! | `beside` | [`Beside`]: store and database of a registry that another process may serve |
//! | `identity` | one database, one store |
//! | `cloud` (features `s3`, `gcs`, `azure`) | object stores |
//! | `journalled` (feature `sqlite`) | the database's journal in the store |
//! | `owners` | [`OWNERS`]: whose tables the database has |
//! | `maintenance` | what is done now and then: abandoned uploads, garbage, retention, pulls |
//! | `configured` (feature `config`) | a registry as a configuration file describes it |
//! | `early` (feature `config`) | what is opened while the process is still root's |
//! | `rights` (feature `config`) | becoming another user than root |
//! | `outgoing` (feature `config`) | what the way to an object store gives away |
//! | `migrate` (features `config`, `postgres`) | from SQLite to PostgreSQL |
//! | `acme` (feature `acme`) | certificates that are ordered from an authority |
//! | `webhooks` (feature `webhooks`) | receivers that are told of events |
//! | `callbacks` (feature `webhooks`) | where receivers of Docker Hub's format report back |
//! | `mirror` (feature `mirror`) | other registries, of which content is fetched when it is asked for |
//! | `selfsigned` (feature `selfsigned`) | a certificate for those who have none |

#![forbid(unsafe_code)]

#[cfg(feature = "acme")]
mod acme;
#[cfg(feature = "config")]
mod authentication;
mod beside;
mod builder;
#[cfg(feature = "webhooks")]
mod callbacks;
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
mod cloud;
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
mod cloud_failure;
#[cfg(feature = "cloudfront")]
pub mod cloudfront;
#[cfg(feature = "config")]
pub mod configured;
#[cfg(all(feature = "config", feature = "acme"))]
mod configured_acme;
#[cfg(feature = "config")]
mod configured_cloud;
#[cfg(feature = "config")]
mod configured_files;
#[cfg(feature = "config")]
mod configured_health;
#[cfg(feature = "config")]
mod configured_hosts;
#[cfg(all(feature = "config", feature = "mirror"))]
mod configured_mirror;
#[cfg(feature = "config")]
mod configured_redirects;
#[cfg(all(feature = "config", feature = "sealed"))]
mod configured_sealed;
#[cfg(feature = "config")]
mod configured_tls;
#[cfg(all(feature = "config", feature = "webhooks"))]
mod configured_webhooks;
#[cfg(feature = "config")]
pub mod early;
mod error;
mod identity;
#[cfg(feature = "import")]
mod importing;
#[cfg(feature = "sqlite")]
mod journalled;
#[cfg(not(feature = "sqlite"))]
#[path = "journalled_absent.rs"]
mod journalled;
mod maintenance;
#[cfg(all(feature = "config", feature = "postgres"))]
pub mod migrate;
#[cfg(feature = "mirror")]
mod mirror;
#[cfg(feature = "config")]
mod outgoing;
mod owners;
mod places;
mod registry;
#[cfg(feature = "config")]
pub mod rights;
#[cfg(feature = "selfsigned")]
pub mod selfsigned;
#[cfg(feature = "webhooks")]
mod webhooks;

#[cfg(feature = "acme")]
pub use acme::AcmeSettings;
pub use beside::Beside;
pub use builder::Builder;
#[cfg(all(feature = "config", feature = "webhooks"))]
pub use configured_webhooks::BesideWebhooks;
pub use error::{OpenError, causes};
#[cfg(feature = "sqlite")]
pub use journalled::Journal;
pub use maintenance::{Collecting, Purge, Retaining};
pub use owners::OWNERS;
#[cfg(feature = "sealed")]
pub use owners::sealed;
pub use registry::{Registry, ServeError};
pub use registry_api::{Change, Event, EventSink};
#[cfg(feature = "webhooks")]
pub use webhooks::WebhookSettings;

/// What the traits that an embedder implements are written with.
#[doc(no_inline)]
pub use {async_trait::async_trait, bytes, http};

#[cfg(feature = "acme")]
pub use registry_acme as acme_authority;
pub use registry_api as api;
pub use registry_auth as auth;
pub use registry_collector as collector;
#[cfg(feature = "config")]
pub use registry_config as config;
pub use registry_database as database;
pub use registry_digest as digest;
pub use registry_events as events;
/// Taking over the storage of a Go registry.
#[cfg(feature = "import")]
pub use registry_import as import;
#[cfg(feature = "webhooks")]
pub use registry_jobs as jobs;
#[cfg(feature = "sqlite")]
pub use registry_journal as journal;
pub use registry_metadata as metadata;
/// Mirroring other registries.
#[cfg(feature = "mirror")]
pub use registry_proxy as proxy;
pub use registry_server as server;
pub use registry_storage as storage;
pub use registry_types as types;
/// Telling receivers of events.
#[cfg(feature = "webhooks")]
pub use registry_webhooks as webhook;
#[cfg(feature = "sealed")]
pub use {registry_outbound as outbound, registry_secrets as secrets};

/// The examples of the README are compiled like these.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
