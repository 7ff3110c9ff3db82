//! Tests of the whole: each drives the real thing over a real socket, in this process ([`registry_testing::TestRegistry`])
//! or as the binary ([`registry_testing::Server`]), whichever shows more. One module for each subject.
//!
//! | Variable | What |
//! |---|---|
//! | `REGISTRY_BIN` | the binary to test; the one that is built with the tests, if absent |
//! | `REGISTRY_CRASH_KILLS` | how often the crash test kills the server; 10 if absent |
//! | `REGISTRY_CRASH_SEED` | repeats a crash test |
//! | `REGISTRY_JOURNAL_IMAGES` | how many images the test of a lost disk pushes; 25 if absent |
//! | `REGISTRY_WEBHOOK_KILLS` | how often the test of webhooks on a disk that is lost kills the server; 3 if absent |
//! | `REGISTRY_SOAK_SECONDS` | how long the soak runs; 15 if absent, 600 is the long form |
//! | `REGISTRY_SOAK_KILLS` | how often server and collectors are killed; 6 if absent |
//! | `REGISTRY_SOAK_SEED` | repeats a soak |

// Also in helpers that are not marked as tests: a test has no caller that takes an error.
#![allow(clippy::unwrap_used)]

mod access;
mod cli;
mod collecting;
mod completions;
mod crash;
mod dependencies;
mod earlier;
mod embedding;
mod healing;
mod immutable;
mod journal;
mod lists;
mod manifests;
mod memory;
mod metrics;
mod mirror;
mod mounts;
mod packages;
mod promises;
mod protocol;
mod proxies;
mod published;
mod push_pull;
mod quotas;
mod ranges;
mod rates;
mod raw_socket;
mod referrers;
mod retention;
mod secured;
mod sinks;
mod size;
mod soak;
mod store_start;
mod tokens;
mod twins;
mod uploads;
mod web_pages;
mod webhooks;
mod wire;

/// A number from one of the variables above, if it is set.
fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}
