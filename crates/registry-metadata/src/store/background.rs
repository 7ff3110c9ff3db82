//! What works beside requests: quotas, the collector, audits.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use registry_digest::Digest;
use registry_types::{Cause, Location, RepositoryName};

use crate::{
    CollectRules, Collected, Image, ImagePage, ImagePosition, ManifestPosition, Preview, QueuePosition,
    QuotaUsage, Reclaim, Result, StoredManifest, StoredObject, UnknownObject,
};

/// What groups of repositories hold. A part of a [`MetadataStore`](crate::MetadataStore).
#[async_trait]
pub trait Quotas: fmt::Debug + Send + Sync + 'static {
    /// Has what the configured [quotas](crate::Options::quotas) limit be counted from now on, and nothing else. To be called
    /// before serving; until then a new quota limits nothing. Of those that were counted before, only a look; a new one
    /// counts once what is there, while pushes wait.
    async fn begin_quotas(&self) -> Result<()>;

    /// Counts again what the configured quotas limit, and nothing else.
    async fn recount_quotas(&self) -> Result<()>;

    /// The configured quotas, and what is used of them.
    async fn quota_usage(&self) -> Result<Vec<QuotaUsage>>;
}

/// What goes by itself: garbage, tags that expire, images that a policy lets go, and bytes that nothing leads to. A part of a [`MetadataStore`](crate::MetadataStore).
#[async_trait]
pub trait Collecting: fmt::Debug + Send + Sync + 'static {
    /// Images whose labels are to be read, at most `limit`. Every image that is pushed is among them until
    /// [`set_expiry`](Self::set_expiry) says what its labels say.
    async fn unread_labels(&self, limit: usize) -> Result<Vec<(RepositoryName, Digest)>>;

    /// The labels of an image could not be read: [`unread_labels`](Self::unread_labels) does not tell of it again before so
    /// long has passed.
    async fn postpone_labels(&self, repository: &RepositoryName, digest: &Digest, by: Duration)
    -> Result<()>;

    /// An image's labels were read: each tag that leads to it expires so long after it was set, at most
    /// [`EXPIRES_AFTER_MAX`](crate::EXPIRES_AFTER_MAX), or does not.
    /// [`collect`](Self::collect) deletes tags that have expired, and the manifest if nothing else refers to it.
    async fn set_expiry(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        after: Option<Duration>,
    ) -> Result<()>;

    /// Works off the next of what may have become garbage and whose time has come, at most `limit` candidates: each is
    /// looked at again, under the locks that are needed, and either goes or stays. Nothing more is due only if the answer is
    /// empty: what goes may set down what depended on it. Each candidate is decided and done as one; `limit` bounds how long writers may have to wait.
    ///
    /// Any number may do this at once. What was done is done for good, also if the caller goes away: what depends on it
    /// is on the queue, and bytes that nothing leads to any more are [`reclaimable`](Self::reclaimable) after the
    /// [grace](crate::Options::read_grace).
    async fn collect(&self, rules: &CollectRules, limit: usize) -> Result<Vec<Collected>>;

    /// What [`collect`](Self::collect) would do with all that is on the queue if it were due now, a page at a time, without
    /// doing anything. What would become garbage only thereby is not foreseen. After
    /// [`QueuePosition::before_untagged`] it goes over the manifests without a tag instead, as if they were asked for.
    async fn preview_collect(
        &self,
        rules: &CollectRules,
        after: Option<&QueuePosition>,
        limit: usize,
    ) -> Result<Preview>;

    /// Has every manifest go that has no tag and that nothing refers to once its lease is over: looks at up to `limit`
    /// manifests after `after`, and puts those without a tag on the queue. All of it costs in proportion to what is stored.
    /// Answers where to go on; none at the end.
    async fn enqueue_untagged(
        &self,
        after: Option<&QueuePosition>,
        limit: usize,
    ) -> Result<Option<QueuePosition>>;

    /// The images of a repository, for the decision which are kept: first the manifests that nothing refers to, neither a
    /// tag nor an index nor as their subject, in the order of their digests, then the tags, in the order of their names. Looks
    /// at up to `limit` rows after `after`; there are no more only if the answer says so. Empty for an unknown repository.
    async fn images(
        &self,
        repository: &RepositoryName,
        after: Option<&ImagePosition>,
        limit: usize,
    ) -> Result<ImagePage>;

    /// Deletes an image if it is still as [`images`](Self::images) told: a tag that leads to the same manifest and was not
    /// pushed since, a manifest that still nothing refers to, neither [held](Image::hold) nor pulled since. Otherwise nothing
    /// happens, and the answer is `false`.
    ///
    /// With a tag its manifest goes, after a lease, unless something else refers to it by then. Both can be
    /// [restored](crate::Trash::restore).
    async fn expire_image(&self, repository: &RepositoryName, image: &Image, cause: &Cause) -> Result<bool>;

    /// Bytes that can be deleted now, at most `limit`, those that waited longest first. A store that several nodes share
    /// may keep for a while from telling the same again, so that not all of them do it.
    async fn reclaimable(&self, limit: usize) -> Result<Vec<Reclaim>>;

    /// The bytes at `location` could not be deleted: [`reclaimable`](Self::reclaimable) does not tell of them again before so
    /// long has passed.
    async fn postpone_reclaim(&self, location: &Location, by: Duration) -> Result<()>;

    /// How many [`reclaimable`](Self::reclaimable) would tell of now, for a look that changes nothing.
    async fn reclaimable_count(&self, limit: usize) -> Result<u64>;

    /// The bytes at `location` are deleted. Saying so twice, or of what was never to be deleted, does nothing.
    async fn reclaimed(&self, location: &Location) -> Result<()>;
}

/// Comparing rows with bytes, both ways. A part of a [`MetadataStore`](crate::MetadataStore).
#[async_trait]
pub trait Audit: fmt::Debug + Send + Sync + 'static {
    /// Whether the caller is to look through the store of bytes now: no caller was told so for `interval`. Of many that ask, one is.
    async fn claim_sweep(&self, interval: Duration) -> Result<bool>;

    /// Of these objects in the store of bytes, those to which no row leads, not even that of an upload; and for how long
    /// that was seen. Looking is what makes that time begin.
    async fn note_unknown(&self, locations: &[Location]) -> Result<Vec<UnknownObject>>;

    /// Makes those of these objects [reclaimable](crate::Collecting::reclaimable) to which still no row leads, and says how many.
    async fn reclaim_unknown(&self, locations: &[Location]) -> Result<u64>;

    /// Forgets unknown objects that no look has found for so long: they are gone, or known.
    async fn forget_unknown(&self, not_seen_for: Duration) -> Result<()>;

    /// All objects, in the order of their locations, strictly after `after`, at most `limit`.
    async fn objects(&self, after: Option<&Location>, limit: usize) -> Result<Vec<StoredObject>>;

    /// Shows an object again that was [hidden](crate::Content::mark_bad), because its bytes were looked at and are right.
    async fn mark_good(&self, location: &Location) -> Result<()>;

    /// All manifests of all repositories, in some order that does not change, strictly after `after`: at most `limit`, and no
    /// more than fit into [`MANIFESTS_BYTES_MAX`](crate::MANIFESTS_BYTES_MAX), but one at least. There are no more only if there is none.
    async fn all_manifests(
        &self,
        after: Option<&ManifestPosition>,
        limit: usize,
    ) -> Result<Vec<(ManifestPosition, StoredManifest)>>;

    /// What the database finds wrong with itself: nothing, in one that is well. Reads all of it.
    async fn verify(&self) -> Result<Vec<String>>;
}
