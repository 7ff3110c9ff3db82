#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod challenge;
mod credentials;
mod error;
mod evict;
mod fetch;
mod freshness;
mod growing;
mod keep;
mod manifests;
mod metrics;
mod names;
mod options;
mod passing;
mod proxy;
mod spool;
mod token;
mod upstream;

pub use credentials::{Credentials, Helper};
pub use error::SetUpError;
pub use options::{ProxyOptions, UpstreamOptions};
pub use proxy::Proxy;
