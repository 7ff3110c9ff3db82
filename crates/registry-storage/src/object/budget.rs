use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What permits count: small enough for exact sums, large enough for 32 bits of them.
const UNIT_BYTES: usize = 1024;

/// The memory that all uploads to a store share.
///
/// It can not deadlock: who waits for a reservation holds none, and who holds one gives it back when its bytes are stored
/// or its request ends, which needs no further one. A second reservation is taken only if it is free at once. Waiters are
/// served in the order in which they came.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    free: Arc<Semaphore>,
    total_bytes: usize,
    sharers: Arc<AtomicUsize>,
}

/// One of the uploads that share a budget.
#[derive(Debug)]
pub(super) struct Sharer(Arc<AtomicUsize>);

impl Drop for Sharer {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Memory that may be used until this is dropped.
#[derive(Debug)]
pub(super) struct Reservation {
    _permit: OwnedSemaphorePermit,
}

impl Budget {
    pub(super) fn new(total_bytes: usize) -> Budget {
        let free = Arc::new(Semaphore::new(total_bytes / UNIT_BYTES));
        Budget { free, total_bytes, sharers: Arc::default() }
    }

    pub(super) fn total_bytes(&self) -> usize {
        self.total_bytes
    }

    /// Waits until so much is free. More than there is in all counts as all.
    pub(super) async fn reserve(&self, bytes: usize) -> Reservation {
        let permit = self.free.clone().acquire_many_owned(self.units(bytes)).await;
        Reservation { _permit: permit.expect("the semaphore is never closed") }
    }

    /// So much, if it is free now and nobody waits.
    pub(super) fn try_reserve(&self, bytes: usize) -> Option<Reservation> {
        let permit = self.free.clone().try_acquire_many_owned(self.units(bytes)).ok()?;
        Some(Reservation { _permit: permit })
    }

    /// Counts an upload among those that share, as long as the guard lives.
    pub(super) fn join(&self) -> Sharer {
        self.sharers.fetch_add(1, Ordering::Relaxed);
        Sharer(self.sharers.clone())
    }

    /// How much each upload can have if all that share have as much.
    pub(super) fn fair_bytes(&self) -> usize {
        self.total_bytes / self.sharers.load(Ordering::Relaxed).max(1)
    }

    fn units(&self, bytes: usize) -> u32 {
        let units = bytes.min(self.total_bytes) / UNIT_BYTES;
        u32::try_from(units).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const MIB: usize = 1024 * 1024;

    #[tokio::test]
    async fn waiters_are_served_in_order_and_nobody_passes_them() {
        let budget = Budget::new(10 * MIB);
        let first = budget.reserve(6 * MIB).await;
        let mut waiting = Box::pin(budget.reserve(6 * MIB));
        assert!(waiting.as_mut().now_or_never().is_none());
        assert!(budget.try_reserve(MIB).is_none(), "a small one does not pass the one that waits");
        drop(first);
        let second = waiting.await;
        assert!(budget.try_reserve(5 * MIB).is_none());
        drop(second);
        assert!(budget.try_reserve(10 * MIB).is_some());
    }

    #[tokio::test]
    async fn shares_are_fair() {
        let budget = Budget::new(12 * MIB);
        assert_eq!(budget.fair_bytes(), 12 * MIB);
        let sharers: Vec<_> = (0..3).map(|_| budget.join()).collect();
        assert_eq!(budget.fair_bytes(), 4 * MIB);
        drop(sharers);
        assert_eq!(budget.fair_bytes(), 12 * MIB);
    }

    #[tokio::test]
    async fn more_than_everything_is_everything() {
        let budget = Budget::new(MIB);
        let all = budget.reserve(100 * MIB).await;
        assert!(budget.try_reserve(UNIT_BYTES).is_none());
        drop(all);
    }
}
