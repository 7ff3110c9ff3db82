//! From a message to its outcome.

use std::{sync::Arc, time::Duration};

use registry_types::WebhookFormat;

use crate::{
    DeliveryState, Meaning, Message, MessageId, Payload, WebhookError, Webhooks,
    payload::payload,
    send::{Sent, send},
    steps::{Load, Loaded, Note, Outcome},
    stored::{Ready, State},
};

/// What is to be done about a message next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing: it was delivered, given up or skipped, or is gone.
    Done,
    /// It is tried again after this time.
    Retry(Duration),
    /// Nothing now: its webhook is paused, or this node does not know how to reach it.
    NotNow,
}

/// Why nothing was sent.
enum Unsent {
    /// Its webhook is paused, or not of this node's configuration.
    NotNow,
    /// The receiver may not know of it.
    Skip,
    /// Nothing can be sent of it, ever.
    Dead(String),
    /// Something failed here.
    Failed(WebhookError),
}

impl Webhooks {
    /// Makes one attempt for a message that failed so often, and notes what came of it.
    pub(crate) async fn deliver(&self, id: MessageId, failures: u32) -> Result<Verdict, WebhookError> {
        let Some(loaded) = self.read("find a message to send", Load, id).await? else {
            return Ok(Verdict::Done);
        };
        if loaded.delivery.state != DeliveryState::Waiting {
            return Ok(Verdict::Done);
        }
        let outcome = match self.prepare(&loaded).await {
            Ok((ready, payload)) => {
                let options = &self.0.options;
                let sent =
                    send(&options.outbound, &ready.definition, ready.former.as_ref(), id, &payload).await;
                return self.note_sent(&loaded, &ready, sent, failures).await;
            }
            Err(Unsent::NotNow) => return Ok(Verdict::NotNow),
            Err(Unsent::Failed(error)) => return Err(error),
            Err(Unsent::Skip) => DeliveryState::Skipped,
            Err(Unsent::Dead(reason)) => {
                tracing::error!(webhook = loaded.webhook.name, message = %id, "a message can not be sent: {reason}");
                DeliveryState::Dead
            }
        };
        self.end(&loaded, outcome).await
    }

    /// What is to be sent, and to whom.
    async fn prepare(&self, loaded: &Loaded) -> Result<(Ready, Payload), Unsent> {
        let (webhook, delivery, options) = (&loaded.webhook, &loaded.delivery, &self.0.options);
        if webhook.state != State::Active {
            return Err(Unsent::NotNow);
        }
        let ready = self.ready(loaded)?;
        let (definition, event) = (&ready.definition, &delivery.event);
        if !options.look_up.may_tell(webhook.id, definition.audience, event).await {
            return Err(Unsent::Skip);
        }
        let with_references = options.include_references && definition.format == WebhookFormat::Distribution;
        let facts =
            options.look_up.facts(event.name.as_deref(), event.digest.as_deref(), with_references).await;
        let message =
            Message { id: delivery.id, sequence: delivery.sequence, event, audience: definition.audience };
        let payload = payload(definition.format, &message, &options.origin, &facts);
        payload.map(|payload| (ready, payload)).map_err(|error| Unsent::Dead(error.to_string()))
    }

    fn ready(&self, loaded: &Loaded) -> Result<Ready, Unsent> {
        if loaded.webhook.is_configured {
            let configured = self.0.configured.load();
            let definition =
                configured.get(&loaded.webhook.name).filter(|definition| !definition.is_disabled);
            let definition = definition.ok_or(Unsent::NotNow)?;
            return Ok(Ready { definition: Arc::unwrap_or_clone(definition.clone()), former: None });
        }
        loaded.webhook.ready(&self.0.options.secrets, loaded.now_ms).map_err(Unsent::Failed)
    }

    async fn note_sent(
        &self,
        loaded: &Loaded,
        ready: &Ready,
        sent: Sent,
        failures: u32,
    ) -> Result<Verdict, WebhookError> {
        let age_ms = u64::try_from(loaded.now_ms - loaded.delivery.created_at_ms).unwrap_or(0);
        let (state, verdict) = match sent.meaning {
            Meaning::Delivered => (DeliveryState::Delivered, Verdict::Done),
            Meaning::Gone => (DeliveryState::Dead, Verdict::Done),
            Meaning::Failed { retry_after } => {
                let age = Duration::from_millis(age_ms);
                match ready.definition.backoff.after(failures + 1, age, retry_after) {
                    Some(wait) => (DeliveryState::Waiting, Verdict::Retry(wait)),
                    None => (DeliveryState::Dead, Verdict::Done),
                }
            }
        };
        self.0.counted.attempt(state);
        let disable = (sent.meaning == Meaning::Gone).then(|| sent.attempt.error.clone().unwrap_or_default());
        if let Some(reason) = &disable {
            tracing::warn!(webhook = loaded.webhook.name, "the webhook is disabled: {reason}");
        }
        let outcome = Outcome {
            delivery: loaded.delivery.number,
            webhook: loaded.webhook.id,
            attempt: Some(sent.attempt),
            state,
            disable,
        };
        self.write("note an attempt", Note, outcome).await?;
        Ok(verdict)
    }

    async fn end(&self, loaded: &Loaded, state: DeliveryState) -> Result<Verdict, WebhookError> {
        self.0.counted.attempt(state);
        let outcome = Outcome {
            delivery: loaded.delivery.number,
            webhook: loaded.webhook.id,
            attempt: None,
            state,
            disable: None,
        };
        self.write("note that a message is not sent", Note, outcome).await?;
        Ok(Verdict::Done)
    }
}
