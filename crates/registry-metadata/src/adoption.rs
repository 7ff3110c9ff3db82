//! What an import puts into a [`MetadataStore`](crate::MetadataStore).

use registry_digest::Digest;
use registry_types::{Cause, Location, Manifest, RepositoryName, Tag};

use crate::{PutManifest, push::Put};

/// The actor that the history of tags names.
pub(crate) const ACTOR: &str = "import";

/// How far the taking over of another registry's content has come. Times are in milliseconds since 1970 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdoptionState {
    /// When the first run began.
    pub began_at_ms: i64,
    /// When the last run began that came to its end.
    pub ran_at_ms: Option<i64>,
    /// Since when the content is this registry's.
    pub finished_at_ms: Option<i64>,
}

/// A blob that another registry stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdoptedBlob {
    /// The digest by which the repository has it.
    pub digest: Digest,
    /// The other registry's key.
    pub location: Location,
    /// How many bytes are there.
    pub size_bytes: u64,
}

/// A manifest that another registry stored.
#[derive(Clone, Debug)]
pub struct AdoptedManifest {
    /// The digest of its bytes, which the caller has verified.
    pub digest: Digest,
    /// The manifest.
    pub manifest: Manifest,
    /// The blobs that the repository must have.
    pub required: Vec<Digest>,
    /// The manifests that the repository must have.
    pub required_children: Vec<Digest>,
    /// When it was pushed there, in milliseconds since 1970 UTC.
    pub pushed_at_ms: i64,
}

/// A tag as another registry has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdoptedTag {
    /// Its name.
    pub tag: Tag,
    /// What it leads to.
    pub digest: Digest,
    /// When it was set there, in milliseconds since 1970 UTC.
    pub updated_at_ms: i64,
}

/// What one transaction takes over of a repository. It is done in the order of the fields.
#[derive(Clone, Debug)]
pub struct Adoption {
    /// Which repository.
    pub repository: RepositoryName,
    /// Blobs that the repository does not have yet.
    pub blobs: Vec<AdoptedBlob>,
    /// Manifests that it does not have yet, what is listed before its index.
    pub manifests: Vec<AdoptedManifest>,
    /// Tags to set to manifests that it has by then.
    pub tags: Vec<AdoptedTag>,
    /// Tags that are not there any more.
    pub gone_tags: Vec<Tag>,
    /// Manifests that are not there any more.
    pub gone_manifests: Vec<Digest>,
}

impl Adoption {
    /// Nothing yet.
    pub fn of(repository: RepositoryName) -> Adoption {
        Adoption {
            repository,
            blobs: Vec::new(),
            manifests: Vec::new(),
            tags: Vec::new(),
            gone_tags: Vec::new(),
            gone_manifests: Vec::new(),
        }
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        self.blobs.len()
            + self.manifests.len()
            + self.tags.len()
            + self.gone_tags.len()
            + self.gone_manifests.len()
    }

    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An [`Adoption`] with its manifests taken apart.
pub(crate) struct ToAdopt {
    pub(crate) adoption: Adoption,
    pub(crate) puts: Vec<(Put, i64)>,
}

impl ToAdopt {
    pub(crate) fn new(adoption: &Adoption) -> ToAdopt {
        let (mut adoption, cause) = (adoption.clone(), Cause::by(ACTOR));
        let take_apart = |it: &AdoptedManifest| {
            let put = Put::new(&PutManifest {
                repository: &adoption.repository,
                digest: it.digest,
                manifest: &it.manifest,
                tags: &[],
                required: &it.required,
                required_children: &it.required_children,
                cause: &cause,
            });
            (put, it.pushed_at_ms)
        };
        let puts = adoption.manifests.iter().map(take_apart).collect();
        adoption.manifests.clear();
        ToAdopt { adoption, puts }
    }
}
