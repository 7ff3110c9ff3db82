//! From a message to its outcome.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use registry_jobs::{Attempted, Handler, Job, Policy, Verdict};

use crate::{
    Backoff, DeliveryState, Meaning, Message, MessageId, Payload, TIMEOUT_MAX, Wanted, WebhookError,
    WebhookId,
    payload::payload,
    send::{Sent, send},
    steps::{KIND, Load, Loaded, Outcome},
    stored::{Ready, State},
    webhooks::Inner,
};

/// How long a message waits whose webhook was paused, or became unknown to this node, after its lane was taken.
const NOT_NOW: Duration = Duration::from_secs(5);

/// So many failures in a row are an outage of the receiver.
const OUTAGE_FAILURES: u32 = registry_jobs::FAILURES_BEFORE_PAUSE;

/// How often a job is tried at most. A message is given up by its age and its own count long before.
const ATTEMPTS_MAX: u32 = 1_000_000;

/// How long to wait after what is no fault of the receiver: a panic, a database that fails.
const AFTER_PANIC: registry_jobs::Backoff = registry_jobs::Backoff {
    first: Duration::from_secs(5),
    factor: 4,
    longest: Duration::from_secs(60 * 60),
};

/// Sends messages, as jobs.
pub(crate) struct Sends(pub(crate) Arc<Inner>);

#[async_trait]
impl Handler for Sends {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn takes(&self, lane: &str) -> bool {
        self.0.reachable.load().contains(lane)
    }

    fn policy(&self, _: &str) -> Policy {
        // Before an attempt of its own gives up by its time, and after that.
        let attempt_within = 2 * TIMEOUT_MAX;
        Policy { attempts_max: ATTEMPTS_MAX, backoff: AFTER_PANIC, attempt_within }
    }

    async fn run(&self, job: &Job) -> Attempted {
        let Ok(id) = job.subject.parse() else { return Verdict::Done.into() };
        match self.0.deliver(id, job.attempts).await {
            Ok(attempted) => attempted,
            Err(error) => Verdict::Retry { after: None, error: error.to_string() }.into(),
        }
    }
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

impl Inner {
    /// Makes one attempt for a message that failed so often.
    async fn deliver(&self, id: MessageId, failures: u32) -> Result<Attempted, WebhookError> {
        let Some(loaded) = self.read("find a message to send", Load, id).await? else {
            return Ok(Verdict::Done.into());
        };
        if loaded.delivery.state != DeliveryState::Waiting {
            return Ok(Verdict::Done.into());
        }
        self.sent_to.lock().insert(loaded.webhook.id);
        Ok(match self.prepare(&loaded).await {
            Ok((ready, payload)) => {
                let (outbound, former) = (&self.options.outbound, ready.former.as_ref());
                let sent = send(outbound, &ready.definition, former, id, &payload).await;
                self.came_of(&loaded, ready.definition.backoff, sent, failures)
            }
            Err(Unsent::NotNow) => {
                Verdict::Retry { after: Some(NOT_NOW), error: "the webhook is not active".to_owned() }.into()
            }
            Err(Unsent::Failed(error)) => {
                self.came_of(&loaded, Backoff::default(), Sent::failed(&error), failures)
            }
            Err(Unsent::Skip) => self.ends(&loaded, DeliveryState::Skipped),
            Err(Unsent::Dead(reason)) => {
                tracing::error!(webhook = loaded.webhook.name, message = %id, "a message can not be sent: {reason}");
                self.ends(&loaded, DeliveryState::Dead)
            }
        })
    }

    /// The message that is to be sent, and its receiver.
    async fn prepare(&self, loaded: &Loaded) -> Result<(Arc<Ready>, Payload), Unsent> {
        let (webhook, delivery, options) = (&loaded.webhook, &loaded.delivery, &self.options);
        if webhook.state != State::Active {
            return Err(Unsent::NotNow);
        }
        let ready = self.ready(loaded)?;
        let (definition, event) = (&ready.definition, &delivery.event);
        if !options.look_up.may_tell(webhook.id, definition.audience, event).await {
            return Err(Unsent::Skip);
        }
        let wanted = Wanted::by(definition.format, event, options.include_references);
        let facts = options.look_up.facts(wanted).await;
        let message =
            Message { id: delivery.id, sequence: delivery.sequence, event, audience: definition.audience };
        let payload = payload(definition.format, &message, &options.origin, &facts);
        payload.map(|payload| (ready, payload)).map_err(|error| Unsent::Dead(error.to_string()))
    }

    fn ready(&self, loaded: &Loaded) -> Result<Arc<Ready>, Unsent> {
        if loaded.webhook.is_configured {
            let configured = self.configured.load();
            let definition =
                configured.get(&loaded.webhook.name).filter(|definition| !definition.is_disabled);
            let definition = definition.ok_or(Unsent::NotNow)?.clone();
            return Ok(Arc::new(Ready { definition, former: None }));
        }
        let (known, secrets) = (&self.known, &self.options.secrets);
        known.ready(&loaded.webhook, secrets, loaded.now_ms).map_err(Unsent::Failed)
    }

    /// What an attempt means for the message.
    fn came_of(&self, loaded: &Loaded, backoff: Backoff, sent: Sent, failures: u32) -> Attempted {
        let age_ms = u64::try_from(loaded.now_ms - loaded.delivery.created_at_ms).unwrap_or(0);
        let error = sent.attempt.error.clone().unwrap_or_default();
        let (state, verdict) = match sent.meaning {
            Meaning::Delivered => (DeliveryState::Delivered, Verdict::Done),
            Meaning::Gone => (DeliveryState::Dead, Verdict::Done),
            Meaning::Failed { retry_after } => {
                match backoff.after(failures + 1, Duration::from_millis(age_ms), retry_after) {
                    Some(wait) => {
                        (DeliveryState::Waiting, Verdict::Retry { after: Some(wait), error: error.clone() })
                    }
                    // The message is the dead letter, and not the job.
                    None => (DeliveryState::Dead, Verdict::Done),
                }
            }
        };
        self.note_end(loaded, state);
        let is_well_again = self.note_health(loaded.webhook.id, sent.meaning == Meaning::Delivered);
        let disable = (sent.meaning == Meaning::Gone).then_some(error);
        if let Some(reason) = &disable {
            tracing::warn!(webhook = loaded.webhook.name, "the webhook is disabled: {reason}");
        }
        verdict.with(Outcome {
            attempt: Some(sent.attempt),
            disable,
            is_well_again,
            ..outcome(loaded, state)
        })
    }

    /// Counts failures in a row, and says whether this success is the end of an outage: then what failed meanwhile is sent at once, and
    /// not hours later. One message that a receiver never takes is no outage.
    fn note_health(&self, webhook: WebhookId, is_success: bool) -> bool {
        let mut failing = self.failing.lock();
        if is_success {
            return failing.remove(&webhook).is_some_and(|failures| failures >= OUTAGE_FAILURES);
        }
        *failing.entry(webhook).or_default() += 1;
        false
    }

    fn ends(&self, loaded: &Loaded, state: DeliveryState) -> Attempted {
        self.note_end(loaded, state);
        Verdict::Done.with(outcome(loaded, state))
    }

    /// Counts an attempt, and makes room for more messages where it was the last for this one.
    fn note_end(&self, loaded: &Loaded, state: DeliveryState) {
        self.counted.attempt(state);
        if state != DeliveryState::Waiting {
            self.resting.ended(loaded.webhook.id);
        }
    }
}

fn outcome(loaded: &Loaded, state: DeliveryState) -> Outcome {
    Outcome {
        delivery: loaded.delivery.number,
        webhook: loaded.webhook.id,
        attempt: None,
        state,
        disable: None,
        is_well_again: false,
    }
}
