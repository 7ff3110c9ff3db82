use std::{io, path::PathBuf};

use thiserror::Error;

use super::JournalError;

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
    /// The database is journalled, and was to be opened without its journal, which would then not know what is done.
    #[error(
        "{} is journalled into its store and can only be used with its journal: switch that on \
         (metadata.sqlite.journal.enabled), or give it up for good with `registry journal drop`",
        path.display()
    )]
    Journalled {
        /// The database.
        path: PathBuf,
    },
    /// Database and journal can not be made one.
    #[error("the database can not be used with its journal")]
    Journal(#[from] JournalError),
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
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
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
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl OpenError {
    pub(super) fn system(operation: &'static str) -> impl FnOnce(io::Error) -> OpenError {
        move |source| OpenError::System { operation, source }
    }

    pub(super) fn database(operation: &'static str) -> impl FnOnce(rusqlite::Error) -> OpenError {
        move |source| OpenError::Database { operation, source: Box::new(source) }
    }
}
