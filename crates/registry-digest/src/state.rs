//! The layout of a saved hash state. It is ours, not the sha2 crate's, so that a state outlives an update of either:
//!
//! | Offset | Bytes | What |
//! |---|---|---|
//! | 0 | 1 | version, 1 |
//! | 1 | 1 | algorithm: 1 is sha256, 2 is sha512 |
//! | 2 | 8 | bytes hashed, little endian |
//! | 10 | 32 or 64 | chaining value: eight words of 4 or 8 bytes, little endian |
//! | 42 or 74 | 0–63 or 0–127 | the bytes since the last whole block of 64 or 128 |

use std::fmt;

use crate::{Algorithm, RestoreError};

/// The longest saved state: sha512 and one byte less than a block.
pub const HASHER_STATE_BYTES_MAX: usize = HEADER_BYTES + 64 + 127;

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 10;

/// Sha256 counts bits in 64 bits. This leaves room for as much again, more than anybody can append.
const BYTES_HASHED_MAX: u64 = 1 << 60;

/// A half-hashed content, to be stored and taken up later by [`Hasher::restore`](crate::Hasher::restore).
///
/// The bytes are opaque to whoever stores them, at most [`HASHER_STATE_BYTES_MAX`], and stay readable by later
/// versions. They are no secret, but contain up to 127 bytes of the content.
#[derive(Clone, PartialEq, Eq)]
pub struct HasherState {
    // Always in the form that `from_bytes` checks.
    bytes: Box<[u8]>,
}

impl HasherState {
    /// The bytes to store.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.bytes.to_vec()
    }

    /// A state from bytes that [`to_bytes`](Self::to_bytes) gave, in this or an earlier version.
    ///
    /// # Errors
    /// [`RestoreError`] if the bytes can not be a state.
    pub fn from_bytes(bytes: &[u8]) -> Result<HasherState, RestoreError> {
        split(bytes)?;
        Ok(HasherState { bytes: bytes.into() })
    }

    /// The algorithm of the hasher that was saved.
    pub fn algorithm(&self) -> Algorithm {
        self.parts().algorithm
    }

    /// How many bytes had been hashed.
    pub fn bytes_hashed(&self) -> u64 {
        self.parts().bytes_hashed
    }

    pub(crate) fn parts(&self) -> Parts<'_> {
        split(&self.bytes).expect("bytes were checked, or made by `join`")
    }

    /// Makes a state from the sha2 crate's own serialisation, which begins with the chaining value and ends with the
    /// pending bytes behind their number.
    pub(crate) fn join(algorithm: Algorithm, bytes_hashed: u64, foreign: &[u8]) -> HasherState {
        let layout = Layout::of(algorithm);
        let tail_at = layout.chain_bytes + layout.count_bytes + 1;
        let mut bytes = Vec::with_capacity(HASHER_STATE_BYTES_MAX);
        bytes.extend_from_slice(&[VERSION, layout.id]);
        bytes.extend_from_slice(&bytes_hashed.to_le_bytes());
        bytes.extend_from_slice(&foreign[..layout.chain_bytes]);
        bytes.extend_from_slice(&foreign[tail_at..tail_at + layout.tail_bytes(bytes_hashed)]);
        HasherState { bytes: bytes.into() }
    }
}

impl fmt::Debug for HasherState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HasherState")
            .field("algorithm", &self.algorithm())
            .field("bytes_hashed", &self.bytes_hashed())
            .finish_non_exhaustive()
    }
}

/// What a state consists of.
pub(crate) struct Parts<'s> {
    pub(crate) algorithm: Algorithm,
    pub(crate) bytes_hashed: u64,
    chain: &'s [u8],
    tail: &'s [u8],
}

impl Parts<'_> {
    /// Fills in the sha2 crate's own serialisation: chaining value, number of blocks, number of pending bytes, pending
    /// bytes, zeros.
    pub(crate) fn write_foreign(&self, foreign: &mut [u8]) {
        let layout = Layout::of(self.algorithm);
        let blocks = self.bytes_hashed / layout.block_bytes;
        let (chain, rest) = foreign.split_at_mut(layout.chain_bytes);
        let (count, rest) = rest.split_at_mut(layout.count_bytes);
        chain.copy_from_slice(self.chain);
        count[..8].copy_from_slice(&blocks.to_le_bytes());
        rest[0] = self.tail.len() as u8;
        rest[1..=self.tail.len()].copy_from_slice(self.tail);
    }
}

struct Layout {
    id: u8,
    chain_bytes: usize,
    block_bytes: u64,
    /// How wide the sha2 crate counts blocks.
    count_bytes: usize,
}

impl Layout {
    fn of(algorithm: Algorithm) -> Layout {
        match algorithm {
            Algorithm::Sha256 => Layout { id: 1, chain_bytes: 32, block_bytes: 64, count_bytes: 8 },
            Algorithm::Sha512 => Layout { id: 2, chain_bytes: 64, block_bytes: 128, count_bytes: 16 },
        }
    }

    fn tail_bytes(&self, bytes_hashed: u64) -> usize {
        (bytes_hashed % self.block_bytes) as usize
    }
}

fn split(bytes: &[u8]) -> Result<Parts<'_>, RestoreError> {
    let (header, rest) = bytes
        .split_first_chunk::<HEADER_BYTES>()
        .ok_or(RestoreError::WrongLength { expected_bytes: HEADER_BYTES, actual_bytes: bytes.len() })?;
    let [version, id, count @ ..] = *header;
    if version != VERSION {
        return Err(RestoreError::UnknownVersion { version });
    }
    let algorithm = Algorithm::ALL
        .into_iter()
        .find(|algorithm| Layout::of(*algorithm).id == id)
        .ok_or(RestoreError::UnknownAlgorithm { id })?;
    let bytes_hashed = u64::from_le_bytes(count);
    if bytes_hashed > BYTES_HASHED_MAX {
        return Err(RestoreError::TooMuchHashed { bytes_hashed });
    }
    let layout = Layout::of(algorithm);
    let rest_bytes = layout.chain_bytes + layout.tail_bytes(bytes_hashed);
    if rest.len() != rest_bytes {
        let expected_bytes = HEADER_BYTES + rest_bytes;
        return Err(RestoreError::WrongLength { expected_bytes, actual_bytes: bytes.len() });
    }
    let (chain, tail) = rest.split_at(layout.chain_bytes);
    Ok(Parts { algorithm, bytes_hashed, chain, tail })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Digest, Hasher};

    fn saved(algorithm: Algorithm, content: &[u8]) -> Vec<u8> {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(content);
        hasher.save().to_bytes()
    }

    /// What released versions have stored. If this fails, uploads that are under way when a node is updated fail too:
    /// take a new version number, and go on reading this one.
    #[test]
    fn the_layout_is_the_documented_one() {
        // The chaining values are those after one block of zeros; they were calculated by another program.
        let sha256 = "0101 4500000000000000 be9856da69b4b91799573362cabe9f7791d4e58c4362d2c0eaf9febad8a93718 3132333435";
        let sha512 = "0102 8500000000000000 e8cb4a77d58178cf7080c7fbe0623353da0e46879d636702b03159e840cb8630 \
                      a323a08852c97d71e0b5e04cc1b2ba960b3ee3ea04fec46fee8b66bd0cd8f491 3132333435";
        for (algorithm, block_bytes, stored) in
            [(Algorithm::Sha256, 64, sha256), (Algorithm::Sha512, 128, sha512)]
        {
            let content = [&vec![0; block_bytes], &b"12345"[..]].concat();
            let stored = hex::decode(stored.replace(' ', "")).unwrap();
            assert_eq!(saved(algorithm, &content), stored);
            let state = HasherState::from_bytes(&stored).unwrap();
            assert_eq!(Hasher::restore(&state).unwrap().finish(), Digest::of(algorithm, &content));
        }
    }

    #[test]
    fn no_state_is_longer_than_the_limit() {
        let longest = saved(Algorithm::Sha512, &[0; 127]);
        assert_eq!(longest.len(), HASHER_STATE_BYTES_MAX);
        assert!(longest.len() <= 256);
    }

    #[test]
    fn what_is_no_state_is_refused() {
        let good = saved(Algorithm::Sha256, b"12345");
        let altered = |index: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[index] = value;
            HasherState::from_bytes(&bytes)
        };
        let length =
            |expected_bytes, actual_bytes| RestoreError::WrongLength { expected_bytes, actual_bytes };
        assert_eq!(altered(0, 2), Err(RestoreError::UnknownVersion { version: 2 }));
        assert_eq!(altered(1, 3), Err(RestoreError::UnknownAlgorithm { id: 3 }));
        assert_eq!(altered(1, 2), Err(length(79, 47)));
        assert_eq!(altered(2, 6), Err(length(48, 47)));
        assert_eq!(
            altered(9, 0xff),
            Err(RestoreError::TooMuchHashed { bytes_hashed: 0xff00_0000_0000_0005 })
        );
        assert_eq!(HasherState::from_bytes(&good[..9]), Err(length(10, 9)));
        assert_eq!(HasherState::from_bytes(&good[..46]), Err(length(47, 46)));
        assert_eq!(HasherState::from_bytes(&[]), Err(length(10, 0)));
    }

    #[test]
    fn the_largest_possible_count_does_not_overflow() {
        for algorithm in Algorithm::ALL {
            let mut bytes = saved(algorithm, b"");
            bytes[2..10].copy_from_slice(&BYTES_HASHED_MAX.to_le_bytes());
            let mut hasher = Hasher::restore(&HasherState::from_bytes(&bytes).unwrap()).unwrap();
            assert_eq!(hasher.bytes_hashed(), BYTES_HASHED_MAX);
            hasher.update(&[0; 200]);
            assert_ne!(hasher.finish(), Digest::of(algorithm, b""));
        }
    }

    proptest::proptest! {
        #[test]
        fn any_cut_gives_the_same_digest(content: Vec<u8>, cuts in proptest::collection::vec(0usize..600, 0..5), wide: bool) {
            let algorithm = Algorithm::ALL[usize::from(wide)];
            let mut hasher = Hasher::new(algorithm);
            let mut rest = &content[..];
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                hasher.update(piece);
                let state = HasherState::from_bytes(&hasher.save().to_bytes()).unwrap();
                proptest::prop_assert_eq!(state.algorithm(), algorithm);
                proptest::prop_assert_eq!(state.bytes_hashed(), (content.len() - after.len()) as u64);
                hasher = Hasher::restore(&state).unwrap();
                proptest::prop_assert_eq!(hasher.save(), state);
                rest = after;
            }
            hasher.update(rest);
            proptest::prop_assert_eq!(hasher.current(), Digest::of(algorithm, &content));
            proptest::prop_assert_eq!(hasher.finish(), Digest::of(algorithm, &content));
        }

        #[test]
        fn any_bytes_are_refused_or_come_back(bytes in proptest::collection::vec(0u8..4, 0..210)) {
            if let Ok(state) = HasherState::from_bytes(&bytes) {
                proptest::prop_assert_eq!(Hasher::restore(&state).unwrap().save().to_bytes(), bytes);
            }
        }
    }
}
