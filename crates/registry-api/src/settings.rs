//! What an operator or embedder may choose about the API.

use std::{net::IpAddr, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, header};
use registry_server::{Hosts, MEMORY_BYTES, UnknownHosts};
use registry_types::{Location, MANIFEST_BYTES_MAX, ManifestClass, Network, RateLimits, RequiredChildren};

use crate::Redirection;

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

registry_server::options! {
    /// Which clients are sent to the store for the bytes of blobs, where the store can sign URLs: those that can reach it.
    /// Manifests are never redirected.
    #[derive(Clone, Debug, Default)]
    pub struct RedirectPolicy {
        /// No client is.
        pub disabled: bool,
        /// Only clients of these networks are; all, if there are none.
        pub only: Vec<Network>,
        /// Clients of these networks are not.
        pub except: Vec<Network>,
        /// What changes where they are sent, in this order.
        pub via: Vec<Arc<dyn Redirection>>,
    }
}

impl RedirectPolicy {
    /// Whether a client with this address is sent to the store. One whose address is not known counts as one of no
    /// network.
    pub fn applies_to(&self, client: Option<IpAddr>) -> bool {
        let is_in = |networks: &[Network]| {
            client.is_some_and(|client| networks.iter().any(|network| network.contains(client)))
        };
        !self.disabled && (self.only.is_empty() || is_in(&self.only)) && !is_in(&self.except)
    }

    /// Whether clients are sent somewhere without a URL that the store has signed.
    pub(crate) fn leads_elsewhere(&self) -> bool {
        self.via.iter().any(|redirection| redirection.leads_elsewhere())
    }

    /// Where a client is sent for these bytes, if the store has signed this.
    pub(crate) fn lead(&self, location: &Location, signed: Option<String>) -> Option<String> {
        self.via.iter().fold(signed, |url, redirection| redirection.lead(location, url))
    }
}

registry_server::options! {
    /// Which references of a manifest must have their target in the repository. A manifest that is accepted without one is
    /// *sparse*: the reference is kept by digest and becomes a link when the content arrives.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct ReferencePolicy {
        /// Whether an image's config and layers must be there.
        pub layers_optional: bool,
        /// Which of an index's manifests must be there.
        pub children: RequiredChildren,
    }
}

registry_server::options! {
    /// Which URLs the descriptors of a manifest may name. As in the Go registry, none unless something is allowed.
    #[derive(Clone, Debug, Default)]
    pub struct UrlPolicy {
        /// A URL must match one of these.
        pub allow: Vec<regex_lite::Regex>,
        /// A URL must match none of these.
        pub deny: Vec<regex_lite::Regex>,
    }
}

impl UrlPolicy {
    /// Whether a descriptor may name this URL: http or https, without a fragment, allowed and not denied.
    pub fn allows(&self, url: &str) -> bool {
        let is_web = url.starts_with("http://") || url.starts_with("https://");
        is_web
            && !url.contains('#')
            && self.allow.iter().any(|pattern| pattern.is_match(url))
            && !self.deny.iter().any(|pattern| pattern.is_match(url))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_follow_the_network() {
        let (near, far) = ("10.1.2.3".parse().ok(), "192.0.2.1".parse().ok());
        let near_network = || vec!["10.0.0.0/8".parse().unwrap()];
        let everybody = RedirectPolicy::default();
        let only = RedirectPolicy { only: near_network(), ..RedirectPolicy::default() };
        let except = RedirectPolicy { except: near_network(), ..RedirectPolicy::default() };
        let nobody = RedirectPolicy { disabled: true, only: near_network(), ..RedirectPolicy::default() };
        for (policy, expected) in [
            (everybody, [true, true, true]),
            (only, [true, false, false]),
            (except, [false, true, true]),
            (nobody, [false, false, false]),
        ] {
            assert_eq!([near, far, None].map(|client| policy.applies_to(client)), expected, "{policy:?}");
        }
    }

    #[test]
    fn urls_are_refused_unless_allowed() {
        let pattern = |text| regex_lite::Regex::new(text).unwrap();
        let url = "https://mirror.example/layer";
        assert!(!UrlPolicy::default().allows(url));
        let policy = UrlPolicy { allow: vec![pattern("^https://mirror")], deny: vec![pattern("secret")] };
        assert!(policy.allows(url));
        assert!(!policy.allows("https://mirror.example/secret"));
        assert!(!policy.allows("https://mirror.example/layer#x"));
        assert!(!policy.allows("file:///https://mirror"));
    }
}
