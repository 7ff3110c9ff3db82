//! Letting images go that nothing pulls.

use std::{sync::Arc, time::Duration};

use registry_metadata::{Image, ImagePage, MetadataError, MetadataStore};
use registry_types::{Cause, RepositoryName, Viewer};
use tokio::time::sleep;

/// How many repositories and images are looked at in one go.
const AT_ONCE: usize = 100;

/// The pause after each deletion, so that pulls do not wait for many of them.
const PAUSE: Duration = Duration::from_millis(20);

/// How often is looked, at most and at least.
const EVERY_MIN: Duration = Duration::from_secs(60);
const EVERY_MAX: Duration = Duration::from_secs(60 * 60);

/// What lets images go: a tag with its manifest, and after a lease what only they needed.
#[derive(Debug)]
pub(crate) struct Eviction {
    pub(crate) metadata: Arc<dyn MetadataStore>,
    /// All mirrored repositories.
    pub(crate) viewer: Viewer,
    pub(crate) ttl: Duration,
}

impl Eviction {
    pub(crate) async fn run(self) {
        loop {
            sleep((self.ttl / 10).clamp(EVERY_MIN, EVERY_MAX)).await;
            match self.round().await {
                Ok(0) => {}
                Ok(gone) => {
                    tracing::info!("{gone} mirrored images went: nothing pulled them for {:?}", self.ttl)
                }
                Err(error) => {
                    tracing::warn!("could not look for mirrored images that nothing pulls: {error}")
                }
            }
        }
    }

    /// Looks at every mirrored image once, and says how many went.
    async fn round(&self) -> Result<u64, MetadataError> {
        let (mut gone, mut after) = (0, None::<RepositoryName>);
        loop {
            let after_name = after.as_ref().map(RepositoryName::as_str);
            let repositories = self.metadata.repositories(&self.viewer, after_name, AT_ONCE).await?;
            let Some(last) = repositories.last() else { return Ok(gone) };
            after = Some(last.clone());
            for repository in &repositories {
                match self.repository(repository).await {
                    Ok(of_it) => gone += of_it,
                    Err(error) => {
                        tracing::warn!(%repository, "could not list the mirrored images of a repository: {error}")
                    }
                }
            }
        }
    }

    async fn repository(&self, repository: &RepositoryName) -> Result<u64, MetadataError> {
        let (mut gone, mut position) = (0, None);
        loop {
            let page = self.metadata.images(repository, position.as_ref(), AT_ONCE).await?;
            for image in page.images.iter().filter(|image| self.is_over(image, &page)) {
                gone += u64::from(self.expire(repository, image).await);
                sleep(PAUSE).await;
            }
            position = page.next;
            if position.is_none() {
                return Ok(gone);
            }
        }
    }

    /// Whether the image went. One that can not go keeps no other.
    async fn expire(&self, repository: &RepositoryName, image: &Image) -> bool {
        let expired = self.metadata.expire_image(repository, image, &Cause::by("mirror")).await;
        expired.unwrap_or_else(|error| {
            tracing::warn!(%repository, ?image, "could not let a mirrored image go: {error}");
            false
        })
    }

    fn is_over(&self, image: &Image, page: &ImagePage) -> bool {
        // What was pulled before pulls were known may have been pulled at that moment.
        let used_at_ms = image.pulled_at_ms.unwrap_or(0).max(image.created_at_ms).max(page.pulls_since_ms);
        let ttl_ms = i64::try_from(self.ttl.as_millis()).unwrap_or(i64::MAX);
        image.hold.is_none() && page.now_ms.saturating_sub(used_at_ms) > ttl_ms
    }
}
