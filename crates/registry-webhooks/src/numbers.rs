//! What a page of metrics shows.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use registry_database::{Fault, FromRow, Row, Session, Step, params, step};

use crate::{DeliveryState, WebhookError, Webhooks, sql, stored::State};

/// How webhooks are doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Numbers {
    /// Each of them, by name.
    pub webhooks: Vec<WebhookNumbers>,
    /// How many attempts of this process reached their receivers.
    pub delivered: u64,
    /// How many attempts of this process failed, and are made again.
    pub failed: u64,
    /// How many messages this process gave up.
    pub dead: u64,
    /// How many messages this process did not send, since their receivers may not know of them.
    pub skipped: u64,
    /// How many pulls, mounts and pushes of blobs wait in the memory of this process.
    pub notices_waiting: u64,
    /// How many of those were dropped or given up.
    pub notices_dropped: u64,
}

/// How a webhook is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebhookNumbers {
    /// Its name.
    pub name: String,
    /// Whether it is told of events: `active`, `paused`, `disabled`.
    pub state: &'static str,
    /// How many messages wait.
    pub waiting: u64,
    /// Since when the first of them does, in milliseconds since 1970.
    pub waiting_since_ms: Option<i64>,
    /// How many dead letters its history has.
    pub dead: u64,
}

impl FromRow for WebhookNumbers {
    fn from_row(row: &Row<'_>) -> Result<WebhookNumbers, Fault> {
        let state = State::of(row.get(1)?, None).map_err(|error| Fault::Unreadable(error.into()))?;
        Ok(WebhookNumbers {
            name: row.get(0)?,
            state: state.as_str(),
            waiting: row.get(2)?,
            waiting_since_ms: row.get(3)?,
            dead: row.get(4)?,
        })
    }
}

/// What this process has done, in the order of [`DeliveryState`]: a waiting one failed.
#[derive(Debug, Default)]
pub(crate) struct Counted([AtomicU64; 4]);

impl Counted {
    pub(crate) fn attempt(&self, state: DeliveryState) {
        self.0[state as usize].fetch_add(1, Relaxed);
    }

    fn of(&self, state: DeliveryState) -> u64 {
        self.0[state as usize].load(Relaxed)
    }
}

impl Webhooks {
    /// How webhooks are doing.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn numbers(&self) -> Result<Numbers, WebhookError> {
        let webhooks = match self.are_used().await? {
            true => self.read("count messages", Count, ()).await?,
            false => Vec::new(),
        };
        let (counted, notices) = (&self.0.counted, self.0.notices.load().numbers());
        Ok(Numbers {
            webhooks,
            delivered: counted.of(DeliveryState::Delivered),
            failed: counted.of(DeliveryState::Waiting),
            dead: counted.of(DeliveryState::Dead),
            skipped: counted.of(DeliveryState::Skipped),
            notices_waiting: notices.0,
            notices_dropped: notices.1,
        })
    }
}

struct Count;

impl Step for Count {
    type Of = ();
    type Output = Vec<WebhookNumbers>;

    async fn run<S: Session>(&self, session: &S, (): &()) -> Result<Vec<WebhookNumbers>, Fault> {
        session.all(sql::NUMBERS, params![]).await
    }
}

step!(Count);
