//! Tests over servers of others, which each test starts on a port of its own: PostgreSQL, servers that speak as object
//! stores do, the Go registry, and an authority for certificates. `tests/setup clients stores registries` installs them.
//!
//! `cargo test --package registry-tests --features servers --test servers -- postgres::` runs the tests of one module.
//!
//! | Variable | What |
//! |---|---|
//! | `REGISTRY_BIN` | the binary to test; the one that is built with the tests, if absent |
//! | `REGISTRY_EARLIER_BIN` | the program before this one, for the tests of `upgrade`, which are ignored without being asked for: `tests/setup earlier` builds it |
//! | `REGISTRY_NODES_ROUNDS` | how often every fault is tried on three nodes; once if absent |
//! | `REGISTRY_SOAK_SECONDS` | how long the soak of three nodes runs; 15 if absent, 600 is the long form |
//! | `REGISTRY_SOAK_SEED` | repeats a soak |
//! | `REGISTRY_WEBHOOK_KILLS` | how many nodes are killed while receivers are told of events; 10 if absent, 100 is the long form |

// Also in helpers that are not marked as tests: a test has no caller that takes an error.
#![allow(clippy::unwrap_used)]

mod acme;
mod go_registry;
mod moving;
mod nodes;
mod notifications;
mod object_stores;
mod postgres;
mod tokens;
mod upgrade;

/// A number from one of the variables above, if it is set.
fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}
