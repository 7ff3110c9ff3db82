//! What clients pull, mount, push as blobs and delete as blobs, for an observer that wants to hear of it. Manifests that are pushed and deleted are events
//! of the database.

use std::fmt;

use registry_digest::Digest;
use registry_types::{Cause, RepositoryName};

/// What a client did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeenAction {
    /// It got a blob or a manifest, or looked at it (`HEAD`), also if it was led to the store.
    Pull,
    /// It pushed a blob.
    Push,
    /// It mounted a blob.
    Mount,
    /// It deleted a blob.
    Delete,
}

/// Something that a client did and that was answered well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What.
    pub action: SeenAction,
    /// In which repository.
    pub repository: RepositoryName,
    /// From which one a blob was mounted.
    pub from: Option<RepositoryName>,
    /// The tag by which a manifest was pulled.
    pub tag: Option<String>,
    /// Of the blob or manifest.
    pub digest: Digest,
    /// The media type; `application/octet-stream` of a blob.
    pub media_type: String,
    /// The size in bytes.
    pub size_bytes: u64,
    /// Whether it is a manifest.
    pub is_manifest: bool,
    /// The user and the request.
    pub cause: Cause,
}

/// Hears of what clients do.
pub trait Observer: fmt::Debug + Send + Sync + 'static {
    /// Whether it wants to hear of anything now. If not, nothing is made for it.
    fn wants(&self) -> bool;

    /// Hears of something. Must not wait: the request that did it does.
    fn seen(&self, seen: Seen);
}

/// What handlers call blobs.
pub(crate) const BLOB_MEDIA_TYPE: &str = "application/octet-stream";

impl Seen {
    pub(crate) fn blob(
        action: SeenAction,
        repository: &RepositoryName,
        digest: &Digest,
        size_bytes: u64,
        cause: Cause,
    ) -> Seen {
        Seen {
            action,
            repository: repository.clone(),
            from: None,
            tag: None,
            digest: *digest,
            media_type: BLOB_MEDIA_TYPE.to_owned(),
            size_bytes,
            is_manifest: false,
            cause,
        }
    }
}
