use std::{error::Error as StdError, sync::Arc};

use rusqlite::Connection;

/// Why a hook does not let a commit count.
pub type HookError = Arc<dyn StdError + Send + Sync>;

/// Called with the outcome when a commit counts, or when it is known that it does not.
pub type Answer = Box<dyn FnOnce(Result<(), HookError>) + Send>;

/// What follows every commit of a database, on the thread that writes: a journal of changes. The methods are called in the
/// order in which they stand here.
pub trait CommitHook: Send {
    /// Waits until more may be committed.
    ///
    /// # Errors
    /// If nothing may be committed; then nothing is.
    fn admit(&mut self) -> Result<(), HookError>;

    /// Whether the transaction holds as much as one commit should. Asked after each piece of work; the rest goes into the
    /// next commit.
    ///
    /// # Errors
    /// SQLite's; then the transaction is rolled back.
    fn is_full(&mut self, writer: &Connection) -> rusqlite::Result<bool>;

    /// The transaction is about to be committed; what is written now belongs to it.
    ///
    /// # Errors
    /// SQLite's; then the transaction is rolled back.
    fn seal(&mut self, writer: &Connection) -> rusqlite::Result<()>;

    /// Whether the transaction that was sealed was committed.
    fn committed(&mut self, is_committed: bool);

    /// Calls `answer` when everything that is committed now counts, at once or later, on any thread.
    fn when_stored(&mut self, answer: Answer);
}
