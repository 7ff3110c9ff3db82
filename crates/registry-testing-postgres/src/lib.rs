//! A PostgreSQL server for tests ([`PostgresServer`]), and a way to it that breaks where a test wants it to ([`Proxy`]).

#![forbid(unsafe_code)]

mod proxy;
mod server;

pub use proxy::{Break, Proxy};
pub use server::PostgresServer;
