use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Buckets of tokens, one for each key. A bucket is full at first, and gets a token back after each interval.
///
/// Kept as one instant a bucket, that at which it is full again (the generic cell rate algorithm); full buckets take no
/// room. Libraries for this know neither giving back a token nor a bound on the number of buckets.
pub(crate) struct Throttle<K> {
    tokens: u32,
    interval: Duration,
    buckets_max: usize,
    full_at: HashMap<K, Instant>,
}

impl<K: Copy + Eq + Hash> Throttle<K> {
    /// Buckets of `tokens`, each of which comes back after `interval`; at most `buckets_max` that are not full.
    pub(crate) fn new(tokens: u32, interval: Duration, buckets_max: usize) -> Throttle<K> {
        Throttle { tokens, interval, buckets_max, full_at: HashMap::new() }
    }

    /// Takes a token.
    ///
    /// # Errors
    /// There is none; how long until there is one.
    pub(crate) fn take(&mut self, key: K, now: Instant) -> Result<(), Duration> {
        let full_at = self.full_at.get(&key).map_or(now, |full_at| (*full_at).max(now)) + self.interval;
        let missing = full_at.saturating_duration_since(now);
        let wait = missing.saturating_sub(self.interval * self.tokens);
        if !wait.is_zero() {
            return Err(wait);
        }
        if self.full_at.len() >= self.buckets_max && !self.full_at.contains_key(&key) {
            self.make_room(now);
        }
        self.full_at.insert(key, full_at);
        Ok(())
    }

    /// How long until there is a token; nothing if there is one.
    pub(crate) fn wait(&self, key: &K, now: Instant) -> Option<Duration> {
        let missing = self.full_at.get(key)?.saturating_duration_since(now) + self.interval;
        Some(missing.saturating_sub(self.interval * self.tokens)).filter(|wait| !wait.is_zero())
    }

    /// How many tokens are missing, from 0 to all.
    pub(crate) fn missing(&self, key: &K, now: Instant) -> u32 {
        let Some(full_at) = self.full_at.get(key) else { return 0 };
        let missing = full_at.saturating_duration_since(now).as_nanos();
        u32::try_from(missing.div_ceil(self.interval.as_nanos().max(1))).unwrap_or(u32::MAX)
    }

    /// Gives a token back.
    pub(crate) fn give_back(&mut self, key: &K, now: Instant) {
        if let Some(full_at) = self.full_at.get_mut(key) {
            *full_at = full_at.checked_sub(self.interval).unwrap_or(now);
            if *full_at <= now {
                self.full_at.remove(key);
            }
        }
    }

    /// Forgets half of the buckets, those that lack least: a flood of keys that are used once can not empty the memory of
    /// one that was used often.
    fn make_room(&mut self, now: Instant) {
        self.full_at.retain(|_, full_at| *full_at > now);
        if self.full_at.len() < self.buckets_max {
            return;
        }
        let mut instants: Vec<Instant> = self.full_at.values().copied().collect();
        let middle = instants.len() / 2;
        let (_, median, _) = instants.select_nth_unstable(middle);
        let median = *median;
        self.full_at.retain(|_, full_at| *full_at > median);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn tokens_are_taken_come_back_and_are_given_back() {
        let mut throttle = Throttle::new(3, 10 * SECOND, 100);
        let start = Instant::now();
        for _ in 0..3 {
            assert_eq!(throttle.take('a', start), Ok(()));
        }
        assert_eq!((throttle.missing(&'a', start), throttle.wait(&'a', start)), (3, Some(10 * SECOND)));
        assert_eq!((throttle.missing(&'b', start), throttle.wait(&'b', start)), (0, None));
        assert_eq!(
            (throttle.missing(&'a', start + 12 * SECOND), throttle.wait(&'a', start + 12 * SECOND)),
            (2, None)
        );
        assert_eq!(throttle.take('a', start), Err(10 * SECOND));
        assert_eq!(throttle.take('a', start + 4 * SECOND), Err(6 * SECOND), "refusals cost nothing");
        assert_eq!(throttle.take('b', start), Ok(()), "each key has a bucket of its own");
        assert_eq!(throttle.take('a', start + 10 * SECOND), Ok(()));
        assert!(throttle.take('a', start + 10 * SECOND).is_err());
        throttle.give_back(&'a', start + 10 * SECOND);
        assert_eq!(throttle.take('a', start + 10 * SECOND), Ok(()));
        throttle.give_back(&'b', start);
        assert_eq!(throttle.full_at.len(), 1, "full buckets take no room");
        for _ in 0..3 {
            assert_eq!(throttle.take('a', start + 100 * SECOND), Ok(()), "long after, it is full");
        }
    }

    #[test]
    fn a_flood_of_keys_does_not_make_one_be_forgotten_that_was_used_often() {
        let mut throttle = Throttle::new(5, SECOND, 64);
        let now = Instant::now();
        while throttle.take(0, now).is_ok() {}
        for key in 1..10_000 {
            assert_eq!(throttle.take(key, now), Ok(()));
            assert!(throttle.full_at.len() <= 64);
        }
        assert!(throttle.take(0, now).is_err());
    }
}
