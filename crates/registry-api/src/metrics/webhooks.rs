//! How events and webhooks are doing.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

/// How events and webhooks are doing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WebhookFigures {
    /// Each webhook.
    pub webhooks: Vec<WebhookFigure>,
    /// How many attempts of this process came to what.
    pub attempts: [(&'static str, u64); 4],
    /// How many pulls, mounts and pushes of blobs wait in memory.
    pub notices_waiting: u64,
    /// How many of those were dropped or given up.
    pub notices_dropped: u64,
    /// How many events this process wrote.
    pub events_recorded: u64,
    /// How many events have no place in the order of all yet.
    pub events_waiting: u64,
    /// For how long the oldest of them has waited; zero if there is none.
    pub events_oldest_secs: f64,
    /// How many events each consumer has not taken yet.
    pub lag: Vec<(String, u64)>,
}

/// How a webhook is doing.
#[derive(Clone, Debug, PartialEq)]
pub struct WebhookFigure {
    /// Its name.
    pub name: String,
    /// How many messages wait.
    pub waiting: u64,
    /// For how long the oldest of them has waited; zero if there is none.
    pub oldest_secs: f64,
    /// How many were given up and are in its history.
    pub dead: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Webhook {
    webhook: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Consumer {
    consumer: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

type Seconds = Gauge<f64, AtomicU64>;

#[derive(Default)]
pub(super) struct Gauges {
    waiting: Family<Webhook, Gauge>,
    oldest: Family<Webhook, Seconds>,
    dead: Family<Webhook, Gauge>,
    attempts: Family<Outcome, Gauge>,
    notices_waiting: Gauge,
    notices_dropped: Gauge,
    events_recorded: Gauge,
    events_waiting: Gauge,
    events_oldest: Seconds,
    lag: Family<Consumer, Gauge>,
}

impl Gauges {
    pub(super) fn register(&self, registry: &mut Registry) {
        let waiting = "Messages that wait to be sent to a webhook, also to be tried again";
        registry.register("registry_webhook_waiting", waiting, self.waiting.clone());
        let oldest = "For how long the oldest of them has waited";
        registry.register("registry_webhook_oldest_seconds", oldest, self.oldest.clone());
        registry.register("registry_webhook_dead", "Messages that were given up", self.dead.clone());
        let attempts = "Attempts of this process to send a message, since it started, by what came of them";
        registry.register("registry_webhook_attempts", attempts, self.attempts.clone());
        let notices = "Pulls, mounts and pushes of blobs that wait in memory for receivers";
        registry.register("registry_webhook_notices_waiting", notices, self.notices_waiting.clone());
        let dropped = "Those that were dropped or given up since this process started";
        registry.register("registry_webhook_notices_dropped", dropped, self.notices_dropped.clone());
        let recorded = "Events that this process wrote since it started";
        registry.register("registry_events_recorded", recorded, self.events_recorded.clone());
        let events = "Events that have no place in the order of all yet";
        registry.register("registry_events_waiting", events, self.events_waiting.clone());
        let oldest = "For how long the oldest of them has waited";
        registry.register("registry_events_oldest_seconds", oldest, self.events_oldest.clone());
        registry.register(
            "registry_events_lag",
            "Events that a consumer has not taken yet",
            self.lag.clone(),
        );
    }

    pub(super) fn show(&self, figures: &WebhookFigures) {
        // One that was removed is not shown any more.
        self.waiting.clear();
        self.oldest.clear();
        self.dead.clear();
        self.lag.clear();
        for figure in &figures.webhooks {
            let label = Webhook { webhook: figure.name.clone() };
            self.waiting.get_or_create(&label).set(signed(figure.waiting));
            self.oldest.get_or_create(&label).set(figure.oldest_secs);
            self.dead.get_or_create(&label).set(signed(figure.dead));
        }
        for (outcome, attempts) in figures.attempts {
            self.attempts.get_or_create(&Outcome { outcome }).set(signed(attempts));
        }
        for (consumer, lag) in &figures.lag {
            self.lag.get_or_create(&Consumer { consumer: consumer.clone() }).set(signed(*lag));
        }
        self.notices_waiting.set(signed(figures.notices_waiting));
        self.notices_dropped.set(signed(figures.notices_dropped));
        self.events_recorded.set(signed(figures.events_recorded));
        self.events_waiting.set(signed(figures.events_waiting));
        self.events_oldest.set(figures.events_oldest_secs);
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
