//! Which webhooks are not fed for now.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    WebhookId,
    steps::{Fed, WAITING_MAX},
};

/// Webhooks for which there are events, and that take none for now: enough waits for them, or they are not active, or not known to this
/// node. Otherwise each would be looked at again with each event.
#[derive(Debug, Default)]
pub(crate) struct Resting {
    /// After how many ends of messages each is fed again; none for those that only a look can tell of.
    after: Mutex<BTreeMap<WebhookId, Option<u64>>>,
    has_room: Notify,
}

impl Resting {
    /// What came of feeding a webhook.
    pub(crate) fn note(&self, fed: &Fed) {
        let over = fed.waiting.checked_sub(WAITING_MAX);
        if !fed.is_active {
            self.after.lock().insert(fed.webhook, None);
        } else if let Some(over) = over {
            self.after.lock().insert(fed.webhook, Some(over + 1));
        } else if fed.has_more {
            self.has_room.notify_one();
        }
    }

    /// A message to a webhook has ended.
    pub(crate) fn ended(&self, webhook: WebhookId) {
        let mut all = self.after.lock();
        let Some(Some(after)) = all.get_mut(&webhook) else { return };
        *after = after.saturating_sub(1);
        if *after == 0 {
            all.remove(&webhook);
            self.has_room.notify_one();
        }
    }

    /// Whether a webhook rests.
    pub(crate) fn has(&self, webhook: WebhookId) -> bool {
        self.after.lock().contains_key(&webhook)
    }

    /// A webhook was resumed.
    pub(crate) fn wake(&self, webhook: WebhookId) {
        self.after.lock().remove(&webhook);
        self.has_room.notify_one();
    }

    /// What other nodes did may have made room.
    pub(crate) fn look_again(&self) {
        self.after.lock().clear();
    }

    /// Waits until a webhook has room.
    pub(crate) async fn room(&self) {
        self.has_room.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_rests_until_there_is_room() {
        let resting = Resting::default();
        let fed = |webhook, is_active, waiting| Fed { webhook, is_active, waiting, ..Fed::default() };
        resting.note(&fed(1, true, WAITING_MAX - 1));
        assert!(!resting.has(1));
        resting.note(&fed(1, true, WAITING_MAX + 1));
        resting.note(&fed(2, false, 0));
        resting.ended(1);
        resting.ended(2);
        assert!(resting.has(1) && resting.has(2));
        resting.ended(1);
        assert!(!resting.has(1) && resting.has(2));
        resting.look_again();
        assert!(!resting.has(2));
    }
}
