//! Registries to test against, images to test with, and a client that checks every byte.
//!
//! Everything here is real: the registry in the test's own process ([`TestRegistry`]) listens on a socket, the binary as
//! a child process ([`Server`]) is the one that is released, and [`Client`] speaks HTTP with hyper. It is *not* a mock of
//! anything, and nothing here is published.
//!
//! ```no_run
//! use registry_testing::{Client, Image, TestRegistry};
//!
//! # async fn run() -> Result<(), registry_testing::ClientError> {
//! let registry = TestRegistry::start().await;
//! let client = Client::new(registry.url());
//! let image = Image::random(1);
//! client.push("team/app", "latest", &image).await?;
//! client.pull("team/app", "latest", &image).await?;
//! # Ok(()) }
//! ```
//!
//! | Module | What |
//! |---|---|
//! | `in_process` | [`TestRegistry`]: a registry on a free port, in memory or on a temporary folder |
//! | `server`, `binary`, `log` | [`Server`]: the program as a child process |
//! | `client`, `connection`, `request` | [`Client`]: HTTP/1.1, HTTP/2 and TLS, one request and one answer at a time |
//! | `object_server`, `fault_proxy` | [`ObjectServer`]: S3 and Azure on this machine; [`FaultProxy`]: trouble on the way to it |
//! | `transfer` | pushing and pulling as docker does, every byte verified |
//! | `image`, `random` | [`Image`], [`Index`] and [`Content`] made from a seed |
//! | `raw` | [`RawConnection`]: bytes to a socket, as broken and hostile clients send them |
//! | `pushed`, `soak` | [`Pushed`]: images to compare with later; [`SoakWorker`]: a client that does everything at random |
//! | `earlier` | [`Earlier`]: what a program of an earlier version left |
//! | [`tokens`] | keys, certificates and signed tokens, good and bad |
//! | `moves` | [`Movers`]: clients that move tags, and what receivers have to be told of it |
//! | `receiver` | [`Receiver`]: is told of events, and behaves well or badly |
//! | `token_server` | [`TokenServer`]: gives tokens to clients that ask for them |
//! | `wait` | waiting for a condition instead of sleeping |
//!
//! Helpers that stand for an assertion panic with what they saw; whatever a test may want to see fail returns a
//! [`Result`].

#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "tests play the clients: they connect as those do")]

mod binary;
mod client;
mod connection;
mod earlier;
mod fault_proxy;
mod image;
mod in_process;
mod log;
mod moves;
mod object_server;
mod pushed;
mod random;
mod raw;
mod receiver;
mod request;
mod server;
mod soak;
mod token_server;
pub mod tokens;
mod transfer;
mod wait;

pub use binary::{Program, run_binary, run_binary_with_input};
pub use client::{Client, ClientError};
pub use connection::Protocol;
pub use earlier::Earlier;
pub use fault_proxy::FaultProxy;
pub use image::{Content, Image, ImageOptions, Index};
pub use in_process::TestRegistry;
pub use log::Log;
pub use moves::{Movers, TagMoved, ToldMove, check_order_of_moves, check_told_moves};
pub use object_server::{ObjectServer, free_port};
pub use pushed::{Pushed, lists};
pub use random::Random;
pub use raw::{RawConnection, RawResponse};
pub use receiver::{Behaviour, Received, Receiver};
pub use request::{Download, Request, Response};
pub use server::{Server, ServerOptions};
pub use soak::{SoakWorker, Soaked, nothing_but_what_is_reachable_is_left};
pub use token_server::{Right, TokenServer, TokenServerOptions, User, Users};
pub use transfer::UploadSession;
pub use wait::{DEADLINE, eventually, eventually_within, within};

/// The examples of the README are compiled like these.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
