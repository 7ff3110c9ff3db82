//! A manifest to push, taken apart: what is the same for both databases.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use registry_digest::Digest;
use registry_events::Kind;
use registry_types::{Cause, Descriptor, Manifest, RepositoryName, Tag};

use crate::{
    PutManifest,
    logic::{Tx, events::Happened, tags},
};

/// Everything that a writer needs of a [`PutManifest`], taken out on the thread that asks.
pub(crate) struct Put {
    pub(crate) repository: RepositoryName,
    pub(crate) digest: Digest,
    pub(crate) media_type: String,
    pub(crate) subject: Option<String>,
    pub(crate) artifact_type: Option<String>,
    pub(crate) annotations: Option<String>,
    pub(crate) bytes: Bytes,
    /// What it refers to, each once and in order, and whether that must be there.
    pub(crate) blobs: BTreeMap<Digest, bool>,
    pub(crate) children: BTreeMap<Digest, bool>,
    pub(crate) tags: Vec<Tag>,
    pub(crate) cause: Cause,
    /// Whether it has labels, which somebody is to read.
    pub(crate) has_labels: bool,
}

/// A digest as it is stored, and the same again if it is here: the foreign key.
pub(crate) struct Link {
    pub(crate) digest: String,
    pub(crate) target: Option<String>,
}

impl Put {
    pub(crate) fn new(put: &PutManifest<'_>) -> Put {
        let manifest = put.manifest;
        let required: BTreeSet<&Digest> = put.required.iter().chain(put.required_children).collect();
        let marked = |descriptor: &Descriptor| (descriptor.digest, required.contains(&descriptor.digest));
        let mut blobs: BTreeMap<Digest, bool> = manifest.blobs().map(marked).collect();
        let mut children: BTreeMap<Digest, bool> = manifest.child_manifests().map(marked).collect();
        let is_named = |digest: &&Digest| blobs.contains_key(digest) || children.contains_key(digest);
        // Whatever else the caller requires is required, though the manifest does not name it.
        let missing = |required: &[Digest]| -> Vec<Digest> {
            required.iter().filter(|digest| !is_named(digest)).copied().collect()
        };
        let (more_blobs, more_children) = (missing(put.required), missing(put.required_children));
        blobs.extend(more_blobs.into_iter().map(|digest| (digest, true)));
        children.extend(more_children.into_iter().map(|digest| (digest, true)));
        Put {
            repository: put.repository.clone(),
            digest: put.digest,
            media_type: manifest.media_type().to_string(),
            subject: manifest.subject().map(|subject| subject.digest.to_string()),
            artifact_type: manifest.artifact_type().map(str::to_owned),
            annotations: annotations(put),
            bytes: manifest.bytes().clone(),
            blobs,
            children,
            tags: put.tags.to_vec(),
            cause: put.cause.clone(),
            has_labels: has_labels(manifest),
        }
    }
}

impl Put {
    /// That this manifest was pushed, or came back.
    pub(crate) fn happened(&self, kind: Kind, repository: i64) -> Happened {
        Happened {
            media_type: Some(self.media_type.clone()),
            size_bytes: Some(self.bytes.len() as u64),
            ..Happened::to_manifest(kind, repository, &self.digest, &self.cause)
        }
    }

    /// The tags to set, each once and in order.
    pub(crate) fn unique_tags(&self) -> BTreeSet<&Tag> {
        self.tags.iter().collect()
    }

    /// Notes what a push did: whether the repository had no manifest before, and what its tags led to then.
    pub(crate) fn note<S>(
        &self,
        tx: &Tx<'_, S>,
        repository: i64,
        is_first: bool,
        before: &BTreeMap<Tag, Digest>,
    ) {
        tx.events.name(repository, &self.repository);
        if is_first {
            let kind = Kind::RepositoryCreated;
            tx.events.note(|| Happened::in_repository(kind, repository, &self.cause));
        }
        tx.events.note(|| Happened {
            tag: self.tags.first().map(Tag::to_string),
            ..self.happened(Kind::ManifestPushed, repository)
        });
        for tag in self.unique_tags() {
            let set = (tag, &self.digest);
            tags::note_set(tx, Kind::TagMoved, repository, set, before.get(tag), &self.cause);
        }
    }
}

/// Whether the config may have labels, or the manifest says itself when it expires.
fn has_labels(manifest: &Manifest) -> bool {
    let of_image =
        ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];
    manifest.config().is_some_and(|config| of_image.contains(&config.media_type.as_str()))
        || manifest.annotations().contains_key(crate::EXPIRES_AFTER)
}

/// Only referrers are listed with their annotations.
fn annotations(put: &PutManifest<'_>) -> Option<String> {
    let annotations = put.manifest.annotations();
    let is_listed = put.manifest.subject().is_some() && !annotations.is_empty();
    is_listed.then(|| serde_json::to_string(annotations).expect("texts by texts are JSON"))
}
