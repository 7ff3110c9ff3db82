//! Tests that only root can run: small file systems are mounted, and files have several owners.
//!
//! `cargo test --package registry-tests --features root --test root`.

// Also in helpers that are not marked as tests: a test has no caller that takes an error.
#![allow(clippy::unwrap_used)]

mod full_disk;
mod rights;
