//! Three nodes over one PostgreSQL and one bucket: with faults everywhere, and with collectors that never rest.

use std::time::{Duration, Instant};

mod background;
mod cluster;
mod faults;
mod journey;
mod pushers;
mod soak;
mod webhooks;

/// Waits until a condition holds, for longer than most things in tests may take.
async fn wait_until(what: &str, limit: Duration, mut condition: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !condition().await {
        assert!(begun.elapsed() < limit, "waited {limit:?} in vain until {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
