//! A PostgreSQL server for tests ([`PostgresServer`]), and a way to it that breaks where a test wants it to ([`Proxy`]).

#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "tests play the clients: they connect as those do")]

mod proxy;
mod server;

pub use proxy::{Break, Proxy};
pub use server::PostgresServer;
