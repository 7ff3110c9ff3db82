//! The store as the journal's threads call it: each call waits for its answer, has a time limit, and is repeated where
//! nothing goes on without it.

use std::{error::Error as StdError, future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use registry_storage::{Creation, ObjectInfo, SmallObjects, StorageError};
use registry_types::Location;
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

/// A store whose calls block until they are answered or the journal is closed. Names are such as
/// `journal/00000000000000000042`, and stand below [`Location::PREFIX`].
#[derive(Clone, Debug)]
pub(crate) struct Remote {
    objects: Arc<dyn SmallObjects>,
    runtime: Handle,
    stopped: watch::Receiver<bool>,
}

impl Remote {
    pub(crate) fn new(
        objects: Arc<dyn SmallObjects>,
        runtime: Handle,
        stopped: watch::Receiver<bool>,
    ) -> Remote {
        Remote { objects, runtime, stopped }
    }

    /// One attempt; `tick` is called every second while it lasts.
    pub(crate) fn create(&self, name: &str, bytes: Bytes, tick: impl Fn()) -> Result<Creation> {
        let name = location(name);
        let mut call = self.objects.create(&name, bytes);
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
    pub(crate) fn insist_on_creating(&self, name: &str, bytes: &Bytes) -> Result<Creation> {
        self.insist(|| self.create(name, bytes.clone(), || {}))
    }

    pub(crate) fn read(&self, name: &str) -> Result<Option<Bytes>> {
        let location = location(name);
        self.insist(|| self.call("read an object", self.objects.read(&location)))
    }

    /// An object that must be there.
    pub(crate) fn read_known(&self, name: &str) -> Result<Bytes> {
        self.read(name)?.ok_or_else(|| JournalError::Gone { name: name.to_owned() })
    }

    /// One attempt.
    pub(crate) fn is_there_more(&self, folder: &str, after: &str) -> Result<Option<String>> {
        let (folder, after) = (location(folder), location(after));
        let found = self.call("list objects", self.objects.list_small(&folder, Some(&after), 1))?;
        Ok(found.first().map(|object| name_of(&object.location)))
    }

    pub(crate) fn list(&self, folder: &str) -> Result<Vec<(String, u64)>> {
        let folder = location(folder);
        let mut all: Vec<ObjectInfo> = Vec::new();
        while all.len() < OBJECTS_MAX {
            let after = all.last().map(|object| object.location.clone());
            let list = || self.objects.list_small(&folder, after.as_ref(), LIST_MAX);
            let page = self.insist(|| self.call("list objects", list()))?;
            let is_last = page.len() < LIST_MAX;
            all.extend(page);
            if is_last {
                break;
            }
        }
        Ok(all.iter().map(|object| (name_of(&object.location), object.size_bytes)).collect())
    }

    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        let location = location(name);
        self.insist(|| self.call("remove an object", self.objects.remove(&location)))
    }

    /// Waits, unless the journal is closed meanwhile.
    pub(crate) fn pause(&self, duration: Duration) -> Result<()> {
        let mut stopped = self.stopped.clone();
        match self.runtime.block_on(async { timeout(duration, stopped.wait_for(|stopped| *stopped)).await }) {
            Err(_) => Ok(()),
            Ok(_) => Err(JournalError::Stopping),
        }
    }

    /// Waits for something, at most so long; none if it did not come.
    pub(crate) fn wait<T>(&self, duration: Duration, event: impl Future<Output = T>) -> Result<Option<T>> {
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
        call: impl Future<Output = std::result::Result<T, StorageError>>,
    ) -> Result<T> {
        let failed = |source: Box<dyn StdError + Send + Sync>| JournalError::Store { operation, source };
        match self.wait(CALL_TIMEOUT, call)? {
            Some(answer) => answer.map_err(|error| failed(error.into())),
            None => Err(failed(format!("no answer within {} s", CALL_TIMEOUT.as_secs()).into())),
        }
    }
}

fn location(name: &str) -> Location {
    let location = format!("{}{name}", Location::PREFIX).parse();
    location.expect("the names of a journal are words and numbers")
}

fn name_of(location: &Location) -> String {
    location.as_str()[Location::PREFIX.len()..].to_owned()
}
