//! Numbers and bytes that are the same for the same seed, on every machine.

use bytes::Bytes;

/// A generator of pseudo-random numbers: a seed that a failing test printed repeats the test.
#[derive(Clone, Debug)]
pub struct Random(fastrand::Rng);

impl Random {
    /// Numbers that follow from `seed`.
    pub fn seeded(seed: u64) -> Random {
        Random(fastrand::Rng::with_seed(seed))
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0.u64(..)
    }

    /// A number in `range`, which must not be empty.
    pub fn within(&mut self, range: std::ops::Range<u64>) -> u64 {
        self.0.u64(range)
    }

    /// True in one of `n` cases.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.0.u64(..n) == 0
    }

    /// One of `choices`, which must not be empty.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.0.usize(..choices.len())]
    }

    /// So many bytes, which no compressor makes smaller.
    pub fn bytes(&mut self, length_bytes: usize) -> Bytes {
        let mut bytes = vec![0; length_bytes];
        self.0.fill(&mut bytes);
        bytes.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_everything() {
        let draw = |seed| {
            let mut random = Random::seeded(seed);
            (random.number(), random.within(5..9), random.bytes(13))
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        assert_eq!(draw(7).2.len(), 13);
    }
}
