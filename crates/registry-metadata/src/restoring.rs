//! What was deleted and can come back.

use registry_digest::Digest;
use registry_types::{RepositoryName, Tag};

/// Something of a repository that was deleted and can be restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trashed {
    /// The tag; none for a manifest.
    pub tag: Option<Tag>,
    /// The manifest, or what the tag led to.
    pub digest: Digest,
    /// When it was deleted, in milliseconds since 1970 UTC.
    pub deleted_at_ms: i64,
    /// Who deleted it.
    pub deleted_by: Option<String>,
    /// Until when it can be restored.
    pub purge_at_ms: i64,
}

/// A repository that was deleted and can be restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedRepository {
    /// The name that it had.
    pub name: RepositoryName,
    /// Until when it can be restored, in milliseconds since 1970 UTC.
    pub purge_at_ms: i64,
}

/// How much can not be restored any more because [`end_windows`](crate::Trash::end_windows) said so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndedWindows {
    /// Deleted tags.
    pub tags: u64,
    /// Deleted manifests.
    pub manifests: u64,
    /// Deleted repositories, each with all that was in it.
    pub repositories: u64,
}

impl EndedWindows {
    /// Whether there was nothing.
    pub fn is_none(&self) -> bool {
        *self == EndedWindows::default()
    }
}

impl std::ops::AddAssign for EndedWindows {
    fn add_assign(&mut self, more: EndedWindows) {
        self.tags += more.tags;
        self.manifests += more.manifests;
        self.repositories += more.repositories;
    }
}

/// What was restored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Manifests that were not there: the one that was asked for, the children of an index, referrers.
    pub manifests: Vec<Digest>,
    /// Tags that were set.
    pub tags: Vec<Tag>,
}

/// A change of a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagChange {
    /// Numbers changes in the order in which they were made.
    pub number: i64,
    /// What the tag led to from then on; none if it was deleted.
    pub digest: Option<Digest>,
    /// When, in milliseconds since 1970 UTC.
    pub at_ms: i64,
    /// Who did it.
    pub actor: Option<String>,
}
