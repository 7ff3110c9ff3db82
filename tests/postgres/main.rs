//! Registries over PostgreSQL: several nodes, a database that is lost under load, TLS, and moving in from SQLite.
//!
//! Starts PostgreSQL from Debian's package, which `tests/setup` installs: `cargo test --package registry-tests --features
//! postgres --test postgres`.

// Outside of the functions that are marked as tests, too: there is nobody to hand an error to.
#![allow(clippy::unwrap_used)]

mod collecting;
mod loss;
mod migrate;
mod nodes;
mod tls;
