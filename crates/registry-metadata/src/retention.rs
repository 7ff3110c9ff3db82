//! What whoever decides which images are kept is told of them.

use std::time::Duration;

use registry_digest::Digest;
use registry_types::{RepositoryName, Tag};

use crate::Options;

/// How far two pulls of a manifest are apart that are both written down.
pub const PULLS_APART: Duration = Duration::from_secs(60 * 60);

/// A tag with what it leads to, or a manifest that nothing refers to. Either stands for all that hangs on it: the images of an
/// index, and what refers to any of them as its subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The tag; none for a manifest.
    pub tag: Option<Tag>,
    /// The manifest, or what the tag leads to.
    pub digest: Digest,
    /// When the manifest came into the repository, in milliseconds since 1970 UTC, as all times here.
    pub created_at_ms: i64,
    /// When the tag was pushed last, also without a change. Of a manifest: when it was left alone, that is, when it came or when
    /// its last reference went; it can be later, if a client was promised it since.
    pub pushed_at_ms: i64,
    /// When the manifest, or one that it lists, was pulled last; none if that is not known.
    pub pulled_at_ms: Option<i64>,
    /// Why it can not go now, whatever anybody decides.
    pub hold: Option<Hold>,
}

/// Why an image can not go now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// The tag is [immutable](crate::Options::immutable_tags).
    Immutable,
    /// The tag belongs to another image, which its name tells (`sha256-….sig`) and which is here.
    Companion,
    /// A client was promised the manifest, or it lost its last reference not long ago: so it stays for a while.
    Leased {
        /// Until then at least, in milliseconds since 1970 UTC.
        until_ms: i64,
    },
}

/// Some images of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImagePage {
    /// The images.
    pub images: Vec<Image>,
    /// Where the next page begins; none after the last.
    pub next: Option<ImagePosition>,
    /// The database's time, in milliseconds since 1970 UTC.
    pub now_ms: i64,
    /// Since when pulls are known: what was pulled before may be told as never pulled.
    pub pulls_since_ms: i64,
}

/// A place among the images of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImagePosition(pub(crate) Position);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// After this tag; after none if it is empty.
    Tags(String),
    /// After this digest, likewise.
    Manifests(String),
}

/// A manifest was pulled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pull {
    /// Where from.
    pub repository: RepositoryName,
    /// What.
    pub digest: Digest,
}

/// A row of `TAGGED`.
pub(crate) struct TaggedRow {
    pub(crate) tag: Tag,
    pub(crate) digest: Digest,
    pub(crate) created_at_ms: i64,
    pub(crate) updated_at_ms: i64,
    pub(crate) pulled: [Option<i64>; 2],
    pub(crate) is_companion: bool,
}

impl TaggedRow {
    pub(crate) fn image(self, options: &Options, repository: &RepositoryName) -> Image {
        let hold = if options.is_immutable(repository.as_str(), &self.tag) {
            Some(Hold::Immutable)
        } else {
            self.is_companion.then_some(Hold::Companion)
        };
        Image {
            tag: Some(self.tag),
            digest: self.digest,
            created_at_ms: self.created_at_ms,
            pushed_at_ms: self.updated_at_ms.max(self.created_at_ms),
            pulled_at_ms: self.pulled.into_iter().flatten().max(),
            hold,
        }
    }
}

/// A row of `UNTAGGED`.
pub(crate) struct UntaggedRow {
    pub(crate) digest: Digest,
    pub(crate) created_at_ms: i64,
    pub(crate) lease_until_ms: i64,
    pub(crate) now_ms: i64,
    pub(crate) pulled: [Option<i64>; 2],
    pub(crate) is_referenced: bool,
}

impl UntaggedRow {
    /// None if something refers to it.
    pub(crate) fn image(self, options: &Options) -> Option<Image> {
        // Losing the last reference grants a lease.
        let left_at_ms = self.lease_until_ms.saturating_sub(options.grant_ms()).min(self.now_ms);
        let is_leased = self.lease_until_ms > self.now_ms;
        (!self.is_referenced).then(|| Image {
            tag: None,
            digest: self.digest,
            created_at_ms: self.created_at_ms,
            pushed_at_ms: left_at_ms.max(self.created_at_ms),
            pulled_at_ms: self.pulled.into_iter().flatten().max(),
            hold: is_leased.then_some(Hold::Leased { until_ms: self.lease_until_ms }),
        })
    }
}

impl Position {
    /// Manifests come before tags: what a tag leaves behind that is deleted on the way is not met again.
    pub(crate) fn first() -> Position {
        Position::Manifests(String::new())
    }
}

impl ImagePosition {
    /// Where to go on after manifests, of which the last had this digest, if there may be more of them.
    pub(crate) fn after_manifests(last: Option<String>, may_be_more: bool) -> Option<ImagePosition> {
        Some(ImagePosition(match last.filter(|_| may_be_more) {
            Some(last) => Position::Manifests(last),
            None => Position::Tags(String::new()),
        }))
    }

    /// Where to go on after tags, of which the last had this name, if there may be more of them.
    pub(crate) fn after_tags(last: Option<String>, may_be_more: bool) -> Option<ImagePosition> {
        last.filter(|_| may_be_more).map(|last| ImagePosition(Position::Tags(last)))
    }
}
