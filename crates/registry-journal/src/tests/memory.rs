//! A journal's store in memory, and everything that can happen to one.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{JournalCreation, JournalStore, JournalStoreError};

type Objects = BTreeMap<String, Bytes>;

/// Clones are views of the same objects with the same troubles.
#[derive(Clone, Debug)]
pub(super) struct MemoryJournal {
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

impl MemoryJournal {
    pub(super) fn new() -> MemoryJournal {
        MemoryJournal::of(Objects::new())
    }

    fn of(objects: Objects) -> MemoryJournal {
        let troubles = Troubles {
            is_down: AtomicBool::new(false),
            lost_answers: AtomicU64::new(0),
            held: watch::Sender::new(false),
            changes: AtomicU64::new(0),
            death: Mutex::new(None),
            dead: watch::Sender::new(false),
        };
        MemoryJournal { objects: Arc::new(Mutex::new(objects)), troubles: Arc::new(troubles) }
    }

    /// Another store that has the same now.
    pub(super) fn fork(&self) -> MemoryJournal {
        MemoryJournal::of(self.objects.lock().clone())
    }

    /// The same objects for somebody who has none of the troubles.
    pub(super) fn survivor(&self) -> MemoryJournal {
        MemoryJournal { objects: self.objects.clone(), ..MemoryJournal::new() }
    }

    pub(super) fn names(&self, folder: &str) -> Vec<String> {
        let prefix = format!("{folder}/");
        self.objects.lock().keys().filter(|name| name.starts_with(&prefix)).cloned().collect()
    }

    pub(super) fn lose(&self, name: &str) {
        assert!(self.objects.lock().remove(name).is_some(), "{name}");
    }

    /// Changes the last byte of an object.
    pub(super) fn damage(&self, name: &str) {
        let mut objects = self.objects.lock();
        let mut bytes = objects[name].to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        objects.insert(name.to_owned(), bytes.into());
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

    fn check(&self) -> Result<(), JournalStoreError> {
        match self.troubles.is_down.load(Ordering::SeqCst) {
            true => Err("the store is down".into()),
            false => Ok(()),
        }
    }

    /// Makes a change, unless it comes after death.
    async fn change<T>(&self, change: impl FnOnce(&mut Objects) -> T) -> Result<T, JournalStoreError> {
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
impl JournalStore for MemoryJournal {
    async fn create(&self, name: &str, bytes: Bytes) -> Result<JournalCreation, JournalStoreError> {
        let mut held = self.troubles.held.subscribe();
        let _ = held.wait_for(|held| !held).await;
        let create = |objects: &mut Objects| match objects.contains_key(name) {
            true => JournalCreation::Exists,
            false => {
                objects.insert(name.to_owned(), bytes);
                JournalCreation::Created
            }
        };
        let created = self.change(create).await?;
        let lost = &self.troubles.lost_answers;
        match lost.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| count.checked_sub(1)) {
            Ok(_) => Err("the answer was lost".into()),
            Err(_) => Ok(created),
        }
    }

    async fn read(&self, name: &str) -> Result<Option<Bytes>, JournalStoreError> {
        self.check()?;
        Ok(self.objects.lock().get(name).cloned())
    }

    async fn list(
        &self,
        folder: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, u64)>, JournalStoreError> {
        self.check()?;
        let prefix = format!("{folder}/");
        let objects = self.objects.lock();
        let found = objects
            .iter()
            .filter(|(name, _)| name.starts_with(&prefix) && after.is_none_or(|after| name.as_str() > after))
            .map(|(name, bytes)| (name.clone(), bytes.len() as u64));
        Ok(found.take(limit).collect())
    }

    async fn remove(&self, name: &str) -> Result<(), JournalStoreError> {
        self.change(|objects| drop(objects.remove(name))).await
    }
}
