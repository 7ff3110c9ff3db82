use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Full, Rank, Turn, TurnLimits, Turns};

/// A queue for each key, in which one login is served at a time. A queue exists while a login is in it.
pub(crate) struct Slots<K: Copy + Eq + Hash>(Arc<Mutex<HashMap<K, Turns<()>>>>);

/// The only slot of a key. The next login of the key has it when this is dropped.
pub(crate) struct Slot<K: Copy + Eq + Hash> {
    // The turn goes before the queue is looked at.
    turn: Option<Turn<()>>,
    _member: Member<K>,
}

/// What is in the queue of a key, or wants to be.
struct Member<K: Copy + Eq + Hash> {
    slots: Arc<Mutex<HashMap<K, Turns<()>>>>,
    key: K,
}

impl<K: Copy + Eq + Hash> Slots<K> {
    pub(crate) fn new() -> Slots<K> {
        Slots(Arc::default())
    }

    /// Waits for the slot of a key, of which at most `waiting_max` logins do. Dropping the future leaves the queue.
    ///
    /// # Errors
    /// [`Full`] as for [`Turns::turn`].
    pub(crate) async fn slot(&self, key: K, rank: Rank, waiting_max: usize) -> Result<Slot<K>, Full> {
        let limits = TurnLimits { at_once: 1, waiting_max, is_newest_first: false };
        let member = Member { slots: Arc::clone(&self.0), key };
        let turns = self.0.lock().entry(key).or_insert_with(|| Turns::new(limits)).clone();
        let turn = turns.turn(rank, ()).await?;
        Ok(Slot { turn: Some(turn), _member: member })
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }
}

impl<K: Copy + Eq + Hash> Drop for Slot<K> {
    fn drop(&mut self) {
        self.turn = None;
    }
}

impl<K: Copy + Eq + Hash> Drop for Member<K> {
    /// While a login waits, another has the slot. One that has only taken the queue and not yet joined it goes on with a
    /// queue of its own.
    fn drop(&mut self) {
        let mut slots = self.slots.lock();
        if slots.get(&self.key).is_some_and(Turns::is_idle) {
            slots.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    const NEW: Rank = Rank { is_unproven: true, failures: 0, is_new: true, is_stranger: true };

    #[tokio::test]
    async fn one_at_a_time_for_each_key_and_nothing_is_left() {
        let slots = Slots::new();
        let first = slots.slot('a', NEW, 2).await.unwrap_or_else(|_| panic!("it is free"));
        drop(slots.slot('b', NEW, 2).await);
        {
            let mut second = pin!(slots.slot('a', NEW, 2));
            assert!(futures_util::poll!(&mut second).is_pending());
            let mut again = pin!(slots.slot('a', Rank { is_new: false, ..NEW }, 2));
            assert!(futures_util::poll!(&mut again).is_pending());
            assert!(slots.slot('a', NEW, 2).await.is_err(), "two wait");
            drop(first);
            assert!(futures_util::poll!(&mut second).is_pending());
            let again = again.await;
            assert!(again.is_ok(), "what comes again is first");
            drop(again);
            assert!(second.await.is_ok());
        }
        assert_eq!(slots.len(), 0);
    }
}
