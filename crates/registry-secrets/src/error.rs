use std::{io, path::PathBuf};

use thiserror::Error;

use crate::{KeyId, keys::KEYS_MAX};

/// Why a text is no key. Nothing of the text is in it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseKeyError {
    /// Neither base64 nor hexadecimal.
    #[error("a key is 32 bytes in base64 or hexadecimal")]
    Syntax,
    /// Too short, or too long.
    #[error("a key has 32 bytes, and this has {bytes}")]
    Length {
        /// How many it has.
        bytes: usize,
    },
    /// No key at all.
    #[error("there is no key; `openssl rand -base64 32` makes one")]
    None,
    /// Too many.
    #[error("there are more than {KEYS_MAX} keys; those under which nothing is sealed can go")]
    Many,
}

/// Why a value was not sealed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SealError {
    /// There is no key.
    #[error(
        "there is no key to seal secrets with: set REGISTRY_SECRETS_KEY, or secrets.keyfile, to what \
         `openssl rand -base64 32` prints; each node needs the same"
    )]
    NoKey,
    /// The value is too long.
    #[error("at most {max} bytes are sealed at once, and this has {bytes}")]
    Long {
        /// How long it is.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The system gave no random bytes.
    #[error("the system gives no random bytes")]
    Randomness,
    /// The key file can not be made or read.
    #[error(transparent)]
    File(#[from] KeyFileError),
}

/// Why a value was not opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// These bytes were not made by sealing, or by a later version.
    #[error("this is no sealed value that this program knows")]
    Format,
    /// The key is not here.
    #[error("the value is sealed under the key {key}, which this process does not have")]
    UnknownKey {
        /// Which.
        key: KeyId,
    },
    /// The key is here and does not open it: the bytes were changed, or belong to another row.
    #[error("the value was changed, or belongs to another row, although the key {key} is here")]
    Broken {
        /// Under which it is said to be sealed.
        key: KeyId,
    },
    /// The key file can not be read.
    #[error(transparent)]
    File(#[from] KeyFileError),
}

/// Why a key file was not used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// It can not be read.
    #[error("can not read the keys in {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It can not be written.
    #[error("can not write a key to {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another user could have written it, or can read it.
    #[error("the keys in {} are not used: {reason}", path.display())]
    Unsafe {
        /// Which.
        path: PathBuf,
        /// Why not.
        reason: Unsafe,
    },
    /// What it holds is no key.
    #[error("the keys in {} can not be used", path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: ParseKeyError,
    },
    /// No random bytes for a new one.
    #[error("no key was made for {}: the system gives no random bytes", path.display())]
    Randomness {
        /// Which.
        path: PathBuf,
    },
}

/// What is wrong with a key file itself.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unsafe {
    /// Others than its owner have access.
    #[error("others may read or write the file (its mode is {mode:04o}); `chmod 600` closes it")]
    Open {
        /// The permission bits.
        mode: u32,
    },
    /// A folder, a pipe, a device.
    #[error("it is no regular file")]
    Kind,
    /// Too long.
    #[error("it has {bytes} bytes, and a key file has at most {max}")]
    Long {
        /// How many.
        bytes: u64,
        /// The limit.
        max: u64,
    },
}
