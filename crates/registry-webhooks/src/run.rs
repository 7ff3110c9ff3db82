//! What a node does all the time.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use crate::{
    MessageId, WebhookError, WebhookId, Webhooks,
    steps::{Active, Behind, FED_MAX, Feed, Feeding, Prune, Pruning, lane},
};

/// How often a node looks for events, and for webhooks that were paused or resumed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often a node forgets old messages.
const PRUNE_EVERY: Duration = Duration::from_secs(60);

/// For how long a message is kept after its end.
pub const HISTORY_AGE_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// For how long a message waits at most, for a webhook that is paused, or that no node knows any more.
pub const WAITING_AGE_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How many dead messages of a webhook are kept, and how many others.
pub const HISTORY_KEPT_MAX: u64 = 1000;

/// How many messages are forgotten in a transaction, of each webhook.
const PRUNED_MAX: i64 = 500;

/// How many transactions a webhook is fed in, before others have their turn.
const FEEDS_MAX: usize = 10;

impl Webhooks {
    /// Makes messages of events and sends them, until the future is dropped. Each node runs it, in any number. What was being sent
    /// when it is dropped is sent again, by a node whose turn comes half a minute later: receivers know a message by its id.
    pub async fn run(&self) {
        self.run_until(std::future::pending()).await;
    }

    /// The same until `shutdown` completes. Then no attempt is begun any more, those that are under way have ten seconds to end, and
    /// other nodes go on at once. To be called once.
    pub async fn run_until(&self, shutdown: impl Future<Output = ()>) {
        let beside = async { tokio::join!(self.feed_all(), self.send_notices(), self.prune_now_and_then()) };
        tokio::select! {
            () = self.jobs().run(shutdown) => {}
            _ = beside => {}
        }
    }

    /// Whenever events got their positions here, and each second for those that got theirs elsewhere.
    async fn feed_all(&self) {
        let mut positions = self.0.options.recorder.positions();
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut trouble = Trouble::default();
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                Ok(()) = positions.changed() => {}
            }
            let looked = self.look_who_is_reachable().await;
            trouble.note(looked.and(self.feed_once().await));
        }
    }

    /// Feeds each webhook for which there are events. One that fails stops no other.
    pub(crate) async fn feed_once(&self) -> Result<(), WebhookError> {
        let mut failure = Ok(());
        if !self.are_used().await? {
            return failure;
        }
        for webhook in self.read("look for events for webhooks", Behind, ()).await? {
            if let Err(error) = self.feed(webhook).await {
                failure = Err(error);
            }
        }
        failure
    }

    async fn feed(&self, webhook: WebhookId) -> Result<(), WebhookError> {
        for _ in 0..FEEDS_MAX {
            let ids = (0..FED_MAX).map(|_| MessageId::generate()).collect::<Result<_, _>>()?;
            let configured = self.configured_filter(webhook).await?;
            let fed = self.write("feed a webhook", Feed, Feeding { webhook, configured, ids }).await?;
            if fed.messages > 0 {
                self.jobs().wake();
            }
            if fed.taken < FED_MAX {
                break;
            }
        }
        Ok(())
    }

    /// Learns which webhooks this node can send to: those that are active, and of the configured ones those that it knows.
    pub(crate) async fn look_who_is_reachable(&self) -> Result<(), WebhookError> {
        if !self.are_used().await? {
            return Ok(());
        }
        let active = self.read("look which webhooks are active", Active, ()).await?;
        let configured = self.0.configured.load();
        let knows = |name: &str| configured.get(name).is_some_and(|definition| !definition.is_disabled);
        let is_active = |name: &str| active.iter().any(|(_, active, _)| active == name);
        self.0.notices.load().set_active(is_active);
        let reachable: BTreeSet<String> = active
            .into_iter()
            .filter(|(_, name, is_configured)| !is_configured || knows(name))
            .map(|(webhook, ..)| lane(webhook))
            .collect();
        if **self.0.reachable.load() != reachable {
            self.0.reachable.store(Arc::new(reachable));
            self.jobs().wake();
        }
        Ok(())
    }

    async fn prune_now_and_then(&self) {
        let mut ticks = interval(PRUNE_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut trouble = Trouble::default();
        loop {
            ticks.tick().await;
            let kept = self.keep_configured().await;
            trouble.note(kept.and(self.prune_once().await));
        }
    }

    /// Forgets what is old, and what is too much of the webhooks that this node sent something to.
    pub(crate) async fn prune_once(&self) -> Result<(), WebhookError> {
        let webhooks: Vec<WebhookId> =
            std::mem::take::<BTreeSet<_>>(&mut self.0.sent_to.lock()).into_iter().collect();
        if !self.are_used().await? {
            return Ok(());
        }
        loop {
            let pruning = Pruning {
                webhooks: webhooks.clone(),
                waits_ms: i64::try_from(WAITING_AGE_MAX.as_millis()).unwrap_or(i64::MAX),
                age_ms: i64::try_from(HISTORY_AGE_MAX.as_millis()).unwrap_or(i64::MAX),
                kept_max: i64::try_from(HISTORY_KEPT_MAX).unwrap_or(i64::MAX),
                limit: PRUNED_MAX,
            };
            if self.write("forget old messages", Prune, pruning).await? < PRUNED_MAX.cast_unsigned() {
                return Ok(());
            }
        }
    }
}

/// Says once in the log that something fails, and once that it does no more.
#[derive(Debug, Default)]
pub(crate) struct Trouble(bool);

impl Trouble {
    pub(crate) fn note(&mut self, done: Result<(), WebhookError>) {
        match &done {
            Err(error) if !self.0 => {
                tracing::warn!(
                    error = error as &dyn std::error::Error,
                    "webhooks can not be looked after: {error}"
                );
            }
            Ok(()) if self.0 => tracing::info!("webhooks are looked after again"),
            _ => {}
        }
        self.0 = done.is_err();
    }
}
