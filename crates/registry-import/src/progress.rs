use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// How far a run is, for a look while it works.
#[derive(Debug)]
pub struct Progress {
    began: Instant,
    parts: AtomicU64,
    parts_done: AtomicU64,
    repositories: AtomicU64,
    tags: AtomicU64,
}

/// What a look at a run shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// How many repositories were looked at.
    pub repositories: u64,
    /// How many tags they have.
    pub tags: u64,
    /// For how long the run works.
    pub elapsed: Duration,
    /// How long it may still take, if the parts of the storage that are left are as large as the others. None at the beginning.
    pub remaining: Option<Duration>,
}

impl Default for Progress {
    fn default() -> Self {
        Progress {
            began: Instant::now(),
            parts: AtomicU64::new(0),
            parts_done: AtomicU64::new(0),
            repositories: AtomicU64::new(0),
            tags: AtomicU64::new(0),
        }
    }
}

impl Progress {
    pub(crate) fn expect(&self, parts: usize) {
        self.parts.store(parts as u64, Ordering::Relaxed);
    }

    pub(crate) fn part_done(&self) {
        self.parts_done.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn repository_done(&self, tags: usize) {
        self.repositories.fetch_add(1, Ordering::Relaxed);
        self.tags.fetch_add(tags as u64, Ordering::Relaxed);
    }

    /// How far the run is now.
    pub fn look(&self) -> Shown {
        let elapsed = self.began.elapsed();
        let (all, done) = (self.parts.load(Ordering::Relaxed), self.parts_done.load(Ordering::Relaxed));
        let rest = all.saturating_sub(done) as f64;
        let remaining = (done > 0).then(|| elapsed.mul_f64(rest / done as f64));
        Shown {
            repositories: self.repositories.load(Ordering::Relaxed),
            tags: self.tags.load(Ordering::Relaxed),
            elapsed,
            remaining,
        }
    }
}
