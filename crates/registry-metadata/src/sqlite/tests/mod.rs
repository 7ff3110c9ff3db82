//! The contract over a file with two stores open, and over memory; and what only SQLite has.

mod backend;
mod contract;
#[path = "../../../../registry-journal/src/tests/mod.rs"]
mod journal;
mod model;
mod opening;
mod plans;
mod quotas;
mod writing;
