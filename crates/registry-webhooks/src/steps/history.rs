//! What was sent, and sending it again.

use registry_database::{Fault, Session, Step, params, signed, step};
use registry_events::Event;

use super::feed::{WAITING_MAX, ask, repository_of};
use crate::{
    Attempt, Callback, Delivery, DeliveryState, MessageId, WebhookError, WebhookId, delivery::values, sql,
    stored::Stored,
};

/// How many reports of a receiver are kept for a message.
const CALLBACKS_MAX: i64 = 10;

/// A page of a webhook's messages.
pub(crate) struct History;

pub(crate) struct Page {
    pub(crate) webhook: WebhookId,
    pub(crate) before: i64,
    pub(crate) limit: usize,
    /// Only those that stand so.
    pub(crate) state: Option<DeliveryState>,
}

impl Step for History {
    type Of = Page;
    type Output = Vec<Delivery>;

    async fn run<S: Session>(&self, session: &S, page: &Page) -> Result<Vec<Delivery>, Fault> {
        let limit = signed(page.limit);
        match page.state {
            None => session.all(sql::DELIVERIES, params![page.webhook, page.before, limit]).await,
            Some(state) => {
                let values = params![page.webhook, page.before, state.number(), limit];
                session.all(sql::DELIVERIES_IN_STATE, values).await
            }
        }
    }
}

/// A message with its attempts, and what its receiver reports.
pub(crate) struct Details;

impl Step for Details {
    type Of = (WebhookId, MessageId);
    type Output = Option<(Delivery, Vec<Attempt>, Vec<Callback>)>;

    async fn run<S: Session>(&self, session: &S, (webhook, id): &Self::Of) -> Result<Self::Output, Fault> {
        let Some(delivery) = find(session, *webhook, *id).await? else { return Ok(None) };
        let attempts = session.all(sql::ATTEMPTS, params![delivery.number]).await?;
        let callbacks = session.all(sql::CALLBACKS, params![delivery.number]).await?;
        Ok(Some((delivery, attempts, callbacks)))
    }
}

async fn find(session: &impl Session, webhook: WebhookId, id: MessageId) -> Result<Option<Delivery>, Fault> {
    let found: Option<Delivery> = session.one(sql::DELIVERY, params![&id.to_string()]).await?;
    Ok(found.filter(|delivery| delivery.webhook == webhook))
}

/// A message and its webhook, to be sent.
pub(crate) struct Load;

pub(crate) struct Loaded {
    pub(crate) delivery: Delivery,
    pub(crate) webhook: Stored,
    pub(crate) now_ms: i64,
}

impl Step for Load {
    type Of = MessageId;
    type Output = Option<Loaded>;

    async fn run<S: Session>(&self, session: &S, id: &MessageId) -> Result<Option<Loaded>, Fault> {
        let Some(delivery) = session.one::<Delivery>(sql::DELIVERY, params![&id.to_string()]).await? else {
            return Ok(None);
        };
        let webhook: Option<Stored> = session.one(sql::WEBHOOK_OF_ID, params![delivery.webhook]).await?;
        let now_ms = session.one(sql::NOW, params![]).await?.unwrap_or_default();
        Ok(webhook.map(|webhook| Loaded { delivery, webhook, now_ms }))
    }
}

/// Has a message that ended wait again, under the same id.
pub(crate) struct Revive;

impl Step for Revive {
    type Of = (WebhookId, MessageId);
    type Output = ();

    async fn run<S: Session>(&self, session: &S, (webhook, id): &Self::Of) -> Result<(), Fault> {
        session.lock(sql::LOCK_WEBHOOK, params![*webhook]).await?;
        let delivery = known(session, *webhook, *id).await?;
        by_hand(session, *webhook).await?;
        match revive(session, &delivery).await? {
            true => Ok(()),
            false => Err(WebhookError::Waits(id.to_string()).into()),
        }
    }
}

/// Says whether it had ended.
async fn revive(session: &impl Session, delivery: &Delivery) -> Result<bool, Fault> {
    if session.execute(sql::REVIVE_DELIVERY, params![delivery.number]).await? == 0 {
        return Ok(false);
    }
    ask(session, delivery.webhook, &[&delivery.id.to_string()]).await?;
    Ok(true)
}

/// Sends what a message tells once more, under another id and number.
pub(crate) struct SendAnew;

impl Step for SendAnew {
    /// The webhook, the message, and the new id.
    type Of = (WebhookId, MessageId, MessageId);
    type Output = ();

    async fn run<S: Session>(&self, session: &S, (webhook, id, new): &Self::Of) -> Result<(), Fault> {
        session.lock(sql::LOCK_WEBHOOK, params![*webhook]).await?;
        let delivery = known(session, *webhook, *id).await?;
        by_hand(session, *webhook).await?;
        copy(session, &delivery, *new).await
    }
}

async fn copy(session: &impl Session, delivery: &Delivery, new: MessageId) -> Result<(), Fault> {
    let sequence = next(session, delivery.webhook, &delivery.event).await?;
    let new = new.to_string();
    session.execute(sql::COPY_DELIVERY, params![&new, signed(sequence), delivery.number]).await?;
    ask(session, delivery.webhook, &[&new]).await
}

/// How many messages are sent again in one transaction.
pub(crate) const AGAIN_MAX: usize = 100;

/// Sends the next of the messages again that were delivered or given up since a time. Says how many, and up to which number.
pub(crate) struct SendSince;

pub(crate) struct Since {
    pub(crate) webhook: WebhookId,
    pub(crate) ended_at_ms: i64,
    /// After which number; none at the beginning, where too much that waits is a reason to send nothing.
    pub(crate) after: Option<i64>,
    /// Up to which number; none for the newest that there is.
    pub(crate) last: Option<i64>,
    /// New ids, to send anew: [`AGAIN_MAX`] of them. None to send under the same ids.
    pub(crate) ids: Vec<MessageId>,
}

/// How far it came.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SentSince {
    pub(crate) count: u64,
    /// The number of the last one that was sent again; none if there was none.
    pub(crate) after: Option<i64>,
    pub(crate) last: i64,
}

impl Step for SendSince {
    type Of = Since;
    type Output = SentSince;

    async fn run<S: Session>(&self, session: &S, since: &Since) -> Result<SentSince, Fault> {
        let webhook = since.webhook;
        session.lock(sql::LOCK_WEBHOOK, params![webhook]).await?;
        if since.after.is_none() {
            by_hand(session, webhook).await?;
        }
        let last = match since.last {
            Some(last) => last,
            None => session.one::<Option<i64>>(sql::NEWEST, params![webhook]).await?.flatten().unwrap_or(0),
        };
        let values = params![webhook, since.after.unwrap_or(0), last, since.ended_at_ms, signed(AGAIN_MAX)];
        let found: Vec<Delivery> = session.all(sql::ENDED_SINCE, values).await?;
        for (at, delivery) in found.iter().enumerate() {
            match since.ids.get(at) {
                Some(new) => copy(session, delivery, *new).await?,
                None => revive(session, delivery).await.map(drop)?,
            }
        }
        let after = found.last().map(|delivery| delivery.number);
        Ok(SentSince { count: found.len() as u64, after, last })
    }
}

/// Sends a webhook an event that is about nothing else.
pub(crate) struct Test;

impl Step for Test {
    type Of = (WebhookId, MessageId, Event);
    type Output = ();

    async fn run<S: Session>(&self, session: &S, (webhook, id, event): &Self::Of) -> Result<(), Fault> {
        session.lock(sql::LOCK_WEBHOOK, params![*webhook]).await?;
        by_hand(session, *webhook).await?;
        let now_ms: i64 = session.one(sql::NOW, params![]).await?.unwrap_or_default();
        let event = Event { at_ms: now_ms, ..event.clone() };
        let (id, sequence) = (id.to_string(), next(session, *webhook, &event).await?);
        session.execute(sql::ADD_DELIVERY, &values(&id, *webhook, sequence, &event)).await?;
        ask(session, *webhook, &[&id]).await
    }
}

async fn known(session: &impl Session, webhook: WebhookId, id: MessageId) -> Result<Delivery, Fault> {
    let found = find(session, webhook, id).await?;
    found.ok_or_else(|| WebhookError::UnknownDelivery(id.to_string()).into())
}

/// What people send by hand waits with the rest, and is bounded with it: a webhook is no cannon.
async fn by_hand(session: &impl Session, webhook: WebhookId) -> Result<(), Fault> {
    let waiting: u64 = session.one(sql::WAITING, params![webhook, signed(WAITING_MAX)]).await?.unwrap_or(0);
    if waiting >= WAITING_MAX { Err(WebhookError::Busy(waiting).into()) } else { Ok(()) }
}

async fn next(session: &impl Session, webhook: WebhookId, event: &Event) -> Result<u64, Fault> {
    let taken = session.one(sql::TAKE_SEQUENCE, params![webhook, repository_of(event), 1_i64]).await?;
    Ok(taken.unwrap_or(1))
}

/// Notes what a receiver of Docker Hub's format reports. Says whether the message is known.
pub(crate) struct NoteCallback;

pub(crate) struct Report {
    pub(crate) id: MessageId,
    pub(crate) callback: Callback,
}

impl Step for NoteCallback {
    type Of = Report;
    type Output = bool;

    async fn run<S: Session>(&self, session: &S, report: &Report) -> Result<bool, Fault> {
        let found: Option<Delivery> = session.one(sql::DELIVERY, params![&report.id.to_string()]).await?;
        let Some(delivery) = found else { return Ok(false) };
        session.lock(sql::LOCK_DELIVERY, params![delivery.number]).await?;
        let last: Option<i64> =
            session.one::<Option<i64>>(sql::LAST_CALLBACK, params![delivery.number]).await?.flatten();
        let number = last.unwrap_or(0) + 1;
        if number <= CALLBACKS_MAX {
            let callback = &report.callback;
            let values = params![
                delivery.number,
                number,
                &callback.state,
                callback.description.as_deref(),
                callback.context.as_deref(),
                callback.target_url.as_deref(),
            ];
            session.execute(sql::ADD_CALLBACK, values).await?;
        }
        Ok(true)
    }
}

step!(History, Details, Load, Revive, SendAnew, SendSince, Test, NoteCallback);
