//! Adding, changing and removing webhooks.

use registry_database::{Fault, Session, Step, params, step};
use registry_events::{add_consumer, remove_consumer};
use registry_jobs::discard_lane;

use super::feed::{KIND, consumer, lane};
use crate::{
    WEBHOOKS_MAX, WebhookError, WebhookId, WebhookName, sql,
    stored::{State, Stored},
};

/// A webhook as it is added.
pub(crate) struct NewWebhook {
    pub(crate) id: WebhookId,
    pub(crate) name: WebhookName,
    pub(crate) is_configured: bool,
    /// None for one that is configured.
    pub(crate) columns: Option<ChangeTo>,
    pub(crate) secret: Option<Vec<u8>>,
}

/// The columns of a definition, the headers sealed.
pub(crate) struct ChangeTo {
    pub(crate) url: String,
    pub(crate) format: &'static str,
    pub(crate) events: String,
    pub(crate) repositories: String,
    pub(crate) tags: String,
    pub(crate) timeout_ms: i64,
    pub(crate) headers: Option<Vec<u8>>,
}

/// Adds a webhook, which is told of what happens from now on.
pub(crate) struct Add;

impl Step for Add {
    type Of = NewWebhook;
    type Output = ();

    async fn run<S: Session>(&self, session: &S, new: &NewWebhook) -> Result<(), Fault> {
        if session.one(sql::COUNT_WEBHOOKS, params![]).await?.unwrap_or(0) >= WEBHOOKS_MAX {
            return Err(WebhookError::Many.into());
        }
        let columns = new.columns.as_ref();
        let text = |column: fn(&ChangeTo) -> &str| columns.map(column);
        let values = params![
            new.id,
            new.name.as_ref(),
            new.is_configured,
            text(|columns| &columns.url),
            text(|columns| columns.format),
            text(|columns| &columns.events),
            text(|columns| &columns.repositories),
            text(|columns| &columns.tags),
            columns.map(|columns| columns.timeout_ms),
            new.secret.as_deref(),
            columns.and_then(|columns| columns.headers.as_deref()),
        ];
        if session.execute(sql::ADD_WEBHOOK, values).await? == 0 {
            return Err(WebhookError::Exists(new.name.clone()).into());
        }
        add_consumer(session, &consumer(new.id)).await
    }
}

/// Changes the definition of a webhook.
pub(crate) struct Change;

impl Step for Change {
    type Of = (WebhookId, ChangeTo);
    type Output = bool;

    async fn run<S: Session>(&self, session: &S, (id, to): &(WebhookId, ChangeTo)) -> Result<bool, Fault> {
        let values = params![
            &to.url,
            to.format,
            &to.events,
            &to.repositories,
            &to.tags,
            to.timeout_ms,
            to.headers.as_deref(),
            *id
        ];
        Ok(session.execute(sql::CHANGE_WEBHOOK, values).await? > 0)
    }
}

/// Sets a webhook's state. Says whether it is there.
pub(crate) struct SetState;

impl Step for SetState {
    type Of = (WebhookId, State);
    type Output = bool;

    async fn run<S: Session>(&self, session: &S, (id, state): &(WebhookId, State)) -> Result<bool, Fault> {
        Ok(session.execute(sql::SET_STATE, params![state.number(), state.reason(), *id]).await? > 0)
    }
}

/// Gives a webhook a new secret, and keeps the former one for so many milliseconds.
pub(crate) struct SetSecret {
    pub(crate) id: WebhookId,
    pub(crate) keep_ms: i64,
}

impl Step for SetSecret {
    /// The new secret and the former one, sealed.
    type Of = (Vec<u8>, Option<Vec<u8>>);
    /// Until when the former one is good, if there is one.
    type Output = Option<i64>;

    async fn run<S: Session>(&self, session: &S, (new, former): &Self::Of) -> Result<Option<i64>, Fault> {
        let now_ms: i64 = session.one(sql::NOW, params![]).await?.unwrap_or_default();
        let until_ms = former.as_ref().map(|_| now_ms + self.keep_ms);
        let values = params![new.as_slice(), former.as_deref(), until_ms, self.id];
        session.execute(sql::SET_SECRET, values).await?;
        Ok(until_ms)
    }
}

/// Removes a webhook with all of its messages. Says whether it was there.
pub(crate) struct Remove;

impl Step for Remove {
    type Of = WebhookId;
    type Output = bool;

    async fn run<S: Session>(&self, session: &S, id: &WebhookId) -> Result<bool, Fault> {
        session.lock(sql::LOCK_WEBHOOK, params![*id]).await?;
        remove_consumer(session, &consumer(*id)).await?;
        // What it does not reach finds that there is no message.
        discard_lane(session, KIND, &lane(*id)).await?;
        session.execute(sql::REMOVE_DELIVERIES, params![*id]).await?;
        session.execute(sql::REMOVE_SEQUENCES, params![*id]).await?;
        Ok(session.execute(sql::REMOVE_WEBHOOK, params![*id]).await? > 0)
    }
}

/// All webhooks, by name.
pub(crate) struct List;

impl Step for List {
    type Of = ();
    type Output = Vec<Stored>;

    async fn run<S: Session>(&self, session: &S, (): &()) -> Result<Vec<Stored>, Fault> {
        session.all(sql::WEBHOOKS, params![]).await
    }
}

/// Number and name of the webhooks that are active, and whether the configuration defines them.
pub(crate) struct Active;

impl Step for Active {
    type Of = ();
    type Output = Vec<(WebhookId, String, bool)>;

    async fn run<S: Session>(&self, session: &S, (): &()) -> Result<Self::Output, Fault> {
        session.all(sql::ACTIVE, params![]).await
    }
}

/// The webhook of a name.
pub(crate) struct Find;

impl Step for Find {
    type Of = WebhookName;
    type Output = Option<Stored>;

    async fn run<S: Session>(&self, session: &S, name: &WebhookName) -> Result<Option<Stored>, Fault> {
        session.one(sql::WEBHOOK, params![name.as_ref()]).await
    }
}

step!(Active, Add, Change, SetState, SetSecret, Remove, List, Find);
