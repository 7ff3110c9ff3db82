//! What a collector asks of a [`MetadataStore`](crate::MetadataStore), and what it is told.

use std::fmt;

use registry_types::RepositoryName;

/// The label of an image, or the annotation of a manifest, that says after how long a tag that leads to it expires: a number
/// and a unit, such as `12h`, `2d`, `3w`. Quay's.
pub const EXPIRES_AFTER: &str = "quay.expires-after";

/// What a collector may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CollectRules {
    /// Whether a manifest goes that nothing refers to, only because no tag leads to it. What came as part of something
    /// that was deleted (a child of an index, a referrer of its subject) goes in any case, unless something else refers
    /// to it.
    pub untagged: bool,
}

/// Something that may have become garbage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// What it is.
    pub kind: CandidateKind,
    /// Where; none for what belongs to no repository, or to one that is gone.
    pub repository: Option<RepositoryName>,
    /// Which, as text: an entry that can not be read is reported and not followed.
    pub digest: String,
    /// Why somebody set it down.
    pub reason: String,
}

/// What a [`Candidate`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CandidateKind {
    /// A blob of a repository.
    Blob,
    /// A manifest of a repository.
    Manifest,
    /// A digest that repositories may have.
    Digest,
    /// Tags that expire; the candidate's digest is what they lead to.
    Tag,
    /// A deleted manifest that could be restored until now.
    TrashedManifest,
    /// A deleted tag that could be restored until now; the candidate's digest is what it led to.
    TrashedTag,
    /// A deleted repository that could be restored until now, after all that was in it, or one in which nothing is; the
    /// candidate's digest is its name.
    Repository,
    /// Changes of tags of such a repository; the candidate's digest is its name.
    History,
    /// An upload to such a repository; the candidate's digest is its id.
    Upload,
}

impl CandidateKind {
    /// One word, for reports and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            CandidateKind::Blob => "blob",
            CandidateKind::Manifest => "manifest",
            CandidateKind::Digest => "digest",
            CandidateKind::Tag => "tag",
            CandidateKind::TrashedManifest => "trashed_manifest",
            CandidateKind::TrashedTag => "trashed_tag",
            CandidateKind::Repository => "repository",
            CandidateKind::History => "history",
            CandidateKind::Upload => "upload",
        }
    }
}

impl fmt::Display for CandidateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What became of a candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its row is gone. What depended on it is on the queue.
    Removed {
        /// How many bytes were given up with it, to be deleted in the next step: those of a digest's object, if no other
        /// digest has it.
        bytes: u64,
    },
    /// It stays.
    Kept(Kept),
}

/// Why a candidate stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// A manifest uses the blob; a tag, an index or its subject keeps the manifest; a repository has the digest.
    Referenced,
    /// A client may rely on it until then, in milliseconds since 1970 UTC. It is looked at again.
    Leased {
        /// When.
        until_ms: i64,
    },
    /// Something that was deleted uses it and can still be restored. It is looked at again when that ends.
    Trash,
    /// Nothing refers to it, but [`CollectRules::untagged`] was not asked for.
    Untagged,
    /// It is not there any more.
    Gone,
    /// The tag's time is over, and the tag is [immutable](crate::Options::immutable_tags). It is looked at again in a day.
    Immutable,
    /// The database refused, or holds what can not be read. It is looked at again in an hour.
    Failed {
        /// What the database said.
        reason: String,
    },
}

impl Kept {
    /// One word, for reports and metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Kept::Referenced => "referenced",
            Kept::Leased { .. } => "leased",
            Kept::Trash => "trash",
            Kept::Untagged => "untagged",
            Kept::Gone => "gone",
            Kept::Immutable => "immutable",
            Kept::Failed { .. } => "failed",
        }
    }

    /// Until when it is promised, in milliseconds since 1970 UTC.
    pub fn until_ms(&self) -> Option<i64> {
        match self {
            Kept::Leased { until_ms } => Some(*until_ms),
            _ => None,
        }
    }
}

/// A candidate and what became of it, or would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collected {
    /// What was looked at.
    pub candidate: Candidate,
    /// What became of it.
    pub verdict: Verdict,
}

/// A place in the queue, to go on from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuePosition {
    pub(crate) kind: String,
    pub(crate) repository: i64,
    pub(crate) digest: String,
}

/// When a collector looks again at what could not be dealt with.
pub(crate) const FAILED_AGAIN_MS: i64 = 60 * 60 * 1000;

/// How many repositories that may be empty one step of a collection looks at.
pub(crate) const MAYBE_EMPTY_MAX: i64 = 100;

/// What an entry of the collector's queue is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QueueKind {
    /// A blob of a repository: nothing there may refer to it any more.
    Blob,
    /// A manifest of a repository, likewise.
    Manifest,
    /// A digest: no repository may have it any more.
    Digest,
    /// An image of a repository: its labels may say how long a tag leads to it.
    Label,
    /// A manifest of a repository to which tags lead that expire.
    Expiry,
}

impl QueueKind {
    const ALL: [QueueKind; 5] =
        [QueueKind::Blob, QueueKind::Manifest, QueueKind::Digest, QueueKind::Label, QueueKind::Expiry];

    /// As the database keeps it. The statements that leave labels out name them so, too.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            QueueKind::Blob => "blob",
            QueueKind::Manifest => "manifest",
            QueueKind::Digest => "digest",
            QueueKind::Label => "label",
            QueueKind::Expiry => "expiry",
        }
    }

    /// The database refuses any other text.
    pub(crate) fn of(text: &str) -> QueueKind {
        QueueKind::ALL.into_iter().find(|kind| kind.as_str() == text).unwrap_or(QueueKind::Digest)
    }

    /// What a report calls it.
    pub(crate) fn candidate(self) -> CandidateKind {
        match self {
            QueueKind::Blob => CandidateKind::Blob,
            QueueKind::Manifest | QueueKind::Label => CandidateKind::Manifest,
            QueueKind::Digest => CandidateKind::Digest,
            QueueKind::Expiry => CandidateKind::Tag,
        }
    }
}

/// An entry of the collector's queue: what it is about, and the number of the repository.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Garbage {
    /// See [`QueueKind::Blob`].
    Blob(i64),
    /// See [`QueueKind::Manifest`].
    Manifest(i64),
    /// See [`QueueKind::Digest`].
    Digest,
    /// See [`QueueKind::Label`].
    Label(i64),
    /// See [`QueueKind::Expiry`].
    Expiry(i64),
}

impl Garbage {
    /// Its columns `kind` and `repository`. No repository has the number 0.
    pub(crate) fn key(self) -> (&'static str, i64) {
        let (kind, repository) = match self {
            Garbage::Blob(repository) => (QueueKind::Blob, repository),
            Garbage::Manifest(repository) => (QueueKind::Manifest, repository),
            Garbage::Digest => (QueueKind::Digest, 0),
            Garbage::Label(repository) => (QueueKind::Label, repository),
            Garbage::Expiry(repository) => (QueueKind::Expiry, repository),
        };
        (kind.as_str(), repository)
    }
}

/// Why something is on the collector's queue, or why bytes are given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Its lease may be over.
    Lease,
    /// It was pushed, and nothing may refer to it yet.
    Pushed,
    /// A manifest that referred to the blob is gone.
    Dereferenced,
    /// The index that listed the manifest is gone.
    IndexDeleted,
    /// The manifest's subject is gone.
    SubjectDeleted,
    /// A tag that led to the manifest leads elsewhere.
    TagMoved,
    /// A tag that led to the manifest was deleted.
    TagDeleted,
    /// Its time is over.
    Expired,
    /// A label says when it expires.
    Label,
    /// A client deleted it.
    Deleted,
    /// No repository may have the digest any more.
    Unlinked,
    /// It was deleted, and can not be restored any more.
    Purged,
    /// It came back from the trash.
    Restored,
    /// Its repository was deleted.
    RepositoryDeleted,
    /// No row leads to the bytes.
    Unknown,
    /// The object's last digest is gone.
    Collected,
    /// The bytes were bad or lost, and others took their place.
    Replaced,
    /// The digest had bytes already.
    Duplicate,
    /// The upload was cancelled.
    Cancelled,
    /// The manifest is being pushed (PostgreSQL).
    #[cfg_attr(
        not(feature = "postgres"),
        allow(dead_code, reason = "other transactions write beside ours only there")
    )]
    Arriving,
    /// A manifest that refers to it is being pushed (PostgreSQL).
    #[cfg_attr(
        not(feature = "postgres"),
        allow(dead_code, reason = "other transactions write beside ours only there")
    )]
    Awaited,
}

impl Reason {
    /// As the database keeps it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Reason::Lease => "lease",
            Reason::Pushed => "pushed",
            Reason::Dereferenced => "dereferenced",
            Reason::IndexDeleted => "index deleted",
            Reason::SubjectDeleted => "subject deleted",
            Reason::TagMoved => "tag moved",
            Reason::TagDeleted => "tag deleted",
            Reason::Expired => "expired",
            Reason::Label => "label",
            Reason::Deleted => "deleted",
            Reason::Unlinked => "unlinked",
            Reason::Purged => "purged",
            Reason::Restored => "restored",
            Reason::RepositoryDeleted => "repository deleted",
            Reason::Unknown => "unknown",
            Reason::Collected => "collected",
            Reason::Replaced => "replaced",
            Reason::Duplicate => "duplicate",
            Reason::Cancelled => "cancelled",
            Reason::Arriving => "arriving",
            Reason::Awaited => "awaited",
        }
    }
}

/// Reasons for which a manifest goes that nothing refers to, whatever the [rules](CollectRules::untagged): it came as part of
/// what was deleted, or a caller asked for it. That a client relied on it meanwhile changes nothing about them.
const GO_UNTAGGED: [&str; 4] =
    [Reason::IndexDeleted.as_str(), Reason::SubjectDeleted.as_str(), Reason::Expired.as_str(), UNTAGGED];

/// Whether a manifest that nothing refers to goes for the reason that is down.
pub(crate) fn goes_untagged(reason: &str) -> bool {
    GO_UNTAGGED.contains(&reason)
}

/// After all kinds that are on the queue.
pub(crate) const UNTAGGED: &str = "untagged";

impl QueuePosition {
    /// Before the first of all manifests without a tag, which are not on the queue unless somebody
    /// [put them there](crate::Collecting::enqueue_untagged).
    pub fn before_untagged() -> QueuePosition {
        QueuePosition { kind: UNTAGGED.to_owned(), repository: 0, digest: String::new() }
    }
}

/// A page of what a collection would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// What would become of each.
    pub collected: Vec<Collected>,
    /// Where the next page begins; none after the last.
    pub next: Option<QueuePosition>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_takes_no_reason_away_for_which_a_manifest_goes() {
        let list = GO_UNTAGGED.map(|reason| format!("'{reason}'"));
        for reason in list {
            assert!(crate::sql::reclaim::ENQUEUE.sqlite.contains(&reason), "{reason}");
        }
        let quoted = crate::sql::reclaim::ENQUEUE.sqlite.matches('\'').count() / 2;
        assert_eq!(quoted, 1 + GO_UNTAGGED.len(), "and no other");
    }
}
