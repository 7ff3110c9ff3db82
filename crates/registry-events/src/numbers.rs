//! What a page of metrics shows.

use registry_database::{Database, Error, Fault, Session, Step, params, step};

use crate::{Recorder, sql, steps::is_there};

/// How far events that wait for a position are counted.
pub const WAITING_COUNTED_MAX: u64 = 10_000;

/// How events are doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Numbers {
    /// How many events this process has written since it started, with those whose transactions were rolled back.
    pub recorded: u64,
    /// How many events wait for a position, counted up to [`WAITING_COUNTED_MAX`].
    pub waiting: u64,
    /// Since when the first of them waits, in milliseconds since 1970 UTC by the database's clock.
    pub waiting_since_ms: Option<i64>,
    /// The consumers, by name.
    pub consumers: Vec<ConsumerNumbers>,
}

/// How a consumer is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerNumbers {
    /// Its name.
    pub name: String,
    /// How many events have a position and were not taken yet.
    pub lag: u64,
    /// How many it lost, because it lagged too far or they could not be read.
    pub lost: u64,
}

impl Numbers {
    /// Reads them; nothing, if the recorder is one that never wants events.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn read(database: &Database, recorder: &Recorder) -> Result<Numbers, Error> {
        let Some(state) = recorder.state() else { return Ok(Numbers::default()) };
        if !is_there(database, state).await? {
            return Ok(Numbers { recorded: recorder.recorded(), ..Numbers::default() });
        }
        let numbers = database.read("count events", Count, ()).await?;
        Ok(Numbers { recorded: recorder.recorded(), ..numbers })
    }
}

/// Counts what the database knows.
struct Count;

impl Step for Count {
    type Of = ();
    type Output = Numbers;

    async fn run<S: Session>(&self, session: &S, (): &()) -> Result<Numbers, Fault> {
        let (waiting, consumers) = tokio::join!(
            biased;
            async { session.one::<(u64, Option<i64>)>(sql::WAITING, params![WAITING_COUNTED_MAX as i64]).await },
            async { session.all::<(String, i64, u64)>(sql::CONSUMERS, params![]).await },
        );
        let (waiting, waiting_since_ms) = waiting?.unwrap_or_default();
        let consumer = |(name, lag, lost): (String, i64, u64)| ConsumerNumbers {
            name,
            lag: u64::try_from(lag).unwrap_or(0),
            lost,
        };
        let consumers = consumers?.into_iter().map(consumer).collect();
        Ok(Numbers { recorded: 0, waiting, waiting_since_ms, consumers })
    }
}

step!(Count);
