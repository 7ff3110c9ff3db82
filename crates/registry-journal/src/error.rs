use std::error::Error as StdError;

use thiserror::Error;

/// Why a journal can not be used, or not now.
#[derive(Debug, Error)]
pub enum JournalError {
    /// The store of the journal failed or did not answer. Trying again may help.
    #[error("the journal's store failed: {operation}")]
    Store {
        /// What was being done.
        operation: &'static str,
        /// What the store said.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// SQLite failed.
    #[error("the journalled database failed: {operation}")]
    Database {
        /// What was being done.
        operation: &'static str,
        /// What it said.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// An object of the journal is not what it was when it was written.
    #[error("the journal's object {name} is damaged: {reason}")]
    Damaged {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An object that the journal needs is not there.
    #[error("the journal's object {name} is missing")]
    Gone {
        /// Its name.
        name: String,
    },
    /// A change does not fit the database that it is to be made to, so the two do not have the same history.
    #[error("change {number} of the journal does not fit the database: {reason}")]
    DoesNotFit {
        /// The number of the commit.
        number: i64,
        /// What does not fit.
        reason: String,
    },
    /// Database and journal were the same once and went different ways.
    #[error(
        "the database and the journal in the store differ from commit {number} on: another process has written to this \
         store. What was acknowledged is in the journal; to go on with it, move the database file away, and it is made \
         again from the journal"
    )]
    Diverged {
        /// The first commit that is known to differ.
        number: i64,
    },
    /// The database knows that commits were stored which the store does not have.
    #[error(
        "the database is at commit {number} and the journal ends at {stored}, and the database does not have what is \
         missing there: the store was put back to an earlier state, or is another one"
    )]
    Ahead {
        /// Where the database is.
        number: i64,
        /// Where the journal ends; 0 if there is none.
        stored: i64,
    },
    /// The database has content, and the store has the journal of another one.
    #[error(
        "the database has content that the journal in the store does not know. Give it the store that it belongs to, or \
         move the database file away, and it is made again from the journal"
    )]
    Foreign,
    /// No snapshot in the store can be used.
    #[error("the journal has no snapshot that can be read, so the database can not be made from it")]
    NoSnapshot,
    /// Another process has written to the journal. This one must not answer any more.
    #[error(
        "another process has stored commit {number} of the journal: this one stops, since only one may write"
    )]
    Fenced {
        /// The commit that both wanted to store.
        number: i64,
    },
    /// What was committed is not stored yet, though it was waited for. It may still be, later.
    #[error("the journal's store has not taken commit {number} for {waited_secs} s")]
    Behind {
        /// The commit.
        number: i64,
        /// How long it was waited for.
        waited_secs: u64,
    },
    /// Another process works with the database.
    #[error("the database is in use")]
    InUse {
        /// By whom, if that is known.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The process is stopping.
    #[error("the journal is being closed")]
    Stopping,
}

/// Why a database with a journal can not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The database itself can not be opened.
    #[error(transparent)]
    Database(#[from] registry_database::OpenError),
    /// Database and journal can not be made one.
    #[error("the database can not be used with its journal")]
    Journal(#[from] JournalError),
}

pub(crate) type Result<T> = std::result::Result<T, JournalError>;

impl JournalError {
    pub(crate) fn database(operation: &'static str) -> impl Fn(rusqlite::Error) -> JournalError + Copy {
        move |source| JournalError::Database { operation, source: Box::new(source) }
    }

    pub(crate) fn file(operation: &'static str) -> impl Fn(std::io::Error) -> JournalError + Copy {
        move |source| JournalError::Database { operation, source: Box::new(source) }
    }

    pub(crate) fn damaged(name: impl Into<String>, reason: &'static str) -> JournalError {
        JournalError::Damaged { name: name.into(), reason }
    }

    /// Whether trying again can help.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, JournalError::Store { .. } | JournalError::Behind { .. })
    }
}
