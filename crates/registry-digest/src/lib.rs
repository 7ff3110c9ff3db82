//! Content digests of a container registry.
//!
//! A [`Digest`] is the address of content. It is parsed once, at the edge, from `sha256:<hex>` or `sha512:<hex>`; inside
//! it is a small `Copy` value. A [`Hasher`] makes one from content that arrives in pieces, and its [`HasherState`] lets
//! another process or machine go on where the first one stopped, without reading the content again. A
//! [`VerifyingReader`] compares content with its digest while it is read.
//!
//! ```
//! use registry_digest::{Algorithm, Digest, Hasher, HasherState, digest};
//!
//! let mut hasher = Hasher::new(Algorithm::Sha256);
//! hasher.update(b"hel");
//! let stored: Vec<u8> = hasher.save().to_bytes();
//!
//! let mut hasher = Hasher::restore(&HasherState::from_bytes(&stored)?)?; // elsewhere, later
//! hasher.update(b"lo");
//! assert_eq!(hasher.bytes_hashed(), 5);
//! assert_eq!(hasher.finish(), Digest::of(Algorithm::Sha256, b"hello"));
//!
//! const HELLO: Digest = digest!("sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
//! assert_eq!(HELLO, Digest::of(Algorithm::Sha256, b"hello"));
//! # Ok::<(), registry_digest::RestoreError>(())
//! ```
//!
//! What it is not: it does no I/O of its own, knows no async runtime, and has no opinion on what is addressed.
//!
//! | Module | What |
//! |---|---|
//! | `algorithm` | [`Algorithm`]: which hash functions there are |
//! | `digest` | [`Digest`]: parsing, formatting, order, serde |
//! | `hasher` | [`Hasher`]: hashing piece by piece |
//! | `state` | [`HasherState`]: the documented bytes of a half-hashed content |
//! | `verify` | [`VerifyingReader`] |
//! | `error` | what can be wrong with each of them |

#![forbid(unsafe_code)]

mod algorithm;
mod digest;
mod error;
mod hasher;
mod state;
mod verify;

pub use algorithm::Algorithm;
pub use digest::{DIGEST_TEXT_BYTES_MAX, Digest};
pub use error::{DigestLengthError, ParseDigestError, RestoreError, VerifyError};
pub use hasher::Hasher;
pub use state::{HASHER_STATE_BYTES_MAX, HasherState};
pub use verify::VerifyingReader;

/// A [`Digest`] from its text, for tests and constants. A text that is none panics; in a constant it does not compile.
///
/// ```
/// let digest = registry_digest::digest!("sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
/// assert_eq!(digest.algorithm(), registry_digest::Algorithm::Sha256);
/// ```
#[macro_export]
macro_rules! digest {
    ($text:expr) => {
        $crate::Digest::parse_or_panic($text)
    };
}

/// The examples of the README are compiled like these.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
