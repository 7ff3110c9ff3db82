//! What a node has read of the rows of webhooks: patterns are compiled and secrets opened when a row changes, and not for each message.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use parking_lot::Mutex;
use registry_secrets::Secrets;

use crate::{
    Filter, WebhookError, WebhookId,
    stored::{Ready, Stored},
};

/// Of each webhook at most one of each.
#[derive(Debug, Default)]
pub(crate) struct Known {
    filters: Mutex<BTreeMap<WebhookId, Arc<Compiled>>>,
    ready: Mutex<BTreeMap<WebhookId, Arc<Opened>>>,
}

/// A filter, and the texts of which it is made.
#[derive(Debug)]
struct Compiled {
    texts: [Vec<String>; 3],
    filter: Arc<Filter>,
}

/// What can be sent with a webhook, and the row of which it is made.
#[derive(Debug)]
struct Opened {
    stored: Stored,
    is_former_good: bool,
    ready: Arc<Ready>,
}

impl Known {
    /// The filter that a row says.
    pub(crate) fn filter(&self, stored: &Stored) -> Result<Arc<Filter>, WebhookError> {
        let known = self.filters.lock().get(&stored.id).cloned();
        let texts = stored.filter_texts();
        if let Some(known) = known.filter(|known| known.texts.each_ref().map(Vec::as_slice) == texts) {
            return Ok(known.filter.clone());
        }
        let filter = Arc::new(stored.filter()?);
        let compiled = Compiled { texts: texts.map(<[String]>::to_vec), filter: filter.clone() };
        self.filters.lock().insert(stored.id, Arc::new(compiled));
        Ok(filter)
    }

    /// The definition that a row says, opened.
    pub(crate) fn ready(
        &self,
        stored: &Stored,
        secrets: &Secrets,
        now_ms: i64,
    ) -> Result<Arc<Ready>, WebhookError> {
        let is_former_good = stored.is_former_good(now_ms);
        let known = self.ready.lock().get(&stored.id).cloned();
        let is_same = |known: &Arc<Opened>| known.is_former_good == is_former_good && known.stored == *stored;
        if let Some(known) = known.filter(is_same) {
            return Ok(known.ready.clone());
        }
        let ready = Arc::new(stored.ready(secrets, now_ms)?);
        let opened = Opened { stored: stored.clone(), is_former_good, ready: ready.clone() };
        self.ready.lock().insert(stored.id, Arc::new(opened));
        Ok(ready)
    }

    /// Forgets all webhooks but these.
    pub(crate) fn keep(&self, webhooks: &BTreeSet<WebhookId>) {
        self.filters.lock().retain(|webhook, _| webhooks.contains(webhook));
        self.ready.lock().retain(|webhook, _| webhooks.contains(webhook));
    }
}
