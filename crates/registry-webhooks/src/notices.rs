//! What clients read, mount and push as blobs, for receivers of the Go registry's format: from memory, since a row for each pull would
//! cost a commit for each. What waits when a process ends is lost, as there.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use tokio::{
    sync::{Mutex, mpsc},
    time::{Instant, sleep},
};

use crate::{Definition, Meaning, MessageId, Notice, Wanted, Webhooks, payload, send::send};

/// How many notices wait for a receiver; more are dropped, and counted.
pub const NOTICES_WAITING_MAX: usize = 1024;

/// The ways of notices to receivers.
#[derive(Debug, Default)]
pub(crate) struct Notices(Vec<Queue>);

#[derive(Debug)]
struct Queue {
    definition: Arc<Definition>,
    sender: mpsc::Sender<Arc<Notice>>,
    /// Held by what sends them.
    receiver: Mutex<mpsc::Receiver<Arc<Notice>>>,
    dropped: AtomicU64,
    /// Whether the webhook is neither paused nor disabled, as far as this node has looked. What comes meanwhile is dropped, and counted.
    is_active: AtomicBool,
}

impl Notices {
    /// Learns which webhooks are active.
    pub(crate) fn set_active(&self, is_active: impl Fn(&str) -> bool) {
        for queue in &self.0 {
            queue.is_active.store(is_active(queue.definition.name.as_ref()), Relaxed);
        }
    }

    pub(crate) fn to(definitions: Vec<Arc<Definition>>) -> Notices {
        Notices(definitions.into_iter().map(Queue::to).collect())
    }

    fn note(&self, notice: &Notice) {
        let mut shared: Option<Arc<Notice>> = None;
        for queue in self.0.iter().filter(|queue| queue.wants(notice)) {
            if !queue.is_active.load(Relaxed) {
                queue.dropped.fetch_add(1, Relaxed);
                continue;
            }
            let notice = shared.get_or_insert_with(|| Arc::new(notice.clone())).clone();
            if queue.sender.try_send(notice).is_err() && queue.dropped.fetch_add(1, Relaxed) == 0 {
                let name = &queue.definition.name;
                tracing::warn!(webhook = %name, "pulls are not told: {NOTICES_WAITING_MAX} wait for the receiver");
            }
        }
    }

    /// The names of the endpoints that are told.
    #[cfg(test)]
    pub(crate) fn names(&self) -> Vec<&str> {
        self.0.iter().map(|queue| queue.definition.name.as_ref()).collect()
    }

    /// How many wait, and how many were dropped or given up.
    pub(crate) fn numbers(&self) -> (u64, u64) {
        let waiting = self.0.iter().map(|queue| NOTICES_WAITING_MAX - queue.sender.capacity());
        let dropped = self.0.iter().map(|queue| queue.dropped.load(Relaxed));
        (waiting.sum::<usize>() as u64, dropped.sum())
    }
}

impl Queue {
    fn to(definition: Arc<Definition>) -> Queue {
        let (sender, receiver) = mpsc::channel(NOTICES_WAITING_MAX);
        Queue {
            definition,
            sender,
            receiver: Mutex::new(receiver),
            dropped: AtomicU64::new(0),
            is_active: AtomicBool::new(true),
        }
    }

    fn wants(&self, notice: &Notice) -> bool {
        let (media_type, tag) = (Some(notice.media_type.as_str()), notice.tag.as_deref());
        self.definition.filter.lets_notice_pass(notice.action, media_type, &notice.repository, tag)
    }
}

impl Webhooks {
    /// Whether any receiver is told of what clients read. Where not, nothing is to be made for [`note`](Self::note).
    pub fn wants_notices(&self) -> bool {
        !self.0.notices.load().0.is_empty()
    }

    /// Puts a notice where it is sent from. Never waits.
    pub fn note(&self, notice: &Notice) {
        self.0.notices.load().note(notice);
    }

    /// Sends notices, to each receiver one at a time, until the future is dropped.
    pub(crate) async fn send_notices(&self) {
        let notices = self.0.notices.load_full();
        futures_util::future::join_all(notices.0.iter().map(|queue| self.send_from(queue))).await;
    }

    async fn send_from(&self, queue: &Queue) {
        let mut receiver = queue.receiver.lock().await;
        while let Some(notice) = receiver.recv().await {
            if !self.send_notice(queue, &notice).await {
                queue.dropped.fetch_add(1, Relaxed);
            }
        }
    }

    /// Until the receiver has it, or it is given up.
    async fn send_notice(&self, queue: &Queue, notice: &Notice) -> bool {
        let definition = &queue.definition;
        let options = &self.0.options;
        let facts = options.look_up.facts(Wanted::by_notice(notice, options.include_references)).await;
        let Ok(id) = MessageId::generate() else { return false };
        let Ok(payload) = payload::notice(id, notice, &options.origin, &facts) else { return false };
        let (began, mut failures) = (Instant::now(), 0);
        while queue.is_active.load(Relaxed) {
            let sent = send(&options.outbound, definition, None, id, &payload).await;
            let Meaning::Failed { retry_after } = sent.meaning else {
                return sent.meaning == Meaning::Delivered;
            };
            failures += 1;
            match definition.backoff.after(failures, began.elapsed(), retry_after) {
                Some(wait) => sleep(wait).await,
                None => return false,
            }
        }
        false
    }
}
