//! What was tried from an address, and for a name from there.

use std::time::{Duration, Instant};

use super::gate::{Attempt, Group};
use crate::logins::{Key, Memory, Source, Throttle};

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

/// How long credentials that were refused without a check keep their place, how many, and how many of one address in that
/// time.
const UNCHECKED: Duration = Duration::from_secs(60);
const UNCHECKED_MAX: usize = 32_768;
const UNCHECKED_OF_GROUP: u32 = 256;

pub(super) struct Guesses {
    of_names: Throttle<Key>,
    of_addresses: Throttle<Source>,
    failures_of_names: Throttle<Key>,
    failures_of_addresses: Throttle<Source>,
    /// What was refused without a check, and from where: elsewhere it is new.
    unchecked: Memory<(Key, Source), ()>,
    unchecked_of_groups: Throttle<Group>,
}

/// What an attempt costs until it turns out to be right.
#[derive(Default)]
pub(super) struct Cost {
    /// Whether a guess of the name and one of the address are taken for it.
    guess: bool,
    /// Whether a failure was noted for it, now or when it was refused before.
    failure: bool,
    /// Whether it was found to be right, or wrong.
    is_checked: bool,
}

/// How long no guess is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// For the name at the address.
    pub(super) by_name: Option<Duration>,
    /// For the address.
    pub(super) by_address: Option<Duration>,
}

impl Held {
    /// When to come again; nothing if there are guesses.
    pub(super) fn wait(self) -> Option<Duration> {
        self.by_name.max(self.by_address)
    }
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
            unchecked: Memory::new(UNCHECKED, UNCHECKED_MAX),
            unchecked_of_groups: Throttle::new(
                UNCHECKED_OF_GROUP,
                UNCHECKED / UNCHECKED_OF_GROUP,
                BUCKETS_MAX,
            ),
        }
    }

    /// Whether the same was not refused without a check before, at this address. For what was, a failure is noted already.
    pub(super) fn is_new(&mut self, attempt: &Attempt, cost: &mut Cost, now: Instant) -> bool {
        cost.failure = self.unchecked.has(&(attempt.key, attempt.source), now);
        !cost.failure
    }

    /// How many failures there were of the name at the address and of the address, without that of the same credentials.
    pub(super) fn failures(&self, attempt: &Attempt, cost: &Cost, now: Instant) -> u32 {
        let own = u32::from(cost.failure);
        let of_name = self.failures_of_names.missing(&attempt.pair, now).saturating_sub(own);
        let of_address = self.failures_of_addresses.missing(&attempt.source, now).saturating_sub(own);
        of_name + of_address / ADDRESS_FAILURES
    }

    /// Takes a guess of the name at the address and one of the address, if there are both; otherwise says how long there
    /// are none.
    pub(super) fn take(&mut self, attempt: &Attempt, cost: &mut Cost, now: Instant) -> Held {
        let is_shared = attempt.source.is_shared();
        let by_name = self.of_names.wait(&attempt.pair, now);
        let by_address = if is_shared { None } else { self.of_addresses.wait(&attempt.source, now) };
        let held = Held { by_name, by_address };
        if held.wait().is_none() {
            let _ = self.of_names.take(attempt.pair, now);
            if !is_shared {
                let _ = self.of_addresses.take(attempt.source, now);
            }
            cost.guess = true;
        }
        held
    }

    /// What is right costs nothing.
    pub(super) fn note_right(&mut self, attempt: &Attempt, cost: &mut Cost, now: Instant) {
        if std::mem::take(&mut cost.guess) {
            self.of_names.give_back(&attempt.pair, now);
            self.of_addresses.give_back(&attempt.source, now);
        }
        if std::mem::take(&mut cost.failure) {
            self.failures_of_names.give_back(&attempt.pair, now);
            self.failures_of_addresses.give_back(&attempt.source, now);
        }
        cost.is_checked = true;
    }

    pub(super) fn note_wrong(&mut self, attempt: &Attempt, cost: &mut Cost, now: Instant) {
        self.note_failure(attempt, cost, now);
        cost.is_checked = true;
    }

    /// Notes that an attempt ends, by a refusal or since its client is gone. Without a check it counts as wrong until it is
    /// found to be right: clients send the same again, and guessers something else.
    pub(super) fn note_end(&mut self, attempt: &Attempt, cost: &mut Cost, now: Instant) {
        if cost.is_checked {
            return;
        }
        self.note_failure(attempt, cost, now);
        if self.unchecked_of_groups.take(attempt.group(), now).is_ok() {
            self.unchecked.insert((attempt.key, attempt.source), (), now);
        }
    }

    fn note_failure(&mut self, attempt: &Attempt, cost: &mut Cost, now: Instant) {
        if !std::mem::replace(&mut cost.failure, true) {
            // Beyond the most that counts, one more changes nothing.
            let _ = self.failures_of_names.take(attempt.pair, now);
            let _ = self.failures_of_addresses.take(attempt.source, now);
        }
    }
}
