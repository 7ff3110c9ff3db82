use std::time::Duration;

use registry_database::Owners;
use registry_events::Recorder;
use registry_types::{ImmutableTags, Quota, Tag};

use crate::{OWNERS, Steps, aside::former_name, clock::millis};

/// How long what is not used is kept, what is held to limits, and what the database has beside content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How long a client that was told that a blob or manifest exists has to push something that uses it. 24 hours.
    pub lease: Duration,
    /// How long deleted manifests and tags can be restored. Seven days; zero keeps nothing.
    pub undelete_window: Duration,
    /// Tags that are never moved or deleted once they are set. None.
    pub immutable_tags: Vec<ImmutableTags>,
    /// How long the bytes of an object outlive its row: as long as a signed URL or a running read may last. One hour.
    pub read_grace: Duration,
    /// What groups of repositories may hold. No prefix twice; of quotas that overlap each holds. Whoever works on one
    /// database must be told of the same prefixes. None.
    pub quotas: Vec<Quota>,
    /// Whose tables the database has. [`OWNERS`].
    pub owners: Owners,
    /// What says whether events are wanted; if it ever does, [`owners`](Self::owners) has [`registry_events::SCHEMA`]. Nothing
    /// listens.
    pub recorder: Recorder,
    /// What other owners do in transactions of content. Nothing.
    pub steps: Steps,
}

impl Default for Options {
    fn default() -> Self {
        const HOUR: Duration = Duration::from_secs(60 * 60);
        Options {
            lease: 24 * HOUR,
            undelete_window: 7 * 24 * HOUR,
            read_grace: HOUR,
            immutable_tags: Vec::new(),
            quotas: Vec::new(),
            owners: OWNERS,
            recorder: Recorder::default(),
            steps: Steps::default(),
        }
    }
}

impl Options {
    /// Whether a tag is never moved or deleted. A repository that was deleted goes by the name that it had.
    pub(crate) fn is_immutable(&self, repository: &str, tag: &Tag) -> bool {
        let repository = former_name(repository).unwrap_or(repository);
        self.immutable_tags.iter().any(|rule| rule.has(repository, tag))
    }

    /// How much is left of a lease at least, after a client was told that something exists.
    pub(crate) fn lease_ms(&self) -> i64 {
        millis(self.lease)
    }

    /// How long a grant lasts: half a lease more than is promised, so that something that is asked for all the time is
    /// written once in half a lease, and clocks may differ by as much.
    pub(crate) fn grant_ms(&self) -> i64 {
        self.lease_ms().saturating_add(self.lease_ms() / 2)
    }

    pub(crate) fn undelete_window_ms(&self) -> i64 {
        millis(self.undelete_window)
    }

    pub(crate) fn read_grace_ms(&self) -> i64 {
        millis(self.read_grace)
    }
}
