//! What comparing rows with bytes asks of a [`MetadataStore`](crate::MetadataStore), and what it is told.

use std::time::Duration;

use registry_digest::Digest;
use registry_types::{Location, RepositoryName};

/// An object in the store of bytes to which no row leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownObject {
    /// Where it lies.
    pub location: Location,
    /// How long ago it was seen for the first time, if it was unknown whenever somebody looked since.
    pub unknown_for: Duration,
}

/// An object as its row describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredObject {
    /// Where its bytes should be.
    pub location: Location,
    /// How many they should be.
    pub size_bytes: u64,
    /// Whether it is [hidden](crate::MetadataStore::mark_bad).
    pub is_bad: bool,
    /// What the bytes should be; all of them.
    pub digests: Vec<Digest>,
}

/// A manifest among all manifests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestPosition {
    pub(crate) repository: i64,
    /// The repository's name; none while it is being deleted.
    pub name: Option<RepositoryName>,
    /// The digest it was pushed by.
    pub digest: String,
}
