use std::time::Duration;

use crate::Durability;

/// What is to be done: a name for errors, how durable the outcome is, and how long it may take. A name by itself is durable
/// and takes what a request may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// What is being done, for errors: `delete a tag`.
    pub name: &'static str,
    /// How durable the outcome is before it is answered.
    pub durability: Durability,
    /// How long it may take.
    pub limits: Limits,
}

impl From<&'static str> for Operation {
    fn from(name: &'static str) -> Operation {
        Operation { name, durability: Durability::Full, limits: Limits::REQUEST }
    }
}

impl Operation {
    /// The same, which a crash of the database may lose: see [`Durability::Process`].
    pub fn of_process(self) -> Operation {
        Operation { durability: Durability::Process, ..self }
    }

    /// The same, which may take longer.
    pub fn within(self, limits: Limits) -> Operation {
        Operation { limits, ..self }
    }
}

/// How long an operation may take on PostgreSQL. SQLite works in the process: there is nothing to wait for but the file, for
/// ten seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long the server works on one statement; `None` for however long it takes. The answer is waited for one second
    /// longer, so that a server which is only busy says so itself.
    pub statement: Option<Duration>,
    /// How long the server has a statement wait for a lock. Longer than the server's `deadlock_timeout` of one second, or no
    /// deadlock would ever be found.
    pub lock: Duration,
}

impl Limits {
    /// What a client that waits for its answer bears. Statements of requests take milliseconds.
    pub const REQUEST: Limits =
        Limits { statement: Some(Duration::from_secs(3)), lock: Duration::from_secs(2) };

    /// For what counts or moves a whole repository, or all of them.
    pub const LONG: Limits = Limits { statement: None, lock: Duration::from_secs(60) };

    /// How long an answer is waited for.
    #[cfg(feature = "postgres")]
    pub(crate) fn answer(&self) -> Option<Duration> {
        self.statement.map(|statement| statement + Duration::from_secs(1))
    }

    /// The server's settings, each after `word`: `SET`, or `SET LOCAL`.
    #[cfg(feature = "postgres")]
    pub(crate) fn settings(&self, word: &str) -> String {
        let statement_ms = self.statement.map_or(0, |statement| statement.as_millis());
        let lock_ms = self.lock.as_millis();
        format!("{word} statement_timeout = {statement_ms}; {word} lock_timeout = {lock_ms}")
    }
}
