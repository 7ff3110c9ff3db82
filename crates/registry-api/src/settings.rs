//! What an operator or embedder may choose about the API.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};
use registry_server::{Hosts, MEMORY_BYTES, UnknownHosts};
use registry_types::{
    MANIFEST_BYTES_MAX, ManifestClass, Network, RateLimits, RedirectPolicy, ReferencePolicy, UrlPolicy,
};

use crate::Redirections;

registry_server::options! {
    /// How the API behaves. The defaults are those of a registry without a configuration.
    #[derive(Clone, Debug)]
    pub struct Settings {
        /// Whether tags, manifests and blobs may be deleted. Off by default, as in the Go registry.
        pub delete_enabled: bool,
        /// Refuses every request that would change something.
        pub read_only: bool,
        /// The URL under which clients reach the registry, perhaps with a path; overrides what requests say.
        pub host: Option<String>,
        /// Further hosts that are this registry's own, without ports.
        pub hosts: Vec<String>,
        /// What becomes of requests for other hosts, while there are no users: with users, being reached is not enough.
        pub unknown_hosts: UnknownHosts,
        /// The proxies whose word counts for a client's address.
        pub trusted_proxies: Vec<Network>,
        /// How many requests a client may send.
        pub rate_limits: RateLimits,
        /// What the path of every endpoint but `/` begins with, both slashes included; `/` for nothing. The [`Site`](registry_server::Site)
        /// takes it off.
        pub prefix: String,
        /// `Location` headers hold a path alone.
        pub relative_urls: bool,
        /// Headers that are added to every answer below `/v2/`.
        pub headers: HeaderMap,
        /// The most entries on a page of the catalog.
        pub catalog_entries_max: usize,
        /// The most entries on a page of tags.
        pub tags_entries_max: usize,
        /// The largest manifest.
        pub manifest_bytes_max: usize,
        /// The memory that answers and gathered bodies of the node share.
        pub memory_bytes: usize,
        /// The largest blob, if there is a limit.
        pub blob_bytes_max: Option<u64>,
        /// What `OCI-Chunk-Min-Length` says; 0 leaves it away.
        pub chunk_bytes_min: u64,
        /// Which references of a manifest must be here when it is pushed.
        pub references: ReferencePolicy,
        /// Which URLs a descriptor of a manifest may name.
        pub layer_urls: UrlPolicy,
        /// Of what kinds images may be; of every kind, if there are none here.
        pub classes: Vec<ManifestClass>,
        /// How long a request's body may pause.
        pub body_idle: Duration,
        /// Whether each request is written to the access log, which is standard output. Off by default.
        pub access_log: bool,
        /// Which clients are sent to the store for the bytes of blobs.
        pub redirects: RedirectPolicy,
        /// What changes where they are sent.
        pub redirections: Redirections,
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            delete_enabled: false,
            read_only: false,
            host: None,
            hosts: Vec::new(),
            unknown_hosts: UnknownHosts::default(),
            trusted_proxies: Vec::new(),
            rate_limits: RateLimits::default(),
            prefix: "/".to_owned(),
            relative_urls: false,
            headers: HeaderMap::new(),
            catalog_entries_max: 1000,
            tags_entries_max: 1000,
            manifest_bytes_max: MANIFEST_BYTES_MAX,
            memory_bytes: MEMORY_BYTES,
            blob_bytes_max: None,
            chunk_bytes_min: 0,
            references: ReferencePolicy::default(),
            layer_urls: UrlPolicy::default(),
            classes: Vec::new(),
            body_idle: Duration::from_secs(60),
            access_log: false,
            redirects: RedirectPolicy::default(),
            redirections: Redirections::default(),
        }
    }
}

impl Settings {
    /// Under which hosts the registry is served, with a rule for others.
    pub fn known_hosts(&self, unknown: UnknownHosts) -> Hosts {
        let allowed = self.headers.get_all(header::ACCESS_CONTROL_ALLOW_ORIGIN);
        let allowed: Vec<HeaderValue> = allowed.iter().cloned().collect();
        Hosts::new(self.host.as_deref(), &self.hosts, &allowed, unknown)
    }
}
