//! How many requests a client may send in a time.
//!
//! Each client has a bucket of as many requests as it may send at once, which fills evenly. What is kept of a bucket is one moment:
//! when it will be full (the generic cell rate algorithm, ITU-T I.371). A client whose bucket is full needs no entry.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash, RandomState},
    mem,
    net::IpAddr,
    time::Duration,
};

use parking_lot::Mutex;
use registry_types::{RateLimit, RateLimits};
use tokio::time::Instant;

use crate::{
    Refused,
    addresses::client_prefix,
    refusals::{Refusal, Refusals},
};

/// How many clients of each kind are known at least, and half of how many at most: an entry has some 40 bytes. When so many more
/// have come, those are forgotten that sent nothing meanwhile; they begin with a full bucket again.
const CLIENTS: usize = 65_536;

/// What clients have left.
#[derive(Debug)]
pub(crate) struct Rates {
    address: Option<Meter>,
    user: Option<Meter>,
    refusals: Refusals,
}

impl Rates {
    /// None where nothing is limited.
    pub(crate) fn new(limits: RateLimits, refusals: Refusals) -> Option<Rates> {
        let RateLimits { address, user } = limits;
        let is_limited = address.is_some() || user.is_some();
        is_limited.then(|| Rates { address: address.map(Meter::new), user: user.map(Meter::new), refusals })
    }

    /// Takes one request from what the client has left: the user, or the address where no user is known. A client without an
    /// address, behind a Unix socket, is not limited.
    pub(crate) fn take(&self, address: Option<IpAddr>, user: Option<&str>) -> Result<(), Refused> {
        let (refusal, taken) = match (user, address) {
            (Some(user), _) => (Refusal::UserRate, self.user.as_ref().map(|meter| meter.take(user))),
            (None, Some(address)) => {
                let taken = self.address.as_ref().map(|meter| meter.take(&client_prefix(address)));
                (Refusal::AddressRate, taken)
            }
            (None, None) => return Ok(()),
        };
        taken.unwrap_or(Ok(())).inspect_err(|_| self.refusals.note(refusal))
    }
}

/// The buckets of one kind of client.
#[derive(Debug)]
struct Meter {
    limit: RateLimit,
    /// How long it takes until a bucket has one request more.
    interval: Duration,
    /// How long it takes until an empty bucket is full.
    depth: Duration,
    buckets: Mutex<Buckets>,
    hasher: RandomState,
}

/// When each bucket will be full, by a hash of the client under a key of this process.
#[derive(Debug, Default)]
struct Buckets {
    /// Of clients that sent something since the others became the former.
    recent: HashMap<u64, Instant>,
    former: HashMap<u64, Instant>,
}

impl Meter {
    fn new(limit: RateLimit) -> Meter {
        let interval = (limit.per / limit.requests.get()).max(Duration::from_micros(1));
        let depth = interval.saturating_mul(limit.burst.get());
        Meter { limit, interval, depth, buckets: Mutex::default(), hasher: RandomState::new() }
    }

    /// Takes a request out of the client's bucket, if there is one.
    fn take<K: Hash + ?Sized>(&self, client: &K) -> Result<(), Refused> {
        let (client, now) = (self.hasher.hash_one(client), Instant::now());
        let mut buckets = self.buckets.lock();
        let full_at = buckets.full_at(client).map_or(now, |full_at| full_at.max(now)) + self.interval;
        // A bucket so deep that no clock holds it is never empty.
        let wait = now
            .checked_add(self.depth)
            .map_or(Duration::ZERO, |full| full_at.saturating_duration_since(full));
        if !wait.is_zero() {
            return Err(self.refusal(wait));
        }
        buckets.set(client, full_at);
        Ok(())
    }

    fn refusal(&self, wait: Duration) -> Refused {
        let retry_after_secs = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Refused::TooMany { requests: self.limit.requests.get(), per: self.limit.per, retry_after_secs }
    }
}

impl Buckets {
    fn full_at(&self, client: u64) -> Option<Instant> {
        self.recent.get(&client).or_else(|| self.former.get(&client)).copied()
    }

    fn set(&mut self, client: u64, full_at: Instant) {
        self.recent.insert(client, full_at);
        if self.recent.len() >= CLIENTS {
            self.former = mem::take(&mut self.recent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(requests: u32, per: Duration, burst: u32) -> RateLimit {
        RateLimit { requests: requests.try_into().unwrap(), per, burst: burst.try_into().unwrap() }
    }

    fn rates(address: RateLimit, user: RateLimit) -> Rates {
        Rates::new(RateLimits { address: Some(address), user: Some(user) }, Refusals::default()).unwrap()
    }

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    /// How many requests in a row are let through.
    fn taken(rates: &Rates, address: Option<IpAddr>, user: Option<&str>) -> usize {
        (0..1000).take_while(|_| rates.take(address, user).is_ok()).count()
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_is_emptied_at_once_and_fills_evenly() {
        let rates = rates(limit(10, Duration::from_secs(60), 4), limit(1, Duration::from_secs(1), 1));
        let client = address("192.0.2.1");
        assert_eq!(taken(&rates, client, None), 4);
        let refused = rates.take(client, None).unwrap_err();
        assert_eq!(
            refused,
            Refused::TooMany { requests: 10, per: Duration::from_secs(60), retry_after_secs: 6 }
        );
        tokio::time::advance(Duration::from_millis(5_999)).await;
        assert_eq!(taken(&rates, client, None), 0);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(taken(&rates, client, None), 1);
        tokio::time::advance(Duration::from_secs(13)).await;
        assert_eq!(taken(&rates, client, None), 2);
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(taken(&rates, client, None), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn clients_are_apart() {
        let rates = rates(limit(1, Duration::from_secs(1), 3), limit(1, Duration::from_secs(1), 5));
        assert_eq!(taken(&rates, address("192.0.2.1"), None), 3);
        assert_eq!(taken(&rates, address("192.0.2.2"), None), 3);
        assert_eq!(taken(&rates, address("::ffff:192.0.2.2"), None), 0, "it is the same address");
        assert_eq!(taken(&rates, address("2001:db8::1"), None), 3);
        assert_eq!(taken(&rates, address("2001:db8::ffff:1"), None), 0, "it is of the same /64");
        assert_eq!(taken(&rates, address("2001:db8:0:1::1"), None), 3);
        assert_eq!(taken(&rates, address("192.0.2.1"), Some("ada")), 5, "a user counts for itself");
        assert_eq!(taken(&rates, address("192.0.2.9"), Some("ada")), 0);
        assert_eq!(taken(&rates, None, Some("bob")), 5);
        assert_eq!(taken(&rates, None, None), 1000, "a Unix socket has no address");
        assert!(Rates::new(RateLimits::default(), Refusals::default()).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn many_clients_take_bounded_memory() {
        let meter = Meter::new(limit(1, Duration::from_secs(3600), 1));
        assert!(meter.take("ada").is_ok());
        for client in 0..CLIENTS as u64 - 1 {
            assert!(meter.take(&client).is_ok());
        }
        assert!(meter.take("ada").is_err(), "a client is known until as many others came");
        for client in 0..3 * CLIENTS as u64 {
            let _ = meter.take(&(client, "other"));
        }
        let buckets = meter.buckets.lock();
        assert!(buckets.recent.len() + buckets.former.len() <= 2 * CLIENTS);
    }
}
