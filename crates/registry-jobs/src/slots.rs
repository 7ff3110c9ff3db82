//! How much is done at once.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The slots of a node. Lanes that fail have a part of them, so that receivers that are slow or dead take nothing from others.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    all: Arc<Semaphore>,
    failing: Arc<Semaphore>,
}

/// A slot, which is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    _one: OwnedSemaphorePermit,
    _failing: Option<OwnedSemaphorePermit>,
}

/// Lanes that fail have one of so many slots.
const FAILING_SHARE: usize = 4;

impl Slots {
    pub(crate) fn new(slots: usize) -> Slots {
        let slots = slots.max(1);
        let failing = (slots / FAILING_SHARE).max(1);
        Slots { all: Arc::new(Semaphore::new(slots)), failing: Arc::new(Semaphore::new(failing)) }
    }

    /// How many slots are free for such a lane.
    pub(crate) fn free(&self, is_failing: bool) -> usize {
        let all = self.all.available_permits();
        if is_failing { all.min(self.failing.available_permits()) } else { all }
    }

    /// A slot for such a lane, if one is free.
    pub(crate) fn take(&self, is_failing: bool) -> Option<Slot> {
        let failing = match is_failing {
            true => Some(self.failing.clone().try_acquire_owned().ok()?),
            false => None,
        };
        Some(Slot { _one: self.all.clone().try_acquire_owned().ok()?, _failing: failing })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_that_fail_have_a_quarter() {
        let slots = Slots::new(8);
        let failing: Vec<_> = (0..3).map_while(|_| slots.take(true)).collect();
        assert_eq!((failing.len(), slots.free(true), slots.free(false)), (2, 0, 6));
        let others: Vec<_> = (0..10).map_while(|_| slots.take(false)).collect();
        assert_eq!((others.len(), slots.free(false)), (6, 0));
        drop(failing);
        assert_eq!((slots.free(true), slots.free(false)), (2, 2));
        let _two = (slots.take(false), slots.take(false));
        assert!(slots.take(true).is_none());
        // What was not had of one is not kept of the other.
        drop(_two);
        assert!(slots.take(true).is_some());
    }
}
