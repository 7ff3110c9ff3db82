//! Which message is sent when: to each webhook one at a time in their order, those that failed when they are due.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    MessageId, WebhookError, WebhookId, Webhooks,
    deliver::Verdict,
    run::Trouble,
    steps::{FirstWaiting, WAITING_MAX, WithWaiting},
};

/// How many attempts a node makes at once.
const ATTEMPTS_AT_ONCE_MAX: usize = 64;

/// How often a node looks for messages that wait.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How many messages of a webhook are looked at.
const LOOKED_AT_MAX: usize = 4 * WAITING_MAX as usize;

/// Messages that failed: how often, and when they are due.
type Failed = BTreeMap<String, (u32, Instant)>;

type Attempted = (WebhookId, MessageId, u32, Result<Verdict, WebhookError>);

#[derive(Default)]
struct Lanes {
    failed: Failed,
    /// Webhooks to which something is being sent.
    busy: BTreeSet<WebhookId>,
    attempts: JoinSet<Attempted>,
}

impl Webhooks {
    pub(crate) async fn send_messages(&self) {
        let (mut lanes, mut trouble) = (Lanes::default(), Trouble::default());
        loop {
            trouble.note(self.begin_attempts(&mut lanes).await);
            tokio::select! {
                Some(Ok(attempted)) = lanes.attempts.join_next() => trouble.note(lanes.ended(attempted)),
                () = self.0.wake.notified() => {}
                () = sleep(LOOK_EVERY) => {}
            }
        }
    }

    async fn begin_attempts(&self, lanes: &mut Lanes) -> Result<(), WebhookError> {
        if !self.are_used().await? {
            return Ok(());
        }
        for webhook in self.read("look for messages to send", WithWaiting, ()).await? {
            if lanes.busy.contains(&webhook) || lanes.attempts.len() >= ATTEMPTS_AT_ONCE_MAX {
                continue;
            }
            let waiting =
                self.read("look for messages to send", FirstWaiting, (webhook, LOOKED_AT_MAX)).await?;
            let Some(id) = waiting.into_iter().find(|id| lanes.is_due(*id)) else { continue };
            let failures = lanes.failed.get(&id.to_string()).map_or(0, |(failures, _)| *failures);
            self.0.sent_to.lock().insert(webhook);
            lanes.busy.insert(webhook);
            let webhooks = self.clone();
            lanes
                .attempts
                .spawn(async move { (webhook, id, failures, webhooks.deliver(id, failures).await) });
        }
        Ok(())
    }
}

impl Lanes {
    fn is_due(&self, id: MessageId) -> bool {
        self.failed.get(&id.to_string()).is_none_or(|(_, due)| *due <= Instant::now())
    }

    fn ended(&mut self, (webhook, id, failures, verdict): Attempted) -> Result<(), WebhookError> {
        self.busy.remove(&webhook);
        let wait = match &verdict {
            Ok(Verdict::Done) => {
                self.failed.remove(&id.to_string());
                return Ok(());
            }
            Ok(Verdict::Retry(wait)) => *wait,
            Ok(Verdict::NotNow) | Err(_) => LOOK_EVERY,
        };
        let failures = if matches!(verdict, Ok(Verdict::Retry(_))) { failures + 1 } else { failures };
        self.failed.insert(id.to_string(), (failures, Instant::now() + wait));
        verdict.map(drop)
    }
}
