//! The contract over a file with two stores open, and over memory; and what only SQLite has.

mod backend;
mod contract;
mod journal;
mod model;
mod opening;
mod plans;
mod quotas;
mod writing;
