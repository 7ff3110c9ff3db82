//! Whose time it is. Everything that a time decides asks here, through the SQL function `now_ms()`.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The time, in milliseconds since 1970 UTC.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Now. May step when an operator sets the clock; leases bear steps of up to half a lease.
    fn now_ms(&self) -> i64;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        // A machine that believes it is before 1970 has no better time to offer than 1970.
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
    }
}

/// A clock that stands still until it is moved, for tests. Clones are one clock.
#[derive(Clone, Debug, Default)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// A clock that stands at `now_ms`.
    pub fn at_ms(now_ms: i64) -> ManualClock {
        ManualClock(Arc::new(AtomicI64::new(now_ms)))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(millis(by), Ordering::SeqCst);
    }

    /// Sets the clock, also back.
    pub fn set_ms(&self, now_ms: i64) {
        self.0.store(now_ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// The longest duration that the database is told: 10,000 years. Sums of such durations and of times are numbers that fit.
pub const MILLIS_MAX: i64 = 10_000 * 365 * 24 * 60 * 60 * 1000;

/// A duration in the database's unit, at most [`MILLIS_MAX`].
pub fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).map_or(MILLIS_MAX, |millis| millis.min(MILLIS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_of_a_manual_clock_are_one_clock() {
        let clock = ManualClock::at_ms(1_000);
        let other = clock.clone();
        clock.advance(Duration::from_secs(2));
        assert_eq!(other.now_ms(), 3_000);
        other.set_ms(5);
        assert_eq!(clock.now_ms(), 5);
    }

    #[test]
    fn the_system_clock_is_past_2020() {
        assert!(SystemClock.now_ms() > 1_577_836_800_000);
    }

    #[test]
    fn endless_durations_do_not_overflow() {
        assert_eq!(millis(Duration::MAX), MILLIS_MAX);
        assert!(SystemClock.now_ms().checked_add(4 * MILLIS_MAX).is_some());
    }
}
