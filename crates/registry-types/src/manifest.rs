mod depth;
mod document;
mod entries;
mod error;
mod labels;
mod object;
mod raw;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bytes::Bytes;
use registry_digest::{Algorithm, Digest};

use crate::{Descriptor, MediaType};

use document::Document;
pub use error::ManifestError;
pub use labels::image_labels;
pub(crate) use object::{Fields, Object};
pub(crate) use raw::{RawDescriptor, ambiguous};

/// The largest manifest that is accepted, in bytes: 4 MiB, what the specification asks registries to support at least.
pub const MANIFEST_BYTES_MAX: usize = 4 << 20;

/// How many layers an image, or children an index, may have.
pub const MANIFEST_DESCRIPTORS_MAX: usize = 10_000;

/// How many fields the document may have, or a descriptor or platform in it; the specifications know nine.
pub const MANIFEST_FIELDS_MAX: usize = 256;

/// How many entries all maps of the document may have together, and texts all of its lists, beyond the first eight of each.
pub const MANIFEST_ENTRIES_MAX: usize = 10_000;

/// How deep lists and objects may lie in each other.
pub const MANIFEST_DEPTH_MAX: usize = 100;

/// The two forms of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ManifestKind {
    /// A config and layers: an image or another artifact.
    Image,
    /// Other manifests: one image for several platforms, and such.
    Index,
}

/// A manifest that was checked: what is in it, beside the bytes as they were sent.
///
/// The bytes are what is stored, served and hashed. The parsed form is only for finding out what a manifest refers to,
/// and is never written out again.
///
/// Spec: image-spec v1.1.1, "OCI Image Manifest Specification" and "OCI Image Index Specification"; Docker's "Image
/// Manifest Version 2, Schema 2".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    media_type: MediaType,
    kind: ManifestKind,
    bytes: Bytes,
    config: Option<Descriptor>,
    /// Layers or children, as the kind says.
    descriptors: Vec<Descriptor>,
    subject: Option<Descriptor>,
    artifact_type: Option<String>,
    annotations: BTreeMap<String, String>,
}

impl Manifest {
    /// Reads a manifest that was sent with a `Content-Type`, or without one: then the document has to name its type.
    ///
    /// Fields that are not known are ignored. Whether anything that the manifest refers to exists is not looked at.
    /// Takes memory in proportion to the bytes, which are not copied.
    ///
    /// # Errors
    /// [`ManifestError`]; each variant is something that the sender can put right.
    pub fn parse(content_type: Option<&MediaType>, bytes: Bytes) -> Result<Manifest, ManifestError> {
        if bytes.len() > MANIFEST_BYTES_MAX {
            let (actual_bytes, limit_bytes) = (bytes.len(), MANIFEST_BYTES_MAX);
            return Err(ManifestError::TooLarge { actual_bytes, limit_bytes });
        }
        if let Some(content_type) = content_type {
            document::supported(content_type)?;
        }
        let document = Document::read(&bytes)?;
        let media_type = document.media_type(content_type)?;
        let kind = document::supported(&media_type)?;
        document.check_form(kind)?;
        let content = document.check_content()?;
        Ok(Manifest {
            kind,
            config: content.config,
            descriptors: content.descriptors,
            subject: content.subject,
            artifact_type: content.artifact_type,
            annotations: content.annotations,
            media_type,
            bytes,
        })
    }

    /// One of [`MediaType::MANIFESTS`].
    pub fn media_type(&self) -> &MediaType {
        &self.media_type
    }

    /// Image or index.
    pub fn kind(&self) -> ManifestKind {
        self.kind
    }

    /// The bytes as they were sent.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The config of an image; none for an index.
    pub fn config(&self) -> Option<&Descriptor> {
        self.config.as_ref()
    }

    /// The layers of an image, in order; empty for an index.
    pub fn layers(&self) -> &[Descriptor] {
        match self.kind {
            ManifestKind::Image => &self.descriptors,
            ManifestKind::Index => &[],
        }
    }

    /// The entries of an index, in order; empty for an image. Not each needs to be a manifest: BuildKit's older caches
    /// are indexes of layers. See [`child_manifests`](Self::child_manifests) and [`blobs`](Self::blobs).
    pub fn children(&self) -> &[Descriptor] {
        match self.kind {
            ManifestKind::Image => &[],
            ManifestKind::Index => &self.descriptors,
        }
    }

    /// The entries of an index that are manifests by their media type.
    pub fn child_manifests(&self) -> impl Iterator<Item = &Descriptor> {
        self.children().iter().filter(|child| child.media_type.kind().is_some())
    }

    /// Everything that the manifest refers to as a blob: config and layers of an image, and the entries of an index
    /// that are not manifests by their media type. With [foreign](Descriptor::is_foreign) ones; in order, repeated if
    /// the manifest repeats them.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        let not_manifests = self.children().iter().filter(|child| child.media_type.kind().is_none());
        self.config.iter().chain(self.layers()).chain(not_manifests)
    }

    /// Every descriptor that the manifest has, whatever it describes: config, layers or entries, subject.
    pub fn descriptors(&self) -> impl Iterator<Item = &Descriptor> {
        self.config.iter().chain(&self.descriptors).chain(&self.subject)
    }

    /// The manifest that this one says something about. Docker's formats have none.
    pub fn subject(&self) -> Option<&Descriptor> {
        self.subject.as_ref()
    }

    /// What the referrers API calls the artifact type: `artifactType`, and failing that, for an image, the media type
    /// of its config.
    ///
    /// Spec: distribution-spec v1.1.1, "Listing Referrers".
    pub fn artifact_type(&self) -> Option<&str> {
        let config = || self.config.as_ref().map(|config| config.media_type.as_str());
        self.artifact_type.as_deref().or_else(config)
    }

    /// The annotations of the manifest itself.
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        &self.annotations
    }

    /// The digest of the bytes. Computed anew by each call.
    pub fn digest(&self, algorithm: Algorithm) -> Digest {
        Digest::of(algorithm, &self.bytes)
    }
}
