use thiserror::Error;

use crate::{Algorithm, Digest};

/// How much of an unsupported algorithm's name an error repeats, in bytes.
const NAME_BYTES_MAX: usize = 32;

/// Why a text is not a digest.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ParseDigestError {
    /// There is no colon between an algorithm and its hex digits.
    #[error("a digest has the form `algorithm:hex`, this has no colon")]
    MissingColon,
    /// The algorithm is not one of [`Algorithm::ALL`].
    #[error("digest algorithm {name:?} is not supported, only sha256 and sha512 are")]
    UnsupportedAlgorithm {
        /// What stands before the colon, at most its first 32 bytes.
        name: String,
    },
    /// The part after the colon is too long or too short for the algorithm.
    #[error("a {algorithm} digest has {expected} hex digits, this has {actual}")]
    WrongLength {
        /// The algorithm before the colon.
        algorithm: Algorithm,
        /// How many hex digits it needs.
        expected: usize,
        /// How many bytes follow the colon.
        actual: usize,
    },
    /// Something other than `0-9` and `a-f` follows the colon.
    #[error("a digest has lower-case hex digits only, this has something else at byte {position}")]
    NotLowerHex {
        /// Where the first offending byte is, counted from the beginning of the whole text.
        position: usize,
    },
}

impl ParseDigestError {
    pub(crate) fn unsupported_algorithm(name: &str) -> Self {
        let name = name.char_indices().take_while(|(index, c)| index + c.len_utf8() <= NAME_BYTES_MAX);
        ParseDigestError::UnsupportedAlgorithm { name: name.map(|(_, c)| c).collect() }
    }
}

/// Bytes of a length that is not the algorithm's were given as a digest.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("a {algorithm} digest has {expected_bytes} bytes, not {actual_bytes}")]
pub struct DigestLengthError {
    /// The algorithm that was named.
    pub algorithm: Algorithm,
    /// How many bytes its digests have.
    pub expected_bytes: usize,
    /// How many bytes were given.
    pub actual_bytes: usize,
}

/// Why bytes are not a saved hash state.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RestoreError {
    /// Written by a version that this one does not know, or not a hash state at all.
    #[error("unknown version {version} of a hash state")]
    UnknownVersion {
        /// The first byte.
        version: u8,
    },
    /// The state names an algorithm that this version does not know.
    #[error("unknown algorithm {id} in a hash state")]
    UnknownAlgorithm {
        /// The second byte.
        id: u8,
    },
    /// The state is cut off or has bytes too many.
    #[error("a hash state of {expected_bytes} bytes was expected, not {actual_bytes}")]
    WrongLength {
        /// How many bytes the state should have, as far as it could be read.
        expected_bytes: usize,
        /// How many it has.
        actual_bytes: usize,
    },
    /// More content than the hash functions are defined for.
    #[error("a hash state after {bytes_hashed} bytes is impossible")]
    TooMuchHashed {
        /// How many bytes were hashed, as the state has it.
        bytes_hashed: u64,
    },
    /// The hash function does not take the state, although it has the right form.
    #[error("the hash function refuses a hash state")]
    Refused,
}

/// Why content is not what was expected; the source of the [`std::io::Error`] that a
/// [`VerifyingReader`](crate::VerifyingReader) ends with.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum VerifyError {
    /// The content ended early, or went on beyond its size.
    #[error("{expected_bytes} bytes were expected, not {actual_bytes} or more")]
    SizeMismatch {
        /// The size that was promised.
        expected_bytes: u64,
        /// How much came. If it is more than was promised, even more may have followed.
        actual_bytes: u64,
    },
    /// The content has the right size and another digest.
    #[error("content has digest {actual}, not {expected}")]
    DigestMismatch {
        /// The digest that was promised.
        expected: Digest,
        /// The digest of what came.
        actual: Digest,
    },
}
