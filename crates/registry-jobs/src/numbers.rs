//! What a page of metrics shows.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use registry_database::{Error, Fault, Session, Step, params, signed, step};

use crate::{Fate, Jobs, SCHEMA, sql};

/// How far jobs that wait are counted.
pub const WAITING_COUNTED_MAX: u64 = 10_000;

/// How jobs of a kind are doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Numbers {
    /// The kind.
    pub kind: &'static str,
    /// How many wait, counted up to [`WAITING_COUNTED_MAX`].
    pub waiting: u64,
    /// Since when the first of them waits, in milliseconds since 1970 UTC by the database's clock.
    pub waiting_since_ms: Option<i64>,
    /// How many are dead.
    pub dead: u64,
    /// How many lanes fail.
    pub failing_lanes: u64,
    /// How many attempts of this process were the end of their job.
    pub done: u64,
    /// How many failed, and the job is tried again.
    pub failed: u64,
    /// How many failed, and the job is dead.
    pub died: u64,
}

/// Attempts of this process.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    done: AtomicU64,
    failed: AtomicU64,
    died: AtomicU64,
}

impl Counters {
    pub(crate) fn count(&self, fate: &Fate) {
        let counter = match fate {
            Fate::Done => &self.done,
            Fate::Again { .. } => &self.failed,
            Fate::Dead => &self.died,
        };
        counter.fetch_add(1, Relaxed);
    }
}

impl Jobs {
    /// How the jobs of each kind are doing.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn numbers(&self) -> Result<Vec<Numbers>, Error> {
        let node = &self.0;
        let is_there = node.database.has_owner(SCHEMA.owner).await.map_err(|error| Error::Unavailable {
            operation: "look for the tables of jobs",
            source: error.into(),
        })?;
        let mut all = Vec::new();
        for kind in &node.kinds {
            let name = kind.handler.kind();
            let counted = match is_there {
                true => node.database.read("count jobs", Count, name).await?,
                false => Numbers::default(),
            };
            let counters = &kind.counters;
            all.push(Numbers {
                kind: name,
                done: counters.done.load(Relaxed),
                failed: counters.failed.load(Relaxed),
                died: counters.died.load(Relaxed),
                ..counted
            });
        }
        Ok(all)
    }
}

/// Counts what the database knows.
struct Count;

impl Step for Count {
    type Of = &'static str;
    type Output = Numbers;

    async fn run<S: Session>(&self, session: &S, kind: &&'static str) -> Result<Numbers, Fault> {
        let number = async |statement| session.one::<u64>(statement, params![*kind]).await;
        let counted = params![*kind, signed(WAITING_COUNTED_MAX)];
        Ok(Numbers {
            waiting: session.one(sql::COUNT_WAITING, counted).await?.unwrap_or(0),
            waiting_since_ms: session
                .one::<Option<i64>>(sql::WAITING_SINCE, params![*kind, ""])
                .await?
                .flatten(),
            dead: number(sql::COUNT_DEAD).await?.unwrap_or(0),
            failing_lanes: number(sql::COUNT_FAILING).await?.unwrap_or(0),
            ..Numbers::default()
        })
    }
}

step!(Count);
