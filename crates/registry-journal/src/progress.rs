//! How far the journal is, and who waits for it.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{sync::watch, time::timeout};

use super::{error::JournalError, snapshot::Made};

/// How long an answer waits until what it tells of is stored. Then the caller is told that the outcome is not known.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(30);

/// How old the oldest commit that is not stored may be when more is begun: a store that does not answer for so long will
/// not answer in time for what would be begun now, and then it is better not to begin.
const BEHIND_MAX: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 10 });

/// How many bytes of commits may wait to be stored, before more is begun.
const PENDING_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Told when what is waited for is stored, or why it is not.
pub(crate) type Answer = Box<dyn FnOnce(Result<(), Arc<JournalError>>) + Send>;

/// How far the journal is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// No commit that a reader can see has a higher number.
    pub(crate) announced: i64,
    /// The last commit.
    pub(crate) committed: i64,
    /// Every commit up to here is stored.
    pub(crate) stored: i64,
    /// The size of the commits that are not stored.
    pub(crate) pending_bytes: u64,
    /// When the oldest of them was made, at the latest.
    pub(crate) pending_since: Option<Instant>,
    /// How many entries were stored since the start, and their bytes.
    pub(crate) entries: u64,
    pub(crate) entries_bytes: u64,
    /// The newest snapshot that this process has made or found.
    pub(crate) snapshot: Option<Made>,
    /// Why the journal has ended.
    pub(crate) fault: Option<Arc<JournalError>>,
}

/// What the writer, the thread that stores, and the callers that wait have in common.
pub(crate) struct Shared {
    progress: watch::Sender<Progress>,
    waiting: Mutex<VecDeque<Waiting>>,
}

struct Waiting {
    number: i64,
    since: Instant,
    answer: Answer,
}

impl Shared {
    /// For a database that is at commit `number` and may keep commits after `stored`.
    pub(crate) fn new(number: i64, stored: i64) -> Shared {
        let pending_since = (stored < number).then(Instant::now);
        let progress =
            Progress { announced: number, committed: number, stored, pending_since, ..Progress::default() };
        Shared { progress: watch::Sender::new(progress), waiting: Mutex::new(VecDeque::new()) }
    }

    pub(crate) fn now(&self) -> Progress {
        self.progress.borrow().clone()
    }

    /// Waits until it is so. The answer is a copy: a look at the original would hold its lock.
    pub(crate) async fn until(&self, is_so: impl Fn(&Progress) -> bool) -> Progress {
        let mut progress = self.progress.subscribe();
        let seen = progress.wait_for(is_so).await;
        seen.expect("the sender is a part of this").clone()
    }

    /// Whether more may be begun: what to wait for, or why not.
    pub(crate) fn admits(progress: &Progress) -> Option<Result<(), Arc<JournalError>>> {
        if let Some(fault) = &progress.fault {
            return Some(Err(fault.clone()));
        }
        let waited = progress.pending_since.map_or(Duration::ZERO, |since| since.elapsed());
        if waited > BEHIND_MAX {
            let number = progress.stored + 1;
            return Some(Err(Arc::new(JournalError::Behind { number, waited_secs: waited.as_secs() })));
        }
        (progress.pending_bytes <= PENDING_BYTES_MAX).then_some(Ok(()))
    }

    /// A commit of this number is about to be made: from now on readers may see it.
    pub(crate) fn announce(&self, number: i64) {
        self.progress.send_if_modified(|progress| {
            progress.announced = progress.announced.max(number);
            false
        });
    }

    /// The commit was made, or with `None` not.
    pub(crate) fn committed(&self, commit: Option<(i64, u64)>) {
        self.progress.send_modify(|progress| match commit {
            Some((number, size_bytes)) => {
                progress.committed = number;
                progress.announced = number;
                progress.pending_bytes += size_bytes;
                progress.pending_since.get_or_insert_with(Instant::now);
            }
            None => progress.announced = progress.committed,
        });
    }

    /// Answers when everything that is committed now is stored.
    pub(crate) fn when_stored(&self, answer: Answer) {
        let answer = {
            // Under the lock, or the thread that stores could look between the two steps and find none waiting.
            let mut waiting = self.waiting.lock();
            let progress = self.progress.borrow();
            match &progress.fault {
                Some(fault) => Some((answer, Err(fault.clone()))),
                None if progress.stored >= progress.committed => Some((answer, Ok(()))),
                None => {
                    waiting.push_back(Waiting { number: progress.committed, since: Instant::now(), answer });
                    None
                }
            }
        };
        if let Some((answer, result)) = answer {
            answer(result);
        }
    }

    /// Every commit up to this one is stored. `begun` is when the attempt was begun: what is not stored came later.
    pub(crate) fn stored(&self, through: i64, size_bytes: u64, begun: Instant) {
        self.progress.send_modify(|progress| {
            progress.stored = progress.stored.max(through);
            progress.entries += 1;
            progress.entries_bytes += size_bytes;
            // Another process may have committed, and this one may store it.
            progress.committed = progress.committed.max(through);
            progress.announced = progress.announced.max(through);
            let is_all = progress.stored == progress.committed;
            progress.pending_bytes =
                if is_all { 0 } else { progress.pending_bytes.saturating_sub(size_bytes) };
            progress.pending_since = (!is_all).then_some(begun);
        });
        self.answer_while(|waiting| waiting.number <= through, |_| Ok(()));
    }

    /// A snapshot was made.
    pub(crate) fn made(&self, snapshot: Made) {
        self.progress.send_modify(|progress| progress.snapshot = Some(snapshot));
    }

    /// Answers those that have waited for too long.
    pub(crate) fn give_up_on_patience(&self) {
        self.answer_while(
            |waiting| waiting.since.elapsed() > ANSWER_WAIT_MAX,
            |waiting| {
                let (number, waited_secs) = (waiting.number, waiting.since.elapsed().as_secs());
                Err(Arc::new(JournalError::Behind { number, waited_secs }))
            },
        );
    }

    /// The journal has ended; only the first reason counts.
    pub(crate) fn fail(&self, fault: Arc<JournalError>) {
        self.progress.send_modify(|progress| {
            progress.fault.get_or_insert_with(|| fault.clone());
        });
        self.answer_while(|_| true, |_| Err(fault.clone()));
    }

    fn answer_while(
        &self,
        is_due: impl Fn(&Waiting) -> bool,
        result: impl Fn(&Waiting) -> Result<(), Arc<JournalError>>,
    ) {
        let due: Vec<Waiting> = {
            let mut waiting = self.waiting.lock();
            let count = waiting.iter().take_while(|waiting| is_due(waiting)).count();
            waiting.drain(..count).collect()
        };
        for waiting in due {
            let result = result(&waiting);
            (waiting.answer)(result);
        }
    }

    /// Completes when everything that a reader could see until now is stored.
    pub(crate) async fn settled(&self) -> Result<(), Arc<JournalError>> {
        let seen = self.progress.borrow().announced;
        // What was announced and then not committed is nothing to wait for.
        let is_stored = |progress: &Progress| progress.stored >= seen.min(progress.announced);
        let done = self.until(|progress| progress.fault.is_some() || is_stored(progress));
        match timeout(ANSWER_WAIT_MAX, done).await {
            Ok(progress) => progress.fault.map_or(Ok(()), Err),
            Err(_) => {
                Err(Arc::new(JournalError::Behind { number: seen, waited_secs: ANSWER_WAIT_MAX.as_secs() }))
            }
        }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.now().fmt(f)
    }
}
