//! The collector over real stores, with a clock that stands still until it is moved.

// Outside of the functions that are marked as tests, too: there is nobody to hand an error to.
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
