//! Waiting for a condition instead of sleeping: fast where the machine is fast, and right where it is slow.

use std::time::{Duration, Instant};

/// How long anything may take before a test gives it up. Generous, because it is only ever reached by a failure.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Waits until `condition` gives something, and returns it.
///
/// # Panics
/// After [`DEADLINE`], naming `what` was waited for.
pub async fn eventually<T>(what: &str, condition: impl AsyncFnMut() -> Option<T>) -> T {
    eventually_within(what, DEADLINE, condition).await
}

/// The same with a limit of its own, for what may take longer.
///
/// # Panics
/// After `limit`, naming `what` was waited for.
pub async fn eventually_within<T>(
    what: &str,
    limit: Duration,
    mut condition: impl AsyncFnMut() -> Option<T>,
) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(started.elapsed() < limit, "waited {limit:?} in vain until {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Waits for a future, at most [`DEADLINE`].
///
/// # Panics
/// When that time is over, naming `what` was waited for.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {DEADLINE:?} in vain until {what}"),
    }
}
