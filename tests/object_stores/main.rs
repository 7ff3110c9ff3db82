//! Object stores: servers that speak as the clouds do, started here, each on a port of its own.
//!
//! `tests/setup stores` installs them; `cargo test --package registry-tests --features object-stores --test object_stores`
//! runs this.

// Outside of the functions that are marked as tests, too: there is nobody to hand an error to.
#![allow(clippy::unwrap_used)]

mod contract;
mod faults;
mod rebuild;
mod servers;
mod uploads;
mod whole;
