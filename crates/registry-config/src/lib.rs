//! The configuration of a container registry: the Go registry's `config.yml`, old spellings and new, with its `REGISTRY_…`
//! environment variables, as a checked [`Config`].
//!
//! ```
//! let yaml = "
//! version: 0.1
//! storage:
//!   filesystem:
//!     rootdirectory: /srv/registry
//! ";
//! let environment = [("REGISTRY_HTTP_ADDR".to_owned(), "127.0.0.1:6000".to_owned())];
//! let loaded = registry_config::parse(yaml, environment.into_iter())?;
//! assert_eq!(loaded.config.http.drain_timeout.as_secs(), 10);
//! assert!(loaded.warnings.is_empty());
//!
//! let problems = registry_config::parse("safety: strict\nhttp: {addr: ':5000'}", std::iter::empty()).unwrap_err();
//! assert!(problems.to_string().contains("REGISTRY_HTTP_INSECURE=true"));
//! # Ok::<(), registry_config::Problems>(())
//! ```
//!
//! All [`Problems`] are found at once, each with its key path and, for a value from the environment, the variable's name.
//! What has no effect, and what is open to others on the network, is a [`Warning`], which has a level. Where ignoring
//! something would be unsafe, it is a problem: an authentication scheme, a storage driver, or a pull-through cache that this
//! version does not have.
//!
//! What it is not: it opens no file but the configuration, resolves no name, and reads no environment of its own, except
//! [`process_environment`]. Whether a certificate can be read is for whoever serves with it.
//!
//! A configuration is first a tree of texts, then laid over with the environment, then read section by section.
//!
//! | Module | What |
//! |---|---|
//! | `yaml`, `node` | a document as a tree, under limits |
//! | `schema`, `unknown` | which keys there are, and warnings about others |
//! | `environment` | variables laid over the tree |
//! | `field`, `scalar`, `nearest` | typed reading that notes problems |
//! | `config`, and `log`, `storage`, `metadata`, `journal`, `gc`, `quota`, `retention`, `auth`, `http`, `tls`, `address`, `health`, `validation`, `outbound`, `secrets`, `webhooks` | what comes out |
//! | `absent` | sections that this version refuses |
//! | `safety` | what is open to others on the network |
//! | `log_of` | how to log what is wrong |
//! | `data_folder` | where data goes if nothing says so |
//! | `problem`, `warning` | what an operator is told |

#![forbid(unsafe_code)]

mod absent;
mod address;
mod auth;
mod cloud;
mod config;
mod data_folder;
mod environment;
mod field;
mod gc;
mod health;
mod http;
mod journal;
mod load;
mod log;
mod log_of;
mod metadata;
mod middleware;
mod mirror;
mod nearest;
mod node;
mod outbound;
mod problem;
mod quota;
mod retention;
mod safety;
mod scalar;
mod schema;
mod secrets;
mod storage;
mod tls;
mod token;
mod unknown;
mod validation;
mod warning;
mod webhooks;
mod yaml;

pub use address::TcpAddress;
pub use auth::Auth;
pub use cloud::{Azure, Bucket, Gcs, S3};
pub use config::{Config, Loaded};
pub use data_folder::data_folder;
pub use environment::VARIABLES_MAX;
pub use gc::{Gc, GcRate, GcSweep};
pub use health::{FileCheck, Health, HttpCheck, Rhythm, StorageCheck, TcpCheck};
pub use http::{DebugServer, Http, Limits, Listen};
pub use journal::Journal;
pub use load::{fuzz, load, load_as, load_mirror, parse, process_environment};
pub use log::{Log, LogFormatter, LogLevel};
pub use log_of::log_of;
pub use metadata::{Metadata, Postgresql};
pub use middleware::{CloudFront, StorageMiddleware};
pub use mirror::{Login, Mirrors, UPSTREAMS_MAX, Upstream};
pub use outbound::Outbound;
pub use problem::{Problem, Problems};
pub use registry_types::{
    Allowed, AnonymousAccess, AzureCredentials, ClientAuth, Durability, EventFilter, GcsCredentials,
    ImmutableTags, MinimumVersion, Quota, RateLimit, RateLimits, RedirectPolicy, ReferencePolicy,
    RequiredChildren, S3Credentials, S3Encryption, Secret, UrlPattern, UrlPolicy, WebhookFormat,
};
pub use retention::Retention;
pub use safety::Safety;
pub use secrets::Secrets;
pub use storage::{Driver, Redirect, Storage, UploadPurging};
pub use tls::{Acme, Certificate, ClientCertificates, Tls};
pub use token::Token;
pub use validation::Validation;
pub use warning::Warning;
pub use webhooks::{Endpoint, Notifications, RECEIVERS_MAX, Webhook, WebhookSecret};
pub use yaml::{CONFIG_BYTES_MAX, CONFIG_DEPTH_MAX, CONFIG_NODES_MAX};

/// The examples of the README are compiled like these.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
