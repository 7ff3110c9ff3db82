//! What one transaction takes over.

use std::collections::HashSet;

use registry_digest::Digest;
use registry_metadata::{AdoptedBlob, AdoptedManifest, AdoptedTag, Adoption, MetadataError, MetadataStore};
use registry_types::{RepositoryName, Tag};

use crate::{ImportError, report::NotesOf};

/// How many entries a transaction takes over at most.
const ENTRIES_MAX: usize = 500;

/// After how many bytes of manifests a transaction begins.
const BYTES_MAX: usize = 1024 * 1024;

/// Gathers what is to be taken over of a repository, and does it when that is enough.
pub(crate) struct Batch<'a> {
    metadata: &'a dyn MetadataStore,
    notes: NotesOf<'a>,
    /// Nothing is changed.
    is_dry: bool,
    adoption: Adoption,
    bytes: usize,
    /// Manifests that were gathered and could not be taken over.
    pub(crate) refused: HashSet<Digest>,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(
        metadata: &'a dyn MetadataStore,
        notes: NotesOf<'a>,
        is_dry: bool,
        repository: &RepositoryName,
    ) -> Batch<'a> {
        let adoption = Adoption::of(repository.clone());
        Batch { metadata, notes, is_dry, adoption, bytes: 0, refused: HashSet::new() }
    }

    pub(crate) async fn blob(&mut self, blob: AdoptedBlob) -> Result<(), ImportError> {
        self.adoption.blobs.push(blob);
        self.flush_if_full().await
    }

    pub(crate) async fn manifest(&mut self, manifest: AdoptedManifest) -> Result<(), ImportError> {
        self.bytes += manifest.manifest.bytes().len();
        self.adoption.manifests.push(manifest);
        self.flush_if_full().await
    }

    pub(crate) async fn tag(&mut self, tag: AdoptedTag) -> Result<(), ImportError> {
        self.adoption.tags.push(tag);
        self.flush_if_full().await
    }

    pub(crate) async fn gone_tag(&mut self, tag: Tag) -> Result<(), ImportError> {
        self.adoption.gone_tags.push(tag);
        self.flush_if_full().await
    }

    /// All of them in one transaction, so that an index goes before what it lists.
    pub(crate) fn gone_manifests(&mut self, digests: Vec<Digest>) {
        self.adoption.gone_manifests = digests;
    }

    async fn flush_if_full(&mut self) -> Result<(), ImportError> {
        if self.adoption.len() >= ENTRIES_MAX || self.bytes >= BYTES_MAX {
            self.flush().await
        } else {
            Ok(())
        }
    }

    /// Does what was gathered. Of what is refused the rest is done.
    pub(crate) async fn flush(&mut self) -> Result<(), ImportError> {
        let repository = self.adoption.repository.clone();
        let adoption = std::mem::replace(&mut self.adoption, Adoption::of(repository));
        self.bytes = 0;
        if adoption.is_empty() {
            return Ok(());
        }
        match self.adopt(&adoption).await {
            Err(error) if is_about_an_entry(&error) => {}
            done => return Ok(done?),
        }
        for single in singles(adoption) {
            match self.adopt(&single).await {
                Err(error) if is_about_an_entry(&error) => self.refuse(&single, &error),
                done => done?,
            }
        }
        Ok(())
    }

    async fn adopt(&self, adoption: &Adoption) -> Result<(), MetadataError> {
        let stay = if self.is_dry { Vec::new() } else { self.metadata.adopt(adoption).await? };
        for digest in &stay {
            self.notes
                .problem(digest, "it was deleted there, but stays here: an index of the repository lists it");
        }
        self.notes.add(|report| {
            report.blobs_added += adoption.blobs.len() as u64;
            report.manifests_added += adoption.manifests.len() as u64;
            report.tags_set += adoption.tags.len() as u64;
            report.tags_removed += adoption.gone_tags.len() as u64;
            report.manifests_removed += (adoption.gone_manifests.len() - stay.len()) as u64;
        });
        Ok(())
    }

    fn refuse(&mut self, single: &Adoption, error: &MetadataError) {
        for manifest in &single.manifests {
            self.refused.insert(manifest.digest);
            self.notes.problem(manifest.digest, error);
        }
        for tag in &single.tags {
            self.notes.problem(&tag.tag, error);
        }
        for tag in &single.gone_tags {
            self.notes.problem(tag, error);
        }
        for digest in &single.gone_manifests {
            self.notes.problem(digest, error);
        }
    }
}

/// Whether something else may be taken over all the same.
fn is_about_an_entry(error: &MetadataError) -> bool {
    matches!(
        error,
        MetadataError::MissingReferences { .. }
            | MetadataError::ManifestUnknown { .. }
            | MetadataError::TagImmutable { .. }
            | MetadataError::ManifestReferenced { .. }
    )
}

/// The same, an entry at a time.
fn singles(adoption: Adoption) -> Vec<Adoption> {
    let Adoption { repository, blobs, manifests, tags, gone_tags, gone_manifests } = adoption;
    let of = || Adoption::of(repository.clone());
    let mut singles = vec![Adoption { blobs, ..of() }];
    singles.extend(manifests.into_iter().map(|it| Adoption { manifests: vec![it], ..of() }));
    singles.extend(tags.into_iter().map(|it| Adoption { tags: vec![it], ..of() }));
    singles.extend(gone_tags.into_iter().map(|it| Adoption { gone_tags: vec![it], ..of() }));
    singles.extend(gone_manifests.into_iter().map(|it| Adoption { gone_manifests: vec![it], ..of() }));
    singles.retain(|single| !single.is_empty());
    singles
}
