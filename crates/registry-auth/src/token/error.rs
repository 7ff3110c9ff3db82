use std::io;
use std::path::PathBuf;

use super::trusted::TRUST_BYTES_MAX;
use crate::unreadable::why_unreadable;

/// Why tokens of a server can not be checked.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// A file of keys cannot be read.
    #[error("cannot read {}, by whose keys tokens are checked{}", path.display(), why_unreadable(path, source))]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of keys is too large.
    #[error("{}, by whose keys tokens are checked, has more than {TRUST_BYTES_MAX} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The bundle holds something that is no certificate.
    #[error("a certificate of {} cannot be read: {reason}", path.display())]
    Certificate {
        /// The bundle.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file is no set of keys.
    #[error("{} is no set of JSON web keys", path.display())]
    Jwks {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// There is nothing to check a token by.
    #[error(
        "the files of auth.token hold no certificate and no public key by which a token could be checked"
    )]
    NoKey,
    /// The realm or the service cannot be sent to clients.
    #[error("{text:?} of auth.token has characters that no header can have")]
    Header {
        /// The realm or the service.
        text: String,
    },
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Randomness {
        /// Why.
        source: getrandom::Error,
    },
}

/// Why a token is not accepted. For the log: clients learn only that it is not.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("it is longer than {} bytes", crate::CREDENTIALS_BYTES_MAX)]
    TooLong,
    #[error("{0}")]
    Form(&'static str),
    #[error("its head is malformed: {0}")]
    Head(#[source] serde_json::Error),
    #[error("its claims are malformed: {0}")]
    Claims(#[source] serde_json::Error),
    #[error("its algorithm {0:?} is none of auth.token.signingalgorithms")]
    Algorithm(String),
    #[error("its signature is not that of the key that it names")]
    Signature,
    #[error("it is of another issuer")]
    Issuer,
    #[error("it is for another service")]
    Audience,
    #[error("it has ended")]
    Ended,
    #[error("it has not begun")]
    NotBegun,
    #[error("it names no key")]
    NoKey,
    #[error("it names a key that is not trusted")]
    UnknownKey,
    #[error("its chain of certificates leads to no trusted one: {0}")]
    Chain(String),
    #[error("its subject cannot be a user's name: {0}")]
    Subject(#[from] crate::ParseUserNameError),
}
