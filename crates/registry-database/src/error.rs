//! Why a database did not do what it was asked for, and why one can not be opened.

use std::{error::Error as StdError, io, path::PathBuf};

use thiserror::Error;

/// An error of any kind, with its causes.
pub type Cause = Box<dyn StdError + Send + Sync>;

/// Why a piece of work was not done. Nothing of it was kept, unless [`Error::Unavailable`] says otherwise.
#[derive(Debug, Error)]
pub enum Error {
    /// The work itself refused, for this reason. The crate that defined the work knows the type.
    #[error(transparent)]
    Refused(Cause),
    /// The disk is full.
    #[error("no space left for the database: {operation}")]
    NoSpace {
        /// What was being done.
        operation: &'static str,
        /// What the database said.
        #[source]
        source: Cause,
    },
    /// The database can not serve right now: locked for too long, not reachable, or shutting down. Trying again later may
    /// help. If the answer to a commit was lost, the work may have been done.
    #[error("the database is not available: {operation}")]
    Unavailable {
        /// What was being done.
        operation: &'static str,
        /// What the database said.
        #[source]
        source: Cause,
    },
    /// The database failed, holds a value that can not be there, or the work panicked.
    #[error("the database failed: {operation}")]
    Failed {
        /// What was being done.
        operation: &'static str,
        /// What the database said.
        #[source]
        source: Cause,
    },
}

/// Why a database can not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// SQLite's locks and its shared memory do not work over a network: two machines could write at once and destroy
    /// the database.
    #[error(
        "{} lies on a network file system ({kind}), where a SQLite database can be destroyed: put it on a \
         local disk, or use PostgreSQL",
        path.display()
    )]
    NetworkFileSystem {
        /// The database.
        path: PathBuf,
        /// The file system.
        kind: String,
    },
    /// The file is a SQLite database of something else.
    #[error("{} is a database of another program", path.display())]
    Foreign {
        /// The database.
        path: PathBuf,
    },
    /// A newer version of the registry has changed the schema in a way that this version does not understand.
    #[error(
        "the database has schema {format} and can be used by versions that know schema {oldest_binary} or later; \
         this one knows {known}: run a newer version"
    )]
    TooNew {
        /// The database's schema.
        format: i64,
        /// What a version must know at least.
        oldest_binary: i64,
        /// What this version knows.
        known: i64,
    },
    /// The database has tables of a part of the registry that this program was built without, or does not know yet.
    #[error(
        "the database has tables of `{owner}`, which this program does not know: run a version that has it, built \
         with all its features"
    )]
    UnknownOwner {
        /// The part.
        owner: String,
    },
    /// A journal follows the database's commits, and would not know of tables that are made now.
    #[error(
        "the database has no tables of `{owners}`, and none can be made beside its journal: start the registry's server \
         once in a version that has this part"
    )]
    Followed {
        /// The parts, separated by commas.
        owners: String,
    },
    /// The file system does not let SQLite keep a write-ahead log.
    #[error(
        "the database's file system does not support a write-ahead log (the journal stays in mode `{mode}`)"
    )]
    NoWriteAheadLog {
        /// The mode that the journal is in.
        mode: String,
    },
    /// Another process serves from this database. SQLite means one serving node.
    #[error(
        "another process serves from {}: one SQLite database serves one node, more nodes need PostgreSQL",
        path.display()
    )]
    Served {
        /// The database.
        path: PathBuf,
    },
    /// The tables of another program are in the schema of the PostgreSQL database.
    #[error(
        "the database has tables of another program: give the registry a database or a schema of its own"
    )]
    ForeignTables,
    /// The database's URL can not be used. The message does not repeat it: it may hold a password.
    #[error("the URL of the database can not be used: {reason}")]
    InvalidUrl {
        /// Why.
        reason: String,
    },
    /// A certificate or key for the connection to the database can not be read.
    #[error("can not read the certificate {}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why it can not be read.
        #[source]
        source: Cause,
    },
    /// The system failed.
    #[error("could not {operation}")]
    System {
        /// What was being done.
        operation: &'static str,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// The database failed.
    #[error("could not {operation}")]
    Database {
        /// What was being done.
        operation: &'static str,
        /// What it said.
        #[source]
        source: Cause,
    },
}

impl OpenError {
    /// For `map_err`: the system failed to do `operation`.
    pub fn system(operation: &'static str) -> impl FnOnce(io::Error) -> OpenError {
        move |source| OpenError::System { operation, source }
    }

    /// For `map_err`: the database failed to do `operation`.
    pub fn database<E: Into<Cause>>(operation: &'static str) -> impl FnOnce(E) -> OpenError {
        move |source| OpenError::Database { operation, source: source.into() }
    }
}
