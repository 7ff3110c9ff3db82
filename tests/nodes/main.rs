//! Three nodes over one PostgreSQL and one bucket: with faults everywhere, and with collectors that never rest.
//!
//! `cargo test --package registry-tests --features nodes --test nodes`; `tests/setup` installs what is started.
//!
//! | Variable | What |
//! |---|---|
//! | `REGISTRY_BIN` | the binary to test; built if absent |
//! | `REGISTRY_NODES_ROUNDS` | how often everything goes wrong; once if absent |
//! | `REGISTRY_SOAK_SECONDS` | how long the soak runs; 15 if absent, 600 is the long form |
//! | `REGISTRY_SOAK_SEED` | repeats a soak |

// Outside of the functions that are marked as tests, too: there is nobody to hand an error to.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

mod background;
mod cluster;
mod faults;
mod journey;
mod pushers;
mod soak;

/// Waits until a condition holds, for longer than most things in tests may take.
async fn wait_until(what: &str, limit: Duration, mut condition: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !condition().await {
        assert!(begun.elapsed() < limit, "waited {limit:?} in vain until {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A number from one of the variables above, if it is set.
fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}
