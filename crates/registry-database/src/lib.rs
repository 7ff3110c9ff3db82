//! The databases that a container registry keeps its tables in: [`Sqlite`], one file for one node, and PostgreSQL (feature
//! `postgres`), a server that any number of nodes share. It knows nothing of what is in the tables.
//!
//! # Owners
//!
//! Tables belong to *owners*, one for each crate that has any. An owner is a [`Schema`]: migrations, and which of its tables
//! are volatile. A program makes one list of all its [`Owners`] and opens the database with it. The table `owners` says whose
//! tables a database has, and which step each of them has done; a program that lacks one of them does not open it, because it
//! could neither keep that owner's tables nor remove what refers to its own. Owners [on demand](Owners::on_demand) come when their
//! feature is first used, so a program without that feature opens what never used it. All steps share one row of numbers, of
//! which `store.format` is the highest that was done.
//!
//! # Promises
//!
//! - **Durable before answered**, on both engines. What may be lost says so: [`Durability::Process`].
//! - **A transaction that loses a race** is run again on PostgreSQL, from its start. SQLite has one writer, and no races.
//! - **A panic in one piece of work costs that work.** SQLite's writer rolls it back and goes on; a second panic in a row
//!   stops it. On PostgreSQL the connection is closed.
//! - **Time limits are the operation's** ([`Limits`]), not the connection's.
//!
//! # Modules
//!
//! | Module | What |
//! |---|---|
//! | `schema`, `owners`, `dialect` | migrations, whose tables there are, and what the two engines spell differently |
//! | [`clock`] | whose time it is |
//! | `fault`, `error` | what stops a piece of work; what its caller is told; why a database can not be opened |
//! | `operation`, `durability` | what is to be done, how durable, how long |
//! | `pace` | [`Pace`]: how often work in the background writes |
//! | `followed` | [`Followed`]: a step, and then one of another crate |
//! | `database` | [`Database`]: a handle to either engine, on which steps run |
//! | `session`, `statement`, `param`, `row`, `answers` | logic that is written once for both engines |
//! | [`sqlite`] (feature `sqlite`) | the thread that writes, readers, the log, opening |
//! | [`postgres`] (feature `postgres`) | options, TLS, the pool, connections, transactions |
//! | `contract` (feature) | databases of both engines for the tests of owners' crates |
//! | [`transfer`] (both features) | from SQLite to PostgreSQL, compared row by row |

#![forbid(unsafe_code)]

mod answers;
pub mod clock;
#[cfg(feature = "contract")]
pub mod contract;
mod database;
mod dialect;
mod durability;
mod error;
mod fault;
mod followed;
mod operation;
mod owners;
mod pace;
mod param;
#[cfg(feature = "postgres")]
pub mod postgres;
mod row;
mod schema;
mod session;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod statement;
#[cfg(all(feature = "sqlite", feature = "postgres"))]
pub mod transfer;

pub use answers::Answers;
pub use clock::{Clock, SystemClock};
pub use database::Database;
pub use dialect::{Dialect, POSTGRES, SQLITE};
pub use durability::Durability;
pub use error::{Cause, Error, OpenError};
pub use fault::{Contended, Fault, Remedy};
pub use followed::Followed;
pub use operation::{Limits, Operation};
pub use owners::Owners;
pub use pace::Pace;
pub use param::{Param, signed};
#[cfg(feature = "postgres")]
pub use postgres::{Pool, PoolOptions, Pooled, PostgresOptions};
pub use row::{FromColumn, FromRow, IfReadable, Row, Text};
pub use schema::{Migration, SCHEMA, Schema};
pub use session::{AnyStep, Session, Step};
#[cfg(feature = "sqlite")]
pub use sqlite::Sqlite;
pub use statement::{Deferred, Statement};
