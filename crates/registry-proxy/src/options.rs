use std::{path::PathBuf, time::Duration};

use registry_outbound::{Destination, Outbound};
use registry_types::Pattern;

use crate::Credentials;

/// How other registries are mirrored.
#[derive(Clone, Debug)]
pub struct ProxyOptions {
    /// What opens connections.
    pub outbound: Outbound,
    /// The upstreams, each with a name of its own.
    pub upstreams: Vec<UpstreamOptions>,
    /// The name of the upstream that is meant where a request names none; without it only prefixes and `ns` lead upstream.
    pub default_upstream: Option<String>,
    /// How long a tag is served before upstream is asked again; 1 minute.
    pub freshness: Duration,
    /// How long a tag stays that upstream has deleted; 1 day.
    pub keep_deleted: Duration,
    /// How long an image stays that is not pulled; for ever if none.
    pub ttl: Option<Duration>,
    /// Whether upstreams are never asked.
    pub offline: bool,
    /// Where blobs lie while they are fetched, if the store can not be read meanwhile; the system's folder for temporary files if none.
    pub spool: Option<PathBuf>,
    /// How many bytes may lie there at once; 10 GiB. Beyond it blobs are passed through and not kept.
    pub spool_bytes_max: u64,
}

impl ProxyOptions {
    /// These upstreams, with the defaults for everything else.
    pub fn new(outbound: Outbound, upstreams: Vec<UpstreamOptions>) -> ProxyOptions {
        ProxyOptions {
            outbound,
            upstreams,
            default_upstream: None,
            freshness: Duration::from_secs(60),
            keep_deleted: Duration::from_secs(24 * 60 * 60),
            ttl: None,
            offline: false,
            spool: None,
            spool_bytes_max: 10 << 30,
        }
    }
}

/// A registry that is mirrored.
#[derive(Clone, Debug)]
pub struct UpstreamOptions {
    /// What it is called here: the first component of the names of its repositories, and the value of `ns`.
    pub name: String,
    /// Where it is: scheme, host and port, perhaps with a path before `/v2/`.
    pub url: Destination,
    /// What it is shown.
    pub credentials: Credentials,
    /// Which of its repositories are mirrored; all, if there are none.
    pub allow: Vec<Pattern>,
    /// Which are not.
    pub deny: Vec<Pattern>,
    /// How many requests to it run at once; 32.
    pub concurrency: usize,
}

impl UpstreamOptions {
    /// The upstream of this name, asked without credentials.
    pub fn new(name: impl Into<String>, url: Destination) -> UpstreamOptions {
        UpstreamOptions {
            name: name.into(),
            url,
            credentials: Credentials::None,
            allow: Vec::new(),
            deny: Vec::new(),
            concurrency: 32,
        }
    }
}
