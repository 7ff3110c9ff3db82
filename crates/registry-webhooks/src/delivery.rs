//! Messages as the database has them.

use registry_database::{Fault, FromRow, Param, Row, signed};
use registry_events::Event;
use registry_types::{Cause, RequestSource};

use crate::{MessageId, WebhookId, error::StoredError};

/// How a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// It waits: for its turn, or to be tried again.
    Waiting,
    /// The receiver has it.
    Delivered,
    /// It was given up: a dead letter, which a person can send again.
    Dead,
    /// It was not sent, since the receiver may not know of it any more.
    Skipped,
}

impl DeliveryState {
    const ALL: [DeliveryState; 4] =
        [DeliveryState::Waiting, DeliveryState::Delivered, DeliveryState::Dead, DeliveryState::Skipped];

    /// Its name: `waiting`, `delivered`, `dead`, `skipped`.
    pub fn as_str(self) -> &'static str {
        match self {
            DeliveryState::Waiting => "waiting",
            DeliveryState::Delivered => "delivered",
            DeliveryState::Dead => "dead",
            DeliveryState::Skipped => "skipped",
        }
    }

    pub(crate) fn number(self) -> i64 {
        self as i64
    }

    fn of(number: i64) -> Result<DeliveryState, StoredError> {
        let found = DeliveryState::ALL.into_iter().find(|state| state.number() == number);
        found.ok_or(StoredError::State(number))
    }
}

/// A message to a receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its place in the history: pages of it go on before a number.
    pub number: i64,
    /// Its id, which the receiver sees.
    pub id: MessageId,
    /// To which webhook.
    pub webhook: WebhookId,
    /// Which it is of those about its repository, from 1 without gaps.
    pub sequence: u64,
    /// How it stands.
    pub state: DeliveryState,
    /// When it was written, or last sent again under its id by a person, in milliseconds since 1970.
    pub created_at_ms: i64,
    /// When it was delivered or given up.
    pub ended_at_ms: Option<i64>,
    /// What it tells.
    pub event: Event,
}

impl FromRow for Delivery {
    fn from_row(row: &Row<'_>) -> Result<Delivery, Fault> {
        Ok(Delivery {
            number: row.get(0)?,
            id: row.parsed(1)?,
            webhook: row.get(2)?,
            sequence: row.get(3)?,
            state: DeliveryState::of(row.get(4)?).map_err(|error| Fault::Unreadable(error.into()))?,
            created_at_ms: row.get(5)?,
            ended_at_ms: row.get(6)?,
            event: event(row, 7)?,
        })
    }
}

/// The event in the columns from this one on.
fn event(row: &Row<'_>, first: usize) -> Result<Event, Fault> {
    Ok(Event {
        id: row.get(first)?,
        position: row.get(first + 1)?,
        kind: row.parsed(first + 2)?,
        at_ms: row.get(first + 3)?,
        repository: row.get(first + 4)?,
        name: row.get(first + 5)?,
        tag: row.get(first + 6)?,
        digest: row.get(first + 7)?,
        digest_before: row.get(first + 8)?,
        media_type: row.get(first + 9)?,
        size_bytes: row.get(first + 10)?,
        cause: Cause { actor: row.get(first + 11)?, request: request(row, first + 12)? },
    })
}

fn request(row: &Row<'_>, first: usize) -> Result<Option<RequestSource>, Fault> {
    let Some(id) = row.get::<Option<String>>(first)? else { return Ok(None) };
    let text = |index| row.get::<Option<String>>(index);
    let (address, host) = (text(first + 1)?, text(first + 2)?);
    let (method, agent) = (text(first + 3)?.unwrap_or_default(), text(first + 4)?);
    Ok(Some(RequestSource::new(&id, address.as_deref(), host.as_deref(), &method, agent.as_deref())))
}

/// How many values a message is written with.
const VALUES: usize = 20;

/// The values of a new message.
pub(crate) fn values<'a>(
    id: &'a str,
    webhook: WebhookId,
    sequence: u64,
    event: &'a Event,
) -> [Param<'a>; VALUES] {
    let request = event.cause.request.as_ref();
    [
        id.into(),
        webhook.into(),
        signed(sequence).into(),
        event.id.into(),
        event.position.into(),
        event.kind.as_str().into(),
        event.at_ms.into(),
        event.repository.into(),
        event.name.as_deref().into(),
        event.tag.as_deref().into(),
        event.digest.as_deref().into(),
        event.digest_before.as_deref().into(),
        event.media_type.as_deref().into(),
        event.size_bytes.map(signed).into(),
        event.cause.actor().into(),
        request.map(|request| request.id.as_str()).into(),
        request.and_then(|request| request.address.as_deref()).into(),
        request.and_then(|request| request.host.as_deref()).into(),
        request.map(|request| request.method.as_str()).into(),
        request.and_then(|request| request.user_agent.as_deref()).into(),
    ]
}

/// An attempt to send a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Which it is, from 1.
    pub number: u64,
    /// When it began, in milliseconds since 1970.
    pub at_ms: i64,
    /// How long it took.
    pub latency_ms: u64,
    /// What the receiver answered with; none if no answer came.
    pub status: Option<u16>,
    /// Why it failed.
    pub error: Option<String>,
    /// The headers that were sent, one in a line; of those that a person added the names alone.
    pub request_headers: String,
    /// The beginning of the answer's body. None where it came from a place that only the operator opens to users.
    pub answer: Option<String>,
}

impl FromRow for Attempt {
    fn from_row(row: &Row<'_>) -> Result<Attempt, Fault> {
        Ok(Attempt {
            number: row.get(0)?,
            at_ms: row.get(1)?,
            latency_ms: row.get(2)?,
            status: row.get::<Option<u64>>(3)?.and_then(|status| u16::try_from(status).ok()),
            error: row.get(4)?,
            request_headers: row.get(5)?,
            answer: row.get(6)?,
        })
    }
}

/// What a receiver of Docker Hub's format reports to the URL that it was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Callback {
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// `success`, `failure`, `error`.
    pub state: String,
    /// What it says about that.
    pub description: Option<String>,
    /// What did it.
    pub context: Option<String>,
    /// Where there is more.
    pub target_url: Option<String>,
}

impl FromRow for Callback {
    fn from_row(row: &Row<'_>) -> Result<Callback, Fault> {
        Ok(Callback {
            at_ms: row.get(0)?,
            state: row.get(1)?,
            description: row.get(2)?,
            context: row.get(3)?,
            target_url: row.get(4)?,
        })
    }
}
