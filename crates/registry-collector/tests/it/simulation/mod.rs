//! Everybody at once, in an order that a seed decides.
//!
//! The collector, the metadata and the sweep are the real ones; the store is the one in memory. Clients, collectors and
//! sweeps each wait for their turn before every request to database or store. The seed decides whose turn it is; which
//! request fails, loses its answer, comes late or twice; who is slow, who dies, and when the clock moves. After each
//! step that may have taken something away all promises are checked. In the end everything comes to rest, and what is
//! stored must be what is in use; then everything is deleted, and nothing may be left.
//!
//! A failure names its seed: `REGISTRY_SIMULATION_SEED=<seed>` runs that one alone and tells its steps.

mod acts;
mod random;
mod run;

use std::{
    env,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use self::run::run;

/// How many seeds are tried, unless `REGISTRY_SIMULATION_SEEDS` says otherwise.
const SEEDS_DEFAULT: u64 = 24;

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|error| panic!("{variable}: {error}")))
}

#[test]
fn no_order_of_events_breaks_a_promise_or_leaks_a_byte() {
    if let Some(seed) = number("REGISTRY_SIMULATION_SEED") {
        let (steps, told) = run(seed);
        eprintln!("{}\nseed {seed}: {steps} steps", told.join("\n"));
        return;
    }
    let seeds = number("REGISTRY_SIMULATION_SEEDS").unwrap_or(SEEDS_DEFAULT);
    let (next, steps) = (AtomicU64::new(0), AtomicU64::new(0));
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(seed) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < seeds)
                {
                    steps.fetch_add(run(seed).0, Ordering::Relaxed);
                }
            });
        }
    });
    eprintln!("{seeds} seeds, {} steps", steps.into_inner());
}

#[test]
fn a_seed_decides_everything() {
    assert_eq!(run(7), run(7));
}
