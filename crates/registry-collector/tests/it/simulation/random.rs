//! A sequence that its seed decides.

#[derive(Clone, Debug)]
pub(super) struct Random(fastrand::Rng);

impl Random {
    pub(super) fn seeded(seed: u64) -> Random {
        Random(fastrand::Rng::with_seed(seed))
    }

    /// A number below `limit`.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0.usize(..limit)
    }

    /// Whether something happens that happens so many times in a hundred.
    pub(super) fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(super) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// Another sequence, which this one decides.
    pub(super) fn fork(&mut self) -> Random {
        Random(self.0.fork())
    }
}
