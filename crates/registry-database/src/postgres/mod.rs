//! PostgreSQL: a pool of connections to a server that several processes share.

mod commit;
pub mod connection;
mod content;
mod fault;
mod guard;
mod migrate;
mod options;
mod owners;
mod pool;
pub mod row;
mod session;
#[cfg(test)]
#[cfg(feature = "postgres-server")]
pub(crate) mod tests;
mod tls;
mod transaction;
#[cfg(test)]
mod trust_tests;

pub(crate) use self::fault::{explain, is_about_rows, remedy};
pub use self::{
    connection::{Connection, Parameters},
    content::has_content,
    migrate::migrate,
    options::{PoolOptions, PostgresOptions},
    pool::{Pool, Pooled},
    transaction::{Work, transact, try_transact},
};
