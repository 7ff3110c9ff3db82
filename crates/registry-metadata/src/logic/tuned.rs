//! What each database does in its own way and logic needs as a part of something else: what is tuned by hand, because a client waits for
//! it, and steps of other owners.

use registry_database::{Fault, Session};
use registry_digest::Digest;
use registry_types::{Cause, RepositoryName, Tag};

use super::Tx;
use crate::{push::Put, steps::DynStep};

/// A tag that is set to a manifest that is here.
pub(crate) struct SetTag<'a> {
    pub(crate) repository: i64,
    /// The repository's name.
    #[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "PostgreSQL finds the tag by it"))]
    pub(crate) name: &'a RepositoryName,
    pub(crate) tag: &'a Tag,
    pub(crate) digest: &'a Digest,
    pub(crate) cause: &'a Cause,
}

/// A transaction of either database, with what is tuned for it.
#[allow(
    async_fn_in_trait,
    reason = "whether the futures may move between threads is known where the engine is"
)]
pub(crate) trait Tuned: Session + Sized {
    /// Locks a tag and makes it lead to a manifest, with all that follows from that; answers what it led to before.
    async fn set_tag(tx: &Tx<'_, Self>, set: &SetTag<'_>) -> Result<Option<Digest>, Fault>;

    /// Puts a blob whose digest is known into a repository, with a lease, and gives it to the manifests that wait for it.
    async fn link_blob(tx: &Tx<'_, Self>, repository: i64, digest: &Digest) -> Result<(), Fault>;

    /// For a manifest whose row is here again: its references, and what waits for it.
    async fn link_manifest(tx: &Tx<'_, Self>, repository: i64, put: &Put) -> Result<(), Fault>;

    /// Pushes a manifest.
    async fn put_manifest(tx: &Tx<'_, Self>, put: &Put) -> Result<(), Fault>;

    /// Runs a step of another owner.
    async fn step<Of: Sync + 'static>(&self, step: &DynStep<Of>, of: &Of) -> Result<(), Fault>;
}
