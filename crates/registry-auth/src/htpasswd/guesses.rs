//! How often was guessed: for a name at an address, and from an address.

use std::time::{Duration, Instant};

use super::gate::Attempt;
use crate::logins::{Key, Source, Throttle};

/// Guesses for one name from one address, and how fast they come back.
const NAME_GUESSES: u32 = 10;
const NAME_INTERVAL: Duration = Duration::from_secs(10);

/// Guesses from one public address.
const ADDRESS_GUESSES: u32 = 50;
const ADDRESS_INTERVAL: Duration = Duration::from_secs(1);

/// How many failures count for the order, of a name at an address or of an address, and after how long one is forgotten.
const FAILURES_MAX: u32 = 24;
const FAILURE_INTERVAL: Duration = Duration::from_secs(300);

/// So many failures of an address count as one of a name at it.
const ADDRESS_FAILURES: u32 = 4;

/// Of how many names and addresses guesses are counted.
const BUCKETS_MAX: usize = 16_384;

/// What was tried, as far as it did not turn out to be right.
pub(super) struct Guesses {
    of_names: Throttle<Key>,
    of_addresses: Throttle<Source>,
    failures_of_names: Throttle<Key>,
    failures_of_addresses: Throttle<Source>,
}

impl Guesses {
    pub(super) fn new() -> Guesses {
        Guesses {
            of_names: Throttle::new(NAME_GUESSES, NAME_INTERVAL, BUCKETS_MAX),
            of_addresses: Throttle::new(ADDRESS_GUESSES, ADDRESS_INTERVAL, BUCKETS_MAX),
            failures_of_names: Throttle::new(FAILURES_MAX, FAILURE_INTERVAL, BUCKETS_MAX),
            failures_of_addresses: Throttle::new(
                FAILURES_MAX * ADDRESS_FAILURES,
                FAILURE_INTERVAL / ADDRESS_FAILURES,
                BUCKETS_MAX,
            ),
        }
    }

    /// How many failures there were of the name at the address and of the address, without that of the same credentials.
    pub(super) fn failures(&self, attempt: &Attempt, is_new: bool, now: Instant) -> u32 {
        let own = u32::from(!is_new);
        let of_name = self.failures_of_names.missing(&attempt.pair, now).saturating_sub(own);
        let of_address = self.failures_of_addresses.missing(&attempt.source, now).saturating_sub(own);
        of_name + of_address / ADDRESS_FAILURES
    }

    pub(super) fn note_failure(&mut self, attempt: &Attempt, now: Instant) {
        // Beyond the most that counts, one more changes nothing.
        let _ = self.failures_of_names.take(attempt.pair, now);
        let _ = self.failures_of_addresses.take(attempt.source, now);
    }

    pub(super) fn give_back(&mut self, attempt: &Attempt, is_new: bool, now: Instant) {
        self.of_names.give_back(&attempt.pair, now);
        self.of_addresses.give_back(&attempt.source, now);
        if !is_new {
            self.failures_of_names.give_back(&attempt.pair, now);
            self.failures_of_addresses.give_back(&attempt.source, now);
        }
    }

    /// Takes a guess of the name at the address and one of the address, if there are both; otherwise says how long there
    /// are none.
    pub(super) fn take(&mut self, attempt: &Attempt, now: Instant) -> (Option<Duration>, Option<Duration>) {
        let is_shared = attempt.source.is_shared();
        let held_by_name = self.of_names.wait(&attempt.pair, now);
        let held_by_address = if is_shared { None } else { self.of_addresses.wait(&attempt.source, now) };
        if held_by_name.is_none() && held_by_address.is_none() {
            let _ = self.of_names.take(attempt.pair, now);
            if !is_shared {
                let _ = self.of_addresses.take(attempt.source, now);
            }
        }
        (held_by_name, held_by_address)
    }
}
