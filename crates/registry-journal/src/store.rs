//! Where a journal is kept, and calling that from threads that may wait.

use std::{error::Error as StdError, fmt, future::Future, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::{
    runtime::Handle,
    sync::watch,
    time::{sleep, timeout},
};

use super::error::{JournalError, Result};

/// How long one call of the store may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// How often a call is made at most where nothing goes on without its answer, with a pause before each repetition that
/// doubles.
const ATTEMPTS_MAX: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);

/// How many names one call lists.
const LIST_MAX: usize = 1_000;

/// The most objects of a journal: far more than there can be between two snapshots.
const OBJECTS_MAX: usize = 10_000_000;

/// What a [`JournalStore`] fails with.
pub type JournalStoreError = Box<dyn StdError + Send + Sync>;

/// Whether an object was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalCreation {
    /// It was not there, and now it is.
    Created,
    /// There is one of that name already; nothing was changed.
    Exists,
}

/// Small objects with names, which is all that a journal needs of an object store.
///
/// Names are such as `journal/00000000000000000042`: folders of letters and hyphens, then letters, digits and hyphens.
/// An object has at most 64 MiB. What a call that succeeded made or removed is durable and seen by every later call
/// of anybody.
#[async_trait]
pub trait JournalStore: fmt::Debug + Send + Sync + 'static {
    /// Makes an object, unless there is one of that name: of several attempts at once one succeeds. After an error
    /// nobody knows, and the attempt is repeated.
    async fn create(
        &self,
        name: &str,
        bytes: Bytes,
    ) -> std::result::Result<JournalCreation, JournalStoreError>;

    /// An object's bytes; none if it is not there.
    async fn read(&self, name: &str) -> std::result::Result<Option<Bytes>, JournalStoreError>;

    /// Names and sizes in bytes of the objects below a folder (`journal`), in the order of their bytes, strictly after
    /// `after`, at most `limit`. Fewer mean that there are no more.
    async fn list(
        &self,
        folder: &str,
        after: Option<&str>,
        limit: usize,
    ) -> std::result::Result<Vec<(String, u64)>, JournalStoreError>;

    /// Removes an object, which may be gone already.
    async fn remove(&self, name: &str) -> std::result::Result<(), JournalStoreError>;
}

/// A store as threads of the journal call it: each call waits, until the journal is closed.
#[derive(Clone, Debug)]
pub(super) struct Remote {
    store: Arc<dyn JournalStore>,
    runtime: Handle,
    stopped: watch::Receiver<bool>,
}

impl Remote {
    pub(super) fn new(
        store: Arc<dyn JournalStore>,
        runtime: Handle,
        stopped: watch::Receiver<bool>,
    ) -> Remote {
        Remote { store, runtime, stopped }
    }

    /// One attempt; `tick` is called every second while it lasts.
    pub(super) fn create(&self, name: &str, bytes: Bytes, tick: impl Fn()) -> Result<JournalCreation> {
        let mut call = self.store.create(name, bytes);
        let ticking = async {
            loop {
                tokio::select! {
                    answer = &mut call => return answer,
                    () = sleep(Duration::from_secs(1)) => tick(),
                }
            }
        };
        self.call("store an object", ticking)
    }

    /// As [`create`](Self::create), and again if it fails. An object that exists may then be ours.
    pub(super) fn insist_on_creating(&self, name: &str, bytes: &Bytes) -> Result<JournalCreation> {
        self.insist(|| self.create(name, bytes.clone(), || {}))
    }

    pub(super) fn read(&self, name: &str) -> Result<Option<Bytes>> {
        self.insist(|| self.call("read an object", self.store.read(name)))
    }

    /// An object that must be there.
    pub(super) fn read_known(&self, name: &str) -> Result<Bytes> {
        self.read(name)?.ok_or_else(|| JournalError::Gone { name: name.to_owned() })
    }

    /// One attempt.
    pub(super) fn is_there_more(&self, folder: &str, after: &str) -> Result<Option<String>> {
        let found = self.call("list objects", self.store.list(folder, Some(after), 1))?;
        Ok(found.into_iter().next().map(|(name, _)| name))
    }

    pub(super) fn list(&self, folder: &str) -> Result<Vec<(String, u64)>> {
        let mut all: Vec<(String, u64)> = Vec::new();
        while all.len() < OBJECTS_MAX {
            let after = all.last().map(|(name, _)| name.clone());
            let page = self
                .insist(|| self.call("list objects", self.store.list(folder, after.as_deref(), LIST_MAX)))?;
            let is_last = page.len() < LIST_MAX;
            all.extend(page);
            if is_last {
                break;
            }
        }
        Ok(all)
    }

    pub(super) fn remove(&self, name: &str) -> Result<()> {
        self.insist(|| self.call("remove an object", self.store.remove(name)))
    }

    /// Waits, unless the journal is closed meanwhile.
    pub(super) fn pause(&self, duration: Duration) -> Result<()> {
        let mut stopped = self.stopped.clone();
        match self.runtime.block_on(async { timeout(duration, stopped.wait_for(|stopped| *stopped)).await }) {
            Err(_) => Ok(()),
            Ok(_) => Err(JournalError::Stopping),
        }
    }

    /// Waits for something, at most so long; none if it did not come.
    pub(super) fn wait<T>(&self, duration: Duration, event: impl Future<Output = T>) -> Result<Option<T>> {
        let mut stopped = self.stopped.clone();
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped) => Err(JournalError::Stopping),
                event = timeout(duration, event) => Ok(event.ok()),
            }
        })
    }

    fn insist<T>(&self, attempt: impl Fn() -> Result<T>) -> Result<T> {
        let mut pause = PAUSE;
        for _ in 1..ATTEMPTS_MAX {
            match attempt() {
                Err(error) if error.is_passing() => {
                    tracing::warn!(
                        error = &error as &dyn StdError,
                        "the journal's store failed, trying again"
                    );
                    self.pause(pause)?;
                    pause *= 2;
                }
                result => return result,
            }
        }
        attempt()
    }

    fn call<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = std::result::Result<T, JournalStoreError>>,
    ) -> Result<T> {
        let failed = |source| JournalError::Store { operation, source };
        match self.wait(CALL_TIMEOUT, call)? {
            Some(answer) => answer.map_err(failed),
            None => Err(failed(format!("no answer within {} s", CALL_TIMEOUT.as_secs()).into())),
        }
    }
}
