//! From events to messages.

use std::collections::BTreeMap;

use registry_database::{Fault, Session, Step, params, signed, step};
use registry_events::{Event, behind, take};
use registry_jobs::{NewJob, enqueue};
use registry_types::WebhookFormat;

use crate::{
    Filter, MessageId, WebhookError, WebhookId,
    delivery::values,
    sql,
    stored::{State, Stored},
};

/// A webhook for which so many messages wait is given no more events: those stay where they cost nothing.
pub(crate) const WAITING_MAX: u64 = 64;

/// How many events become messages in one transaction at most.
pub(crate) const FED_MAX: usize = 100;

/// What the names of our consumers begin with; and what comes after all of them.
const CONSUMERS: [&str; 2] = ["webhook:", "webhook;"];

/// How many webhooks are looked after at a time.
const BEHIND_MAX: usize = 1000;

/// The kind of our jobs: a job for each message that waits, with its id.
pub(crate) const KIND: &str = "webhook";

/// The lane of a webhook: its messages wait for each other.
pub(crate) fn lane(webhook: WebhookId) -> String {
    webhook.to_string()
}

/// The consumer of a webhook.
pub(crate) fn consumer(webhook: WebhookId) -> String {
    format!("{}{webhook}", CONSUMERS[0])
}

/// The webhooks for which there are events.
pub(crate) struct Behind;

impl Step for Behind {
    type Of = ();
    type Output = Vec<WebhookId>;

    async fn run<S: Session>(&self, session: &S, (): &()) -> Result<Vec<WebhookId>, Fault> {
        let names = behind(session, CONSUMERS[0], CONSUMERS[1], BEHIND_MAX).await?;
        Ok(names.iter().filter_map(|name| name.strip_prefix(CONSUMERS[0])?.parse().ok()).collect())
    }
}

/// Makes messages of the next events for a webhook, if it is active and has caught up with what it was given.
pub(crate) struct Feed;

pub(crate) struct Feeding {
    pub(crate) webhook: WebhookId,
    /// What the configuration of this node says, for a webhook that is configured.
    pub(crate) configured: Option<(WebhookFormat, Filter)>,
    /// New ids: as many as there may be messages.
    pub(crate) ids: Vec<MessageId>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fed {
    /// How many events were taken.
    pub(crate) taken: usize,
    /// How many messages there are of them.
    pub(crate) messages: usize,
}

impl Step for Feed {
    type Of = Feeding;
    type Output = Fed;

    async fn run<S: Session>(&self, session: &S, feeding: &Feeding) -> Result<Fed, Fault> {
        let webhook = feeding.webhook;
        session.lock(sql::LOCK_WEBHOOK, params![webhook]).await?;
        let stored: Option<Stored> = session.one(sql::WEBHOOK_OF_ID, params![webhook]).await?;
        let Some(stored) = stored.filter(|stored| stored.state == State::Active) else {
            return Ok(Fed::default());
        };
        let Some((format, filter)) = wanted(&stored, feeding)? else { return Ok(Fed::default()) };
        let waiting: u64 =
            session.one(sql::WAITING, params![webhook, signed(WAITING_MAX)]).await?.unwrap_or(0);
        if waiting >= WAITING_MAX {
            return Ok(Fed::default());
        }
        let events = take(session, &consumer(webhook), FED_MAX.min(feeding.ids.len())).await?;
        let passed: Vec<&Event> = events.iter().filter(|event| filter.lets_pass(format, event)).collect();
        write(session, webhook, &passed, &feeding.ids).await?;
        Ok(Fed { taken: events.len(), messages: passed.len() })
    }
}

/// Format and filter; none where the configuration of this node does not know the webhook.
fn wanted(stored: &Stored, feeding: &Feeding) -> Result<Option<(WebhookFormat, Filter)>, Fault> {
    if stored.is_configured {
        return Ok(feeding.configured.clone());
    }
    Ok(Some((
        stored.format.unwrap_or_default(),
        stored.filter().map_err(|error: WebhookError| Fault::from(error))?,
    )))
}

/// Writes messages of events, each with the next number of its repository.
async fn write(
    session: &impl Session,
    webhook: WebhookId,
    events: &[&Event],
    ids: &[MessageId],
) -> Result<(), Fault> {
    if events.is_empty() {
        return Ok(());
    }
    let mut next = sequences(session, webhook, events).await?;
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let mut rows = Vec::with_capacity(events.len());
    for (event, id) in events.iter().zip(&ids) {
        let number = next.entry(repository_of(event)).or_default();
        rows.push(values(id, webhook, *number, event));
        *number += 1;
    }
    session.execute_many(sql::ADD_DELIVERY, &rows).await?;
    let sent: Vec<&str> = ids[..events.len()].iter().map(String::as_str).collect();
    ask(session, webhook, &sent).await
}

/// Has messages sent that wait.
pub(super) async fn ask(session: &impl Session, webhook: WebhookId, ids: &[&str]) -> Result<(), Fault> {
    let lane = lane(webhook);
    let jobs: Vec<_> = ids.iter().map(|id| NewJob { kind: KIND, lane: &lane, subject: id }).collect();
    enqueue(session, &jobs).await
}

/// For each repository that the events are about, the first of as many numbers as there are events about it.
async fn sequences(
    session: &impl Session,
    webhook: WebhookId,
    events: &[&Event],
) -> Result<BTreeMap<i64, u64>, Fault> {
    let mut counts: BTreeMap<i64, u64> = BTreeMap::new();
    for event in events {
        *counts.entry(repository_of(event)).or_default() += 1;
    }
    for (repository, count) in &mut counts {
        let last: Option<u64> =
            session.one(sql::TAKE_SEQUENCE, params![webhook, *repository, signed(*count)]).await?;
        *count = (last.unwrap_or(*count) + 1).saturating_sub(*count);
    }
    Ok(counts)
}

/// 0 for an event that is about none.
pub(super) fn repository_of(event: &Event) -> i64 {
    event.repository.unwrap_or(0)
}

step!(Behind, Feed);
