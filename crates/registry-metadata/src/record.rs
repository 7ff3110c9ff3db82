//! What goes into a [`MetadataStore`](crate::MetadataStore) and what comes out.

use bytes::Bytes;
use registry_digest::{Algorithm, Digest};
use registry_types::{Cause, Location, Manifest, MediaType, RepositoryName, Tag, UploadId};

/// Why somebody looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To serve what is there: nothing is promised for later.
    Read,
    /// To tell a client that it exists (`HEAD`, a mount), so that the client will push something that uses it. What is
    /// answered stays for at least one [lease](crate::Options::lease) from now, unless a client deletes it.
    ///
    /// Of something referenced this costs no more than `Read`. Of something unreferenced whose lease has run down to
    /// less than one, it is a write.
    Promise,
}

/// Where the bytes of a blob lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// The object's key.
    pub location: Location,
    /// The object's size.
    pub size_bytes: u64,
}

/// A manifest as it was pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredManifest {
    /// The digest it was pushed by, or that its tag leads to.
    pub digest: Digest,
    /// Its media type.
    pub media_type: MediaType,
    /// Exactly what was pushed.
    pub bytes: Bytes,
}

/// A manifest that was looked for, perhaps without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundManifest {
    /// The digest it was pushed by, or that its tag leads to.
    pub digest: Digest,
    /// Its media type.
    pub media_type: MediaType,
    /// How many bytes it has.
    pub size_bytes: u64,
    /// Exactly what was pushed; none if that is more than was asked for.
    pub bytes: Option<Bytes>,
}

impl FoundManifest {
    /// Without the bytes, if there are more than `bytes_max`.
    pub fn within(stored: StoredManifest, bytes_max: usize) -> FoundManifest {
        let StoredManifest { digest, media_type, bytes } = stored;
        let size_bytes = bytes.len() as u64;
        FoundManifest { digest, media_type, size_bytes, bytes: Some(bytes).filter(|b| b.len() <= bytes_max) }
    }
}

/// An upload session to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewUpload {
    /// The session's id, never used before.
    pub id: UploadId,
    /// Where the blob will be.
    pub repository: RepositoryName,
    /// Where the bytes will lie, never used before. Committed here before the first byte is written there.
    pub location: Location,
    /// What the bytes are hashed with while they arrive.
    pub algorithm: Algorithm,
}

/// How far an upload is, for a client that asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadStatus {
    /// How many bytes are safe.
    pub offset: u64,
    /// What they are hashed with.
    pub algorithm: Algorithm,
    /// When the session began, in milliseconds since 1970 UTC.
    pub started_at_ms: i64,
}

/// An upload session that this request alone may go on with, until
/// [`release_upload`](crate::Uploads::release_upload).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedUpload {
    /// Names this claim; saving and finishing ask for it.
    pub epoch: i64,
    /// Where the bytes lie.
    pub location: Location,
    /// What they are hashed with.
    pub algorithm: Algorithm,
    /// How many bytes were safe when the session was saved last.
    pub offset: u64,
    /// The store's state at that offset; none if nothing was ever saved.
    pub state: Option<Vec<u8>>,
}

/// An upload whose bytes are complete, durable, and verified to have the digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinishUpload {
    /// The repository that the blob is for.
    pub repository: RepositoryName,
    /// The session.
    pub id: UploadId,
    /// The claim under which the bytes were written.
    pub epoch: i64,
    /// What the bytes are.
    pub digest: Digest,
    /// How many they are.
    pub size_bytes: u64,
    /// Where the digest's bytes lay until now, if the caller found that they are not there: ours take their place.
    pub replaces: Option<Location>,
}

/// A manifest to push.
#[derive(Clone, Debug)]
pub struct PutManifest<'a> {
    /// Where to.
    pub repository: &'a RepositoryName,
    /// The digest of the manifest's bytes, verified by the caller.
    pub digest: Digest,
    /// The manifest.
    pub manifest: &'a Manifest,
    /// The tags to set to it; may be none.
    pub tags: &'a [Tag],
    /// The blobs that the repository must have. Others that the manifest names are kept by digest, and linked if and
    /// when they are here.
    pub required: &'a [Digest],
    /// The manifests that the repository must have, likewise.
    pub required_children: &'a [Digest],
    /// What caused the push, for the history and for events.
    pub cause: &'a Cause,
}

/// Bytes to give back: nothing leads to them any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reclaim {
    /// What to delete.
    pub location: Location,
    /// The state of the upload that wrote it, if it was never finished: a store may need it to give up what it has.
    pub upload_state: Option<Vec<u8>>,
}
