use std::time::Duration;

/// For how long attempts for one message go on.
pub const ATTEMPTS_WITHIN: Duration = Duration::from_secs(24 * 60 * 60);

/// How long to wait after the first failed attempt, the second, and so on: after these, the message is a dead letter. Together they
/// are a day and three and a half hours.
///
/// Source: Standard Webhooks, "Deliverability and reliability", without its last ones.
const WAITS: [Duration; 7] = [
    Duration::from_secs(5),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 60 * 60),
    Duration::from_secs(5 * 60 * 60),
    Duration::from_secs(10 * 60 * 60),
    Duration::from_secs(10 * 60 * 60),
];

/// How many attempts there are at least for a message before it is given up, by [`Backoff::Standard`].
pub const ATTEMPTS_MAX: u32 = WAITS.len() as u32 + 1;

/// By how much a wait is made longer or shorter by chance, so that receivers that failed together are not asked together.
const JITTER: f64 = 0.2;

/// The shortest wait that is not our own choice.
const WAIT_MIN: Duration = Duration::from_secs(1);

/// When a message that failed is tried again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backoff {
    /// After 5 seconds, 5 minutes, 30 minutes, 2, 5, 10 and 10 hours.
    #[default]
    Standard,
    /// As an endpoint of the Go registry: each second up to `threshold` failures in a row, then at each `backoff`, for a day.
    Endpoint {
        /// How many failures.
        threshold: u32,
        /// How long to wait after those.
        backoff: Duration,
    },
}

impl Backoff {
    /// How long to wait after this failure, the message's first being 1; none if the message is given up. `age` is how old the
    /// message is. What the receiver asked for in `retry_after` is obeyed, whether it is shorter or longer.
    pub fn after(self, failures: u32, age: Duration, retry_after: Option<Duration>) -> Option<Duration> {
        let is_tried_enough = failures >= ATTEMPTS_MAX || matches!(self, Backoff::Endpoint { .. });
        // A receiver that asks for many attempts has them for a day; a message that waited long before its first has all of them.
        if is_tried_enough && age >= ATTEMPTS_WITHIN {
            return None;
        }
        let asked = retry_after.map(|asked| asked.max(WAIT_MIN));
        Some(asked.unwrap_or_else(|| self.own(failures)))
    }

    fn own(self, failures: u32) -> Duration {
        match self {
            Backoff::Standard => jittered(WAITS[(failures.saturating_sub(1) as usize).min(WAITS.len() - 1)]),
            Backoff::Endpoint { threshold, backoff } if failures >= threshold => backoff.max(WAIT_MIN),
            Backoff::Endpoint { .. } => WAIT_MIN,
        }
    }
}

fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(1.0 - JITTER + 2.0 * JITTER * fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGE: Duration = Duration::from_secs(60);

    #[test]
    fn waits_grow_over_a_day_and_end() {
        let mut all = Duration::ZERO;
        for failures in 1..ATTEMPTS_MAX {
            let wait = WAITS[failures as usize - 1];
            all += wait;
            for _ in 0..100 {
                let seen = Backoff::Standard.after(failures, AGE, None).unwrap();
                assert!(seen >= wait.mul_f64(0.8) && seen <= wait.mul_f64(1.2), "{failures}: {seen:?}");
            }
        }
        assert_eq!(Backoff::Standard.after(ATTEMPTS_MAX, ATTEMPTS_WITHIN, None), None);
        // One that waited for a paused webhook before its first attempt has all of them.
        assert!(Backoff::Standard.after(1, ATTEMPTS_WITHIN * 10, None).is_some());
        assert!(all > ATTEMPTS_WITHIN && all < ATTEMPTS_WITHIN * 3 / 2, "{all:?}");
    }

    #[test]
    fn two_waits_differ() {
        let waits: Vec<_> = (0..10).map(|_| Backoff::Standard.after(3, AGE, None)).collect();
        assert!(waits.iter().any(|wait| *wait != waits[0]), "{waits:?}");
    }

    #[test]
    fn what_the_receiver_asks_for_is_kept_to() {
        let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3600));
        for backoff in
            [Backoff::Standard, Backoff::Endpoint { threshold: 3, backoff: Duration::from_secs(60) }]
        {
            assert_eq!(backoff.after(1, AGE, Some(hour)), Some(hour));
            assert_eq!(backoff.after(6, AGE, Some(second)), Some(second), "a receiver knows when it is well");
            assert_eq!(backoff.after(6, AGE, Some(Duration::ZERO)), Some(WAIT_MIN));
            // For a day, however often.
            assert_eq!(backoff.after(5000, AGE, Some(second)), Some(second));
            assert_eq!(backoff.after(5000, ATTEMPTS_WITHIN, Some(second)), None);
        }
        assert!(Backoff::Standard.after(5000, AGE, None).unwrap() >= hour * 8);
    }

    #[test]
    fn endpoints_keep_to_their_configuration_for_a_day() {
        let backoff = Backoff::Endpoint { threshold: 3, backoff: Duration::from_secs(60) };
        let waits = (1..=4).map(|failures| backoff.after(failures, AGE, None).unwrap().as_secs());
        assert_eq!(waits.collect::<Vec<_>>(), [1, 1, 60, 60]);
        assert_eq!(backoff.after(5000, ATTEMPTS_WITHIN - AGE, None), Some(Duration::from_secs(60)));
        assert_eq!(backoff.after(2, ATTEMPTS_WITHIN, None), None);
        let none = Backoff::Endpoint { threshold: 0, backoff: Duration::ZERO };
        assert_eq!(none.after(1, AGE, None), Some(WAIT_MIN));
    }
}
