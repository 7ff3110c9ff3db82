//! What clients changed, for sinks that hear of it while it happens.

use std::{
    fmt,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use futures_util::{FutureExt, future::join_all};
use parking_lot::Mutex;
use registry_digest::Digest;
use registry_types::{MediaType, RepositoryName, Tag};
use tokio::{sync::mpsc, time::timeout};

/// How many events wait for a sink; more are dropped, and the log says how many.
pub const EVENTS_WAITING_MAX: usize = 1024;

/// How long the end of a registry waits for a sink that has events left.
const SETTLE_MAX: Duration = Duration::from_secs(5);

/// Something that a client of this process's API changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// In which repository.
    pub repository: RepositoryName,
    /// What changed.
    pub change: Change,
    /// The user that changed it; none for the anonymous.
    pub actor: Option<String>,
    /// When it was known to be durable.
    pub at: SystemTime,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// A manifest was pushed, perhaps once more, and tags lead to it.
    Pushed {
        /// The manifest's.
        digest: Digest,
        /// The manifest's.
        media_type: MediaType,
        /// Of the manifest alone.
        size_bytes: u64,
        /// Those that the push set. They may have led there before.
        tags: Vec<Tag>,
    },
    /// A tag was deleted. What it led to is still there.
    TagDeleted {
        /// Which.
        tag: Tag,
    },
    /// A manifest was deleted, and its tags with it.
    ManifestDeleted {
        /// Which.
        digest: Digest,
        /// The tags that led to it.
        tags: Vec<Tag>,
    },
}

/// Is told of what clients change.
///
/// An event is told after its change is durable, in the order in which this process's requests ended, one at a time. It is told
/// at most once: what waits when the process is killed is lost, and beyond [`EVENTS_WAITING_MAX`] that wait the newest are. So is the
/// event of a change whose client was told that the database is not available. A client that goes away before it is answered keeps
/// nothing from being told. Other nodes, commands beside the server, the collector and retention tell nothing. What must see each change looks at the registry as
/// well, now and then.
#[async_trait]
pub trait EventSink: fmt::Debug + Send + Sync + 'static {
    /// Takes an event. The next one waits until this is done; no request does.
    async fn note(&self, event: Event);
}

/// The way of events to the sinks. Without a sink nothing is done for them.
#[derive(Debug, Default)]
pub struct Events {
    queues: Vec<Queue>,
}

struct Queue {
    sink: Arc<dyn EventSink>,
    /// None once the registry ends: nothing more comes then.
    sender: Mutex<Option<mpsc::Sender<Event>>>,
    /// Held by what tells the sink.
    receiver: tokio::sync::Mutex<mpsc::Receiver<Event>>,
    dropped: AtomicU64,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("sink", &self.sink).finish_non_exhaustive()
    }
}

impl Events {
    /// Events for these sinks. Each has a queue of its own, so that none waits for another.
    pub fn to(sinks: Vec<Arc<dyn EventSink>>) -> Events {
        Events { queues: sinks.into_iter().map(Queue::to).collect() }
    }

    /// Whether there is a sink.
    pub(crate) fn has_sinks(&self) -> bool {
        !self.queues.is_empty()
    }

    /// Puts a change where the sinks find it. Never waits.
    pub(crate) fn note(
        &self,
        repository: &RepositoryName,
        actor: Option<&str>,
        change: impl FnOnce() -> Change,
    ) {
        if !self.has_sinks() {
            return;
        }
        let (repository, actor) = (repository.clone(), actor.map(str::to_owned));
        let event = Event { repository, change: change(), actor, at: SystemTime::now() };
        self.queues.iter().for_each(|queue| queue.put(event.clone()));
    }

    /// Tells the sinks until the registry ends or the future is dropped.
    pub async fn tell(&self) {
        join_all(self.queues.iter().map(Queue::tell)).await;
    }

    /// Tells the sinks what still waits, for at most some seconds. Nothing that changes later is told.
    pub async fn settle(&self) {
        self.queues.iter().for_each(|queue| drop(queue.sender.lock().take()));
        if timeout(SETTLE_MAX, self.tell()).await.is_err() {
            tracing::warn!("some events were not told: a sink took longer than {SETTLE_MAX:?} for them");
        }
    }
}

impl Queue {
    fn to(sink: Arc<dyn EventSink>) -> Queue {
        let (sender, receiver) = mpsc::channel(EVENTS_WAITING_MAX);
        let (sender, receiver) = (Mutex::new(Some(sender)), tokio::sync::Mutex::new(receiver));
        Queue { sink, sender, receiver, dropped: AtomicU64::new(0) }
    }

    fn put(&self, event: Event) {
        let sender = self.sender.lock();
        if sender.as_ref().is_some_and(|sender| sender.try_send(event).is_err()) {
            // Said at once, since a sink that hangs is never done with an event; how many there were is said when it is.
            if self.dropped.fetch_add(1, Relaxed) == 0 {
                tracing::warn!("events are dropped: {EVENTS_WAITING_MAX} wait for {:?}", self.sink);
            }
        }
    }

    async fn tell(&self) {
        let mut receiver = self.receiver.lock().await;
        while let Some(event) = receiver.recv().await {
            // A sink that panics loses that event, and neither the next ones nor other sinks theirs.
            if AssertUnwindSafe(self.sink.note(event)).catch_unwind().await.is_err() {
                tracing::error!("{:?} panicked over an event", self.sink);
            }
            let dropped = self.dropped.swap(0, Relaxed);
            if dropped > 0 {
                let sink = &self.sink;
                tracing::warn!("{dropped} events were dropped: {EVENTS_WAITING_MAX} waited for {sink:?}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default)]
    struct Seen(Mutex<Vec<Tag>>);

    #[async_trait]
    impl EventSink for Seen {
        async fn note(&self, event: Event) {
            // Others get their turn between two events.
            tokio::task::yield_now().await;
            if let Change::TagDeleted { tag } = event.change {
                self.0.lock().push(tag);
            }
        }
    }

    fn put(events: &Events, number: usize) {
        let tag = format!("t{number}").parse().unwrap();
        events.note(&"a".parse().unwrap(), None, || Change::TagDeleted { tag });
    }

    #[tokio::test]
    async fn what_waits_at_the_end_is_told_in_its_order_and_nothing_after_it() {
        let seen = Arc::new(Seen::default());
        let events = Arc::new(Events::to(vec![seen.clone()]));
        let telling = tokio::spawn({
            let events = events.clone();
            async move { events.tell().await }
        });
        (0..100).for_each(|number| put(&events, number));
        events.settle().await;
        put(&events, 100);
        telling.await.unwrap();
        let expected: Vec<Tag> = (0..100).map(|number| format!("t{number}").parse().unwrap()).collect();
        assert_eq!(*seen.0.lock(), expected);
    }

    #[tokio::test]
    async fn what_waits_is_bounded_and_the_oldest_is_kept() {
        let seen = Arc::new(Seen::default());
        let events = Events::to(vec![seen.clone()]);
        (0..EVENTS_WAITING_MAX + 7).for_each(|number| put(&events, number));
        assert_eq!(events.queues[0].dropped.load(Relaxed), 7);
        events.settle().await;
        let seen = seen.0.lock();
        assert_eq!((seen.len(), seen[0].as_ref()), (EVENTS_WAITING_MAX, "t0"));
    }
}
