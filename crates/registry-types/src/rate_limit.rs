use std::{num::NonZeroU32, time::Duration};

/// So many requests in a time, evenly, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// How many requests in `per`.
    pub requests: NonZeroU32,
    /// The time. Less than a microsecond for each request counts as one.
    pub per: Duration,
    /// How many at once, if the client was quiet before.
    pub burst: NonZeroU32,
}

/// How many requests a client may send. Nothing is limited by default. Each node counts for itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimits {
    /// Requests of one address, of IPv6 one /64 network, that no user sends: without credentials, or with wrong ones.
    pub address: Option<RateLimit>,
    /// Requests of one user, from wherever.
    pub user: Option<RateLimit>,
}
