//! Small objects in memory, and everything that can happen to a store of them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::UNIX_EPOCH,
};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use registry_storage::{Creation, ObjectInfo, SmallObjects, StorageError};
use registry_types::Location;
use tokio::sync::watch;

type Objects = BTreeMap<Location, Bytes>;

/// Clones are views of the same objects with the same troubles.
#[derive(Clone, Debug)]
pub(super) struct TroubledObjects {
    objects: Arc<Mutex<Objects>>,
    troubles: Arc<Troubles>,
}

#[derive(Debug)]
struct Troubles {
    /// Every call fails.
    is_down: AtomicBool,
    /// So many creations succeed and say that they did not.
    lost_answers: AtomicU64,
    /// Creations wait while this is so.
    held: watch::Sender<bool>,
    /// How many changes were asked for.
    changes: AtomicU64,
    /// The number of the change at which everything stops for ever, and whether it is still made.
    death: Mutex<Option<(u64, bool)>>,
    dead: watch::Sender<bool>,
}

impl TroubledObjects {
    pub(super) fn new() -> TroubledObjects {
        TroubledObjects::of(Objects::new())
    }

    fn of(objects: Objects) -> TroubledObjects {
        let troubles = Troubles {
            is_down: AtomicBool::new(false),
            lost_answers: AtomicU64::new(0),
            held: watch::Sender::new(false),
            changes: AtomicU64::new(0),
            death: Mutex::new(None),
            dead: watch::Sender::new(false),
        };
        TroubledObjects { objects: Arc::new(Mutex::new(objects)), troubles: Arc::new(troubles) }
    }

    /// Another store that has the same now.
    pub(super) fn fork(&self) -> TroubledObjects {
        TroubledObjects::of(self.objects.lock().clone())
    }

    /// The same objects for somebody who has none of the troubles.
    pub(super) fn survivor(&self) -> TroubledObjects {
        TroubledObjects { objects: self.objects.clone(), ..TroubledObjects::new() }
    }

    pub(super) fn names(&self, folder: &str) -> Vec<String> {
        let prefix = format!("{}{folder}/", Location::PREFIX);
        let objects = self.objects.lock();
        let names = objects.keys().map(Location::as_str).filter(|name| name.starts_with(&prefix));
        names.map(|name| name[Location::PREFIX.len()..].to_owned()).collect()
    }

    pub(super) fn lose(&self, name: &str) {
        assert!(self.objects.lock().remove(&location(name)).is_some(), "{name}");
    }

    /// Changes the last byte of an object.
    pub(super) fn damage(&self, name: &str) {
        let mut objects = self.objects.lock();
        let bytes = objects.get_mut(&location(name)).unwrap();
        let mut damaged = bytes.to_vec();
        *damaged.last_mut().unwrap() ^= 1;
        *bytes = damaged.into();
    }

    pub(super) fn set_down(&self, is_down: bool) {
        self.troubles.is_down.store(is_down, Ordering::SeqCst);
    }

    pub(super) fn lose_answers(&self, count: u64) {
        self.troubles.lost_answers.store(count, Ordering::SeqCst);
    }

    pub(super) fn hold(&self, is_held: bool) {
        self.troubles.held.send_replace(is_held);
    }

    /// Stops for ever at the change of this number from now on, after it or instead of it.
    pub(super) fn die_at(&self, change: u64, after: bool) {
        let at = self.troubles.changes.load(Ordering::SeqCst) + change;
        *self.troubles.death.lock() = Some((at, after));
    }

    pub(super) async fn death(&self) {
        let mut dead = self.troubles.dead.subscribe();
        dead.wait_for(|dead| *dead).await.unwrap();
    }

    fn check(&self) -> Result<(), StorageError> {
        match self.troubles.is_down.load(Ordering::SeqCst) {
            true => Err(failure("the store is down")),
            false => Ok(()),
        }
    }

    /// Makes a change, unless it comes after death.
    async fn change<T>(&self, change: impl FnOnce(&mut Objects) -> T) -> Result<T, StorageError> {
        self.check()?;
        let number = self.troubles.changes.fetch_add(1, Ordering::SeqCst);
        let death = *self.troubles.death.lock();
        let is_last = death.is_some_and(|(at, _)| number >= at);
        let is_made = death.is_none_or(|(at, after)| number < at || (number == at && after));
        let made = is_made.then(|| change(&mut self.objects.lock()));
        match (made, is_last) {
            (Some(made), false) => Ok(made),
            _ => {
                self.troubles.dead.send_replace(true);
                std::future::pending().await
            }
        }
    }
}

#[async_trait]
impl SmallObjects for TroubledObjects {
    async fn create(&self, name: &Location, bytes: Bytes) -> Result<Creation, StorageError> {
        let mut held = self.troubles.held.subscribe();
        let _ = held.wait_for(|held| !held).await;
        let create = |objects: &mut Objects| match objects.contains_key(name) {
            true => Creation::Exists,
            false => {
                objects.insert(name.clone(), bytes);
                Creation::Created
            }
        };
        let created = self.change(create).await?;
        let lost = &self.troubles.lost_answers;
        match lost.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| count.checked_sub(1)) {
            Ok(_) => Err(failure("the answer was lost")),
            Err(_) => Ok(created),
        }
    }

    async fn read(&self, name: &Location) -> Result<Option<Bytes>, StorageError> {
        self.check()?;
        Ok(self.objects.lock().get(name).cloned())
    }

    async fn list_small(
        &self,
        folder: &Location,
        after: Option<&Location>,
        limit: usize,
    ) -> Result<Vec<ObjectInfo>, StorageError> {
        self.check()?;
        let prefix = format!("{folder}/");
        let objects = self.objects.lock();
        let is_wanted =
            |name: &Location| name.as_str().starts_with(&prefix) && after.is_none_or(|after| name > after);
        let found = objects.iter().filter(|(name, _)| is_wanted(name)).map(|(name, bytes)| ObjectInfo {
            location: name.clone(),
            size_bytes: bytes.len() as u64,
            modified: UNIX_EPOCH,
        });
        Ok(found.take(limit).collect())
    }

    async fn remove(&self, name: &Location) -> Result<(), StorageError> {
        self.change(|objects| drop(objects.remove(name))).await
    }
}

fn location(name: &str) -> Location {
    format!("{}{name}", Location::PREFIX).parse().unwrap()
}

fn failure(reason: &str) -> StorageError {
    StorageError::Unavailable { operation: "change an object", source: reason.into() }
}
