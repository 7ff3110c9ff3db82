//! Taking over the content of another registry in place.

use std::fmt;

use async_trait::async_trait;
use registry_digest::Digest;
use registry_types::RepositoryName;

use crate::{AdoptedTag, Adoption, AdoptionState, Result};

/// The content of another registry, whose bytes stay where they are. A part of a [`MetadataStore`](crate::MetadataStore).
///
/// Until [`finish_adoption`](Self::finish_adoption) that registry is right: what is adopted can be read here and changes only by
/// [`adopt`](Self::adopt), and bytes of another registry are not [reclaimable](crate::Collecting::reclaimable). What is adopted is
/// counted for quotas and refused by none, and no event tells of it.
#[async_trait]
pub trait Adopting: fmt::Debug + Send + Sync + 'static {
    /// How far the taking over has come; none before the first run.
    async fn adoption(&self) -> Result<Option<AdoptionState>>;

    /// Begins a run. From the first one on, programs that do not know of adopted content do not open the database.
    ///
    /// # Errors
    /// [`AdoptionFinished`](crate::MetadataError::AdoptionFinished).
    async fn begin_adoption(&self) -> Result<AdoptionState>;

    /// Takes a part of a repository over, in one transaction; makes the repository if it is new. A digest that has bytes keeps
    /// those. Answers which of the manifests that are gone stay, because an index of the repository lists them.
    ///
    /// # Errors
    /// [`RepositoryExists`](crate::MetadataError::RepositoryExists) if clients pushed to it here;
    /// [`MissingReferences`](crate::MetadataError::MissingReferences); [`TagImmutable`](crate::MetadataError::TagImmutable);
    /// [`AdoptionFinished`](crate::MetadataError::AdoptionFinished).
    async fn adopt(&self, adoption: &Adoption) -> Result<Vec<Digest>>;

    /// Names of adopted repositories, in order, strictly after `after`, at most `limit`.
    async fn adopted_repositories(&self, after: Option<&str>, limit: usize) -> Result<Vec<RepositoryName>>;

    /// Tags of a repository, in the order of their names, strictly after `after`, at most `limit`.
    async fn stored_tags(
        &self,
        repository: &RepositoryName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<AdoptedTag>>;

    /// Digests of the manifests of a repository, in order, strictly after `after`, at most `limit`.
    async fn stored_manifests(
        &self,
        repository: &RepositoryName,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Vec<Digest>>;

    /// Digests of the blobs of a repository, likewise.
    async fn stored_blobs(
        &self,
        repository: &RepositoryName,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Vec<Digest>>;

    /// A run that began at that time, in milliseconds since 1970 UTC, has looked at everything.
    ///
    /// # Errors
    /// [`AdoptionFinished`](crate::MetadataError::AdoptionFinished).
    async fn end_adoption_run(&self, began_at_ms: i64) -> Result<()>;

    /// From now on the content is this registry's: nothing more is adopted. Doing so twice does nothing. Repositories are opened to clients by
    /// [`release_adopted`](Self::release_adopted), which is to follow.
    ///
    /// # Errors
    /// [`AdoptionFinished`](crate::MetadataError::AdoptionFinished) if nothing was ever adopted.
    async fn finish_adoption(&self) -> Result<()>;

    /// Bytes of another registry that were given up, below a folder that ends in a slash, are not reclaimable any more: that registry
    /// is to have them again.
    async fn keep_adopted_bytes(&self, folder: &str) -> Result<()>;

    /// Opens up to `limit` repositories to clients; whether there may be more. Nothing before the
    /// [end](Self::finish_adoption).
    async fn release_adopted(&self, limit: usize) -> Result<bool>;
}
