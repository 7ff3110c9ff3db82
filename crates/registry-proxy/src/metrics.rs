//! What is counted of upstreams.

use std::sync::atomic::AtomicI64;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// What is counted. Labels are names of upstreams, which the operator chooses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    requests: Family<Outcome, Counter>,
    bytes: Family<Of, Counter>,
    stale: Family<Of, Counter>,
    remaining: Family<Of, Gauge<i64, AtomicI64>>,
    fetches: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    upstream: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    upstream: String,
    code: u16,
}

impl Metrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "registry_mirror_upstream_requests",
            "Requests to upstreams by the status of the answer, 0 where none came",
            self.requests.clone(),
        );
        registry.register(
            "registry_mirror_upstream_bytes",
            "Bytes of blobs that came from upstreams",
            self.bytes.clone(),
        );
        registry.register(
            "registry_mirror_stale",
            "Tags that were served as they are here, since upstream could not be asked",
            self.stale.clone(),
        );
        registry.register(
            "registry_mirror_upstream_ratelimit_remaining",
            "How many pulls the upstream said last that it still allows",
            self.remaining.clone(),
        );
        registry.register("registry_mirror_fetches", "Blobs that are being fetched", self.fetches.clone());
    }

    pub(crate) fn asked(&self, upstream: &str, code: u16) {
        self.requests.get_or_create(&Outcome { upstream: upstream.to_owned(), code }).inc();
    }

    pub(crate) fn came(&self, upstream: &str, bytes: u64) {
        self.bytes.get_or_create(&of(upstream)).inc_by(bytes);
    }

    pub(crate) fn stale(&self, upstream: &str) {
        self.stale.get_or_create(&of(upstream)).inc();
    }

    pub(crate) fn remaining(&self, upstream: &str, pulls: i64) {
        self.remaining.get_or_create(&of(upstream)).set(pulls);
    }

    pub(crate) fn fetching(&self) -> Fetching {
        self.fetches.inc();
        Fetching(self.fetches.clone())
    }
}

/// Counts a fetch until it is dropped.
pub(crate) struct Fetching(Gauge);

impl Drop for Fetching {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn of(upstream: &str) -> Of {
    Of { upstream: upstream.to_owned() }
}
