use std::{error::Error, io, path::PathBuf};

use registry_digest::{Digest, RestoreError};
use registry_types::Location;
use thiserror::Error;

/// What a store answers instead of a result.
#[derive(Debug, Error)]
pub enum StorageError {
    /// There is no object with this key.
    #[error("no object at {location}")]
    Missing {
        /// The key that was asked for.
        location: Location,
    },
    /// The object is shorter than what was asked of it.
    #[error("object {location} has {actual_bytes} bytes, bytes up to {expected_bytes} were asked for")]
    Truncated {
        /// The key that was asked for.
        location: Location,
        /// The end of the range that was asked for.
        expected_bytes: u64,
        /// The size of what is there.
        actual_bytes: u64,
    },
    /// What was uploaded is not what the client said it is. Nothing of it is left.
    #[error("content has digest {actual}, not {expected}")]
    DigestMismatch {
        /// The digest that was promised. Boxed, as is the other, so that results stay small.
        expected: Box<Digest>,
        /// The digest of what came.
        actual: Box<Digest>,
    },
    /// Bytes that an upload's state counts are not there any more, so the upload can only begin anew.
    #[error("upload to {location} has {actual_bytes} bytes left of {expected_bytes}")]
    UploadBytesLost {
        /// The key that is uploaded to.
        location: Location,
        /// The state's offset.
        expected_bytes: u64,
        /// What is there.
        actual_bytes: u64,
    },
    /// Something else took over this upload, or gave it up. Nothing of what this one writes counts any more.
    #[error("upload to {location} was taken over or given up")]
    UploadSuperseded {
        /// The key that is uploaded to.
        location: Location,
    },
    /// An earlier call on the same upload failed. It can be resumed from its last checkpoint.
    #[error("upload to {location} failed before")]
    UploadFailed {
        /// The key that is uploaded to.
        location: Location,
    },
    /// A stored state of an upload is not readable.
    #[error("the stored state of an upload is not readable")]
    UploadStateInvalid(#[from] UploadStateError),
    /// Uploads go only to keys of the form that [`Location::of_upload`] gives.
    #[error("{location} is not a key for uploads")]
    NotForUploads {
        /// The key that was asked for.
        location: Location,
    },
    /// Not a name that a [small object](crate::SmallObjects) can have, or more bytes than one can have.
    #[error("{name} is no name for a small object, or the object is too large")]
    NotForSmallObjects {
        /// The name that was asked for.
        name: Location,
    },
    /// The store has an identity already.
    #[error("the store has an identity already")]
    IdentityExists,
    /// There is an identity object, but not of a form that this version knows.
    #[error("the store's identity is not readable: {text:?}")]
    IdentityInvalid {
        /// The beginning of what it contains.
        text: String,
    },
    /// Another process serves this root.
    #[error(
        "{} is served by another process{}",
        .root.display(),
        .pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    Locked {
        /// The root directory.
        root: PathBuf,
        /// The process's number, as it sees itself: in a container it is often 1.
        pid: Option<u32>,
    },
    /// A key of ours, where one of another registry is asked for.
    #[error("{location} is a key of this registry's own, and no key of another one")]
    NotForOthers {
        /// The key.
        location: Location,
    },
    /// This store was opened beside the one that serves, so it takes no uploads.
    #[error("{} was opened without its lock, so it takes no uploads", .root.display())]
    NotServing {
        /// The root directory.
        root: PathBuf,
    },
    /// The root holds the data of a Go registry that was not imported.
    #[error(
        "{} holds the data of another registry (docker/registry/v2), which was not taken over. Nothing in it was changed. \
         Run `registry import` with this configuration, which leaves the bytes where they are, then `registry import --finish`; \
         or set `storage.import: true` (REGISTRY_STORAGE_IMPORT=true), and the start does both. See docs/moving.md",
        .root.display()
    )]
    ForeignStore {
        /// The root directory.
        root: PathBuf,
    },
    /// The root lies on a file system that can only be read.
    #[error("{} is on a read-only file system", .root.display())]
    ReadOnly {
        /// The root directory.
        root: PathBuf,
    },
    /// The root is no directory that can be used, or is not the one that was opened any more.
    #[error("{} can not be used as a store's root", .root.display())]
    Root {
        /// The root directory.
        root: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The disk is full, or more than a quota or a limit on the size of files allows.
    #[error("no space left to {operation}")]
    NoSpace {
        /// What was being done.
        operation: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The store is out of reach or overloaded; the same may succeed a little later.
    #[error("the store can not {operation} right now")]
    Unavailable {
        /// What was being done.
        operation: &'static str,
        /// What the store said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The store does not do what a registry relies on, so it is not used.
    #[error("the store does not keep to what is relied on, which is that {promise}: {found}")]
    Unreliable {
        /// What it should do.
        promise: &'static str,
        /// What it did.
        found: String,
    },
    /// The store can not be used as it is configured.
    #[error("the store can not be set up: {reason}")]
    Setup {
        /// Why not.
        reason: String,
    },
    /// The system below failed.
    #[error("failed to {operation}")]
    Backend {
        /// What was being done.
        operation: &'static str,
        /// What the system said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl StorageError {
    pub(crate) fn digest_mismatch(expected: Digest, actual: Digest) -> StorageError {
        StorageError::DigestMismatch { expected: expected.into(), actual: actual.into() }
    }

    /// An error of the system below, with the one that callers treat apart told from the others: a full disk.
    pub(crate) fn io(operation: &'static str, source: impl Into<io::Error>) -> StorageError {
        let source = source.into();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                StorageError::NoSpace { operation, source }
            }
            _ => StorageError::Backend { operation, source: source.into() },
        }
    }
}

/// Why bytes are not a stored [`UploadState`](crate::UploadState).
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum UploadStateError {
    /// Written by a version that this one does not know, or not a state at all.
    #[error("unknown version {version} of an upload's state")]
    UnknownVersion {
        /// The first byte.
        version: u8,
    },
    /// The bytes end too early.
    #[error("an upload's state of {actual_bytes} bytes is cut off")]
    CutOff {
        /// How many bytes there are.
        actual_bytes: usize,
    },
    /// The hash state in it is not readable.
    #[error("the hash state in an upload's state is not readable")]
    Hasher(#[from] RestoreError),
}
