//! What a node does all the time.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use registry_database::{AnyStep, Operation, clock::millis, signed};
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    MessageId, WebhookError, WebhookId, Webhooks,
    steps::{
        Active, Awaited, Behind, FED_MAX, Fed, Feed, Feeding, ForgetSequences, Numbered, PruneMany, PruneOld,
        SequencesAfter, lane,
    },
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

/// How many messages are forgotten in a transaction.
const PRUNED_MAX: u64 = 100;

/// How many rows that count messages are looked at in a transaction.
const SEQUENCES_READ: usize = 500;

/// How often so many are looked at each time.
const SEQUENCE_PAGES_MAX: usize = 20;

/// After such a transaction none begins for so long at least, and at most.
pub(crate) const PRUNE_RESTS: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(100)];

/// After a transaction that fed webhooks none begins for so long at least, and at most: what happens meanwhile becomes messages together.
pub(crate) const FEED_RESTS: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(100)];

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

    /// Whenever events got their positions here or a webhook has room again, and each second for what other nodes did.
    async fn feed_all(&self) {
        let mut positions = self.0.options.recorder.positions();
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut trouble = Trouble::default();
        loop {
            let fed = tokio::select! {
                _ = ticks.tick() => {
                    let looked = self.look_who_is_reachable().await;
                    looked.and(self.feed_once().await)
                }
                Ok(()) = positions.changed() => self.feed_behind().await,
                () = self.0.resting.room() => self.feed_behind().await,
            };
            trouble.note(fed);
        }
    }

    /// Feeds all webhooks for which there are events.
    pub(crate) async fn feed_once(&self) -> Result<(), WebhookError> {
        self.0.resting.look_again();
        self.feed_behind().await
    }

    /// Feeds each webhook for which there are events and that does not rest, some in a transaction. One that fails stops no other.
    async fn feed_behind(&self) -> Result<(), WebhookError> {
        if !self.are_used().await? {
            return Ok(());
        }
        self.0.feeding.wait().await;
        let mut behind = self.read("look for events for webhooks", Behind, ()).await?;
        behind.retain(|webhook| !self.0.resting.has(*webhook));
        let (mut left, mut failed) = (behind, Ok(()));
        while !left.is_empty() {
            match self.feed(left.clone()).await {
                Ok(fed) => left = left.split_off(fed.len()),
                Err(error) => {
                    failed = Err(error);
                    self.feed_each(&left).await;
                    break;
                }
            }
        }
        failed
    }

    /// Feeds each by itself: one of them fails.
    async fn feed_each(&self, webhooks: &[WebhookId]) {
        for webhook in webhooks {
            if let Err(error) = self.feed(vec![*webhook]).await {
                tracing::debug!(%error, webhook, "a webhook is not fed: {error}");
            }
        }
    }

    /// Feeds the first of these webhooks, and says what came of it. Those that have more to take are fed again when the others were.
    async fn feed(&self, webhooks: Vec<WebhookId>) -> Result<Vec<Fed>, WebhookError> {
        let (configured, ids) = (self.0.configured.load_full(), MessageId::generate_many(FED_MAX)?);
        let feeding = Feeding { webhooks, configured, ids };
        let feed = self.write("feed webhooks", Feed(self.0.known.clone()), feeding);
        let all = self.0.feeding.write(feed).await?;
        for fed in &all {
            self.0.resting.note(fed);
        }
        if all.iter().any(|fed| fed.messages > 0) {
            self.jobs().wake();
        }
        Ok(all)
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
        self.0.known.keep(&active.iter().map(|(webhook, ..)| *webhook).collect());
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
            let (kept, pruned) = (self.keep_configured().await, self.prune_once().await);
            trouble.note(kept.and(pruned).and(self.forget_sequences().await));
        }
    }

    /// Forgets what is old, and what is too much of the webhooks that this node sent something to: some at a time, so that clients that
    /// write wait for few.
    pub(crate) async fn prune_once(&self) -> Result<(), WebhookError> {
        let webhooks = std::mem::take::<BTreeSet<_>>(&mut self.0.sent_to.lock());
        if !self.are_used().await? {
            return Ok(());
        }
        let (waits_ms, age_ms) = (millis(WAITING_AGE_MAX), millis(HISTORY_AGE_MAX));
        self.prune_all(|| PruneOld { waits_ms, age_ms }).await?;
        for webhook in webhooks {
            let kept_max = signed(HISTORY_KEPT_MAX);
            self.prune_all(|| PruneMany { webhook, kept_max }).await?;
        }
        Ok(())
    }

    /// Looks at some of the rows that count messages, further ones each time, and forgets those of repositories that are gone and of which
    /// nothing is to be told any more.
    pub(crate) async fn forget_sequences(&self) -> Result<(), WebhookError> {
        if !self.are_used().await? {
            return Ok(());
        }
        for _ in 0..SEQUENCE_PAGES_MAX {
            let after = *self.0.looked_at.lock();
            let page = (after, SEQUENCES_READ);
            let rows = self.read("look at what is counted", SequencesAfter, page).await?;
            let last = rows.last().copied().filter(|_| rows.len() == SEQUENCES_READ);
            *self.0.looked_at.lock() = last.unwrap_or_default();
            self.forget_gone(rows).await?;
            if last.is_none() {
                break;
            }
        }
        Ok(())
    }

    async fn forget_gone(&self, mut rows: Vec<Numbered>) -> Result<(), WebhookError> {
        let repositories: BTreeSet<i64> = rows.iter().map(|(_, repository)| *repository).collect();
        let gone = self.0.options.look_up.gone(&Vec::from_iter(repositories)).await;
        if gone.is_empty() {
            return Ok(());
        }
        // Read afterwards: nothing more happens in what was gone before.
        let Some(awaited) = self.read("look what is still to be told", Awaited, ()).await? else {
            return Ok(());
        };
        rows.retain(|(_, repository)| gone.contains(repository) && !awaited.contains(repository));
        let operation = Operation::from("forget what was counted of repositories that are gone").of_process();
        self.write(operation, ForgetSequences, rows).await
    }

    /// Forgets until nothing is left to be forgotten. What a power cut brings back is forgotten once more.
    async fn prune_all<T>(&self, step: impl Fn() -> T) -> Result<(), WebhookError>
    where
        T: AnyStep<Of = u64, Output = u64>,
    {
        let operation = Operation::from("forget old messages").of_process();
        loop {
            let prune = self.write(operation, step(), PRUNED_MAX);
            if self.0.pruning.write(prune).await? < PRUNED_MAX {
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
