//! Bytes that no server has seen before.

use std::hash::{BuildHasher, Hasher, RandomState};

/// xoshiro256++: several gigabytes a second, so that making a layer costs less than sending it. Not for secrets.
pub(crate) struct Random {
    state: [u64; 4],
}

impl Random {
    /// Another sequence at each call: the seed is the one that the standard library gives its hash maps.
    pub(crate) fn new() -> Random {
        let seeds = RandomState::new();
        let state = [1u64, 2, 3, 4].map(|word| {
            let mut hasher = seeds.build_hasher();
            hasher.write_u64(word);
            hasher.finish() | 1
        });
        Random { state }
    }

    pub(crate) fn next(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = self.next().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.fill(&mut bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_generators_give_the_same_bytes() {
        assert_ne!(Random::new().bytes(64), Random::new().bytes(64));
    }

    #[test]
    fn a_length_that_is_no_multiple_of_a_word_is_filled_to_its_end() {
        let bytes = Random::new().bytes(1_000_003);
        let ones: u32 = bytes.iter().map(|byte| byte.count_ones()).sum();
        assert!((3_900_000..4_100_000).contains(&ones), "{ones} of 8 million bits are set");
    }
}
