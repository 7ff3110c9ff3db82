//! An amount of something, and how much of it is in use.

use std::sync::atomic::{AtomicUsize, Ordering};

/// An amount that several users share.
pub(crate) struct Pool {
    total: usize,
    used: AtomicUsize,
}

impl Pool {
    pub(crate) fn new(total: usize) -> Pool {
        Pool { total, used: AtomicUsize::new(0) }
    }

    /// How much there is.
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// How much of it is in use.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes `amount` if no more than `limit` is in use then.
    pub(crate) fn take_within(&self, amount: usize, limit: usize) -> bool {
        let taken = |used: usize| used.checked_add(amount).filter(|used| *used <= limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }

    /// Takes `amount`, whatever is in use.
    pub(crate) fn add(&self, amount: usize) {
        self.used.fetch_add(amount, Ordering::Relaxed);
    }

    pub(crate) fn give_back(&self, amount: usize) {
        self.used.fetch_sub(amount, Ordering::Relaxed);
    }
}
