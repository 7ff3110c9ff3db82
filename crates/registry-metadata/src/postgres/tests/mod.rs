//! The contract over a real server with two stores open; and what only PostgreSQL has.

mod backend;
mod claims;
mod contract;
mod images;
mod loss;
mod namespaces;
mod opening;
mod plans;
mod quotas;
mod races;
mod storm;
