//! The collector over real stores, with a clock that stands still until it is moved.

// Also in helpers that are not marked as tests: a test has no caller that takes an error.
#![allow(clippy::unwrap_used)]

mod fsck;
mod model;
mod poison;
mod races;
mod retention;
mod simulation;
mod stage;
mod sweep;
mod world;
