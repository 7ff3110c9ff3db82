//! From events to messages.

use std::{collections::BTreeMap, sync::Arc};

use registry_database::{Fault, Session, Step, params, signed, step};
use registry_events::{Event, behind, take};
use registry_jobs::{NewJob, enqueue};
use registry_types::WebhookFormat;

use crate::{
    Definition, Filter, MessageId, WebhookId,
    delivery::values,
    known::Known,
    sql,
    stored::{State, Stored},
};

/// A webhook for which so many messages wait is given no more events: those stay where they cost nothing.
pub(crate) const WAITING_MAX: u64 = 64;

/// How many messages are made in one transaction at most, of events that one webhook takes or several: other transactions wait for it.
pub(crate) const FED_MAX: usize = 100;

/// When so many events were taken in a transaction, no further webhook takes any in it: filters may let none of them pass.
const TAKEN_MAX: usize = 500;

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

/// Makes messages of the next events for webhooks, one webhook after the other, until there are as many messages as ids. A webhook is
/// passed over if it is not active, or has not caught up with what it was given.
pub(crate) struct Feed(pub(crate) Arc<Known>);

pub(crate) struct Feeding {
    /// In the order in which [`Behind`] names them: all nodes lock them in one order.
    pub(crate) webhooks: Vec<WebhookId>,
    /// What the configuration of this node says, by name.
    pub(crate) configured: Arc<BTreeMap<String, Arc<Definition>>>,
    /// New ids: as many as there may be messages.
    pub(crate) ids: Vec<MessageId>,
}

/// What came of it for one webhook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fed {
    pub(crate) webhook: WebhookId,
    /// Whether it takes events, as far as this node knows.
    pub(crate) is_active: bool,
    /// How many events were taken.
    pub(crate) taken: usize,
    /// How many messages there are of them.
    pub(crate) messages: usize,
    /// How many messages wait for it now. Counted no further than to [`WAITING_MAX`] before these.
    pub(crate) waiting: u64,
    /// Whether there may be more for it to take.
    pub(crate) has_more: bool,
}

impl Step for Feed {
    type Of = Feeding;
    type Output = Vec<Fed>;

    async fn run<S: Session>(&self, session: &S, feeding: &Feeding) -> Result<Vec<Fed>, Fault> {
        let (mut all, mut ids, mut taken) = (Vec::new(), &feeding.ids[..], 0);
        for webhook in &feeding.webhooks {
            if ids.is_empty() || taken >= TAKEN_MAX {
                break;
            }
            let fed = feed(session, *webhook, &self.0, feeding, ids).await?;
            (ids, taken) = (&ids[fed.messages..], taken + fed.taken);
            all.push(fed);
        }
        Ok(all)
    }
}

async fn feed(
    session: &impl Session,
    webhook: WebhookId,
    known: &Known,
    feeding: &Feeding,
    ids: &[MessageId],
) -> Result<Fed, Fault> {
    let nothing = Fed { webhook, ..Fed::default() };
    session.lock(sql::LOCK_WEBHOOK, params![webhook]).await?;
    let stored: Option<Stored> = session.one(sql::WEBHOOK_OF_ID, params![webhook]).await?;
    let stored = stored.filter(|stored| stored.state == State::Active);
    let Some(wanted) = stored.map(|stored| wanted(&stored, known, feeding)).transpose()?.flatten() else {
        return Ok(nothing);
    };
    let waiting: u64 = session.one(sql::WAITING, params![webhook, signed(WAITING_MAX)]).await?.unwrap_or(0);
    if waiting >= WAITING_MAX {
        return Ok(Fed { is_active: true, waiting, ..nothing });
    }
    let limit = FED_MAX.min(ids.len());
    let events = take(session, &consumer(webhook), limit).await?;
    let passed: Vec<&Event> = events.iter().filter(|event| wanted.lets_pass(event)).collect();
    write(session, webhook, &passed, ids).await?;
    Ok(Fed {
        webhook,
        is_active: true,
        taken: events.len(),
        messages: passed.len(),
        waiting: waiting + passed.len() as u64,
        has_more: events.len() == limit,
    })
}

/// Which events a webhook is told of.
enum Wanted {
    Configured(Arc<Definition>),
    Added(WebhookFormat, Arc<Filter>),
}

impl Wanted {
    fn lets_pass(&self, event: &Event) -> bool {
        match self {
            Wanted::Configured(definition) => definition.filter.lets_pass(definition.format, event),
            Wanted::Added(format, filter) => filter.lets_pass(*format, event),
        }
    }
}

/// None where the configuration of this node does not know the webhook, or has it told nothing.
fn wanted(stored: &Stored, known: &Known, feeding: &Feeding) -> Result<Option<Wanted>, Fault> {
    if stored.is_configured {
        let definition = feeding.configured.get(&stored.name).filter(|definition| !definition.is_disabled);
        return Ok(definition.cloned().map(Wanted::Configured));
    }
    let filter = known.filter(stored)?;
    Ok(Some(Wanted::Added(stored.format.unwrap_or_default(), filter)))
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
