//! Images to push: config, layers and manifest, made from a seed.

use std::collections::BTreeMap;

use bytes::Bytes;
use registry_core::{
    digest::{Algorithm, Digest},
    types::{Descriptor, MediaType, Platform},
};
use serde_json::{Map, Value, json};

use crate::Random;

/// Bytes with their media type and digest: a blob, or a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// What the bytes are.
    pub media_type: MediaType,
    /// The bytes.
    pub bytes: Bytes,
    /// Their digest.
    pub digest: Digest,
}

impl Content {
    /// Bytes under their SHA-256.
    pub fn new(media_type: MediaType, bytes: impl Into<Bytes>) -> Content {
        Content::hashed(Algorithm::Sha256, media_type, bytes)
    }

    /// Bytes under a digest of this algorithm.
    pub fn hashed(algorithm: Algorithm, media_type: MediaType, bytes: impl Into<Bytes>) -> Content {
        let bytes = bytes.into();
        Content { media_type, digest: Digest::of(algorithm, &bytes), bytes }
    }

    /// A blob of random bytes.
    pub fn random(seed: u64, length_bytes: usize) -> Content {
        Content::new(MediaType::OCTET_STREAM, Random::seeded(seed).bytes(length_bytes))
    }

    /// What a manifest says of it.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new(self.media_type.clone(), self.digest, self.bytes.len() as u64)
    }
}

/// An image or another artifact: the blobs, in the order config, layers; and the manifest that refers to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Config and layers.
    pub blobs: Vec<Content>,
    /// The manifest.
    pub manifest: Content,
}

/// What an image is to be like.
#[derive(Clone, Debug)]
pub struct ImageOptions {
    /// Decides every random byte.
    pub seed: u64,
    /// How long each layer is.
    pub layers_bytes: Vec<usize>,
    /// With Docker's media types instead of OCI's.
    pub docker: bool,
    /// What the digests are made with.
    pub algorithm: Algorithm,
    /// What the manifest says something about.
    pub subject: Option<Descriptor>,
    /// The manifest's `artifactType`.
    pub artifact_type: Option<String>,
    /// The manifest's annotations.
    pub annotations: BTreeMap<String, String>,
}

impl ImageOptions {
    /// An OCI image with three small layers, hashed with SHA-256.
    pub fn seeded(seed: u64) -> ImageOptions {
        ImageOptions {
            seed,
            layers_bytes: vec![1000, 70_000, 3],
            docker: false,
            algorithm: Algorithm::Sha256,
            subject: None,
            artifact_type: None,
            annotations: BTreeMap::new(),
        }
    }

    /// Makes it.
    pub fn build(&self) -> Image {
        let mut random = Random::seeded(self.seed);
        let (config_type, layer_type, manifest_type) = if self.docker {
            (MediaType::DOCKER_CONFIG, MediaType::DOCKER_LAYER, MediaType::DOCKER_MANIFEST)
        } else {
            (MediaType::OCI_CONFIG, MediaType::OCI_LAYER_GZIP, MediaType::OCI_MANIFEST)
        };
        let config =
            json!({ "architecture": "amd64", "os": "linux", "made-from": random.number().to_string() });
        let config = Content::hashed(self.algorithm, config_type, config.to_string());
        let layers = self.layers_bytes.iter().map(|length_bytes| {
            Content::hashed(self.algorithm, layer_type.clone(), random.bytes(*length_bytes))
        });
        let blobs: Vec<Content> = std::iter::once(config).chain(layers).collect();
        let manifest = self.manifest(&blobs, &manifest_type);
        Image { manifest: Content::hashed(self.algorithm, manifest_type, manifest), blobs }
    }

    fn manifest(&self, blobs: &[Content], media_type: &MediaType) -> String {
        let descriptors: Vec<Descriptor> = blobs.iter().map(Content::descriptor).collect();
        let mut fields = Map::new();
        fields.insert("schemaVersion".into(), 2.into());
        fields.insert("mediaType".into(), media_type.as_str().into());
        fields.insert("config".into(), json!(descriptors[0]));
        fields.insert("layers".into(), json!(descriptors[1..]));
        if let Some(subject) = &self.subject {
            fields.insert("subject".into(), json!(subject));
        }
        if let Some(artifact_type) = &self.artifact_type {
            fields.insert("artifactType".into(), artifact_type.as_str().into());
        }
        if !self.annotations.is_empty() {
            fields.insert("annotations".into(), json!(self.annotations));
        }
        // Indented, as docker writes it: a registry that stored its own rendering would be found out.
        serde_json::to_string_pretty(&Value::Object(fields)).expect("the fields are representable in JSON")
    }
}

impl Image {
    /// An OCI image with three small layers.
    pub fn random(seed: u64) -> Image {
        ImageOptions::seeded(seed).build()
    }

    /// The same in Docker's schema 2.
    pub fn docker(seed: u64) -> Image {
        ImageOptions { docker: true, ..ImageOptions::seeded(seed) }.build()
    }

    /// A small artifact of a type that refers to `subject`, as signatures do.
    pub fn referrer(seed: u64, subject: Descriptor, artifact_type: &str) -> Image {
        let options = ImageOptions {
            layers_bytes: vec![64],
            subject: Some(subject),
            artifact_type: Some(artifact_type.to_owned()),
            ..ImageOptions::seeded(seed)
        };
        options.build()
    }

    /// The config.
    pub fn config(&self) -> &Content {
        &self.blobs[0]
    }

    /// The layers.
    pub fn layers(&self) -> &[Content] {
        &self.blobs[1..]
    }
}

/// Several images under one manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// The images.
    pub images: Vec<Image>,
    /// The manifest that refers to theirs.
    pub manifest: Content,
}

/// What the images of an index run on, in their order.
const ARCHITECTURES: [&str; 4] = ["amd64", "arm64", "s390x", "riscv64"];

impl Index {
    /// An index of such images, for linux on amd64, arm64 and so on; Docker's form if the first image is Docker's.
    pub fn of(images: Vec<Image>) -> Index {
        let is_docker =
            images.first().is_some_and(|image| image.manifest.media_type == MediaType::DOCKER_MANIFEST);
        let media_type = if is_docker { MediaType::DOCKER_LIST } else { MediaType::OCI_INDEX };
        let entry = |(image, architecture): (&Image, &&str)| Descriptor {
            platform: Some(Platform {
                os: "linux".to_owned(),
                architecture: (*architecture).to_owned(),
                ..Platform::default()
            }),
            ..image.manifest.descriptor()
        };
        let manifests: Vec<Descriptor> = images.iter().zip(ARCHITECTURES.iter().cycle()).map(entry).collect();
        let document =
            json!({ "schemaVersion": 2, "mediaType": media_type.as_str(), "manifests": manifests });
        let text = serde_json::to_string_pretty(&document).expect("the fields are representable in JSON");
        Index { images, manifest: Content::new(media_type, text) }
    }

    /// An index of so many random images.
    pub fn random(seed: u64, images: u64) -> Index {
        Index::of((0..images).map(|image| Image::random(seed * 1000 + image)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use registry_core::types::Manifest;

    #[test]
    fn a_seed_decides_every_byte() {
        assert_eq!(Image::random(1), Image::random(1));
        assert_ne!(Image::random(1).manifest.digest, Image::random(2).manifest.digest);
        assert_ne!(Image::random(1).blobs[0].digest, Image::random(2).blobs[0].digest);
    }

    #[test]
    fn manifests_are_what_the_types_accept() {
        let index = Index::random(3, 2);
        let referrer = Image::referrer(4, index.manifest.descriptor(), "application/vnd.test");
        for content in [&Image::docker(5).manifest, &index.manifest, &referrer.manifest] {
            Manifest::parse(Some(&content.media_type), content.bytes.clone()).unwrap();
        }
        let parsed = Manifest::parse(None, referrer.manifest.bytes.clone()).unwrap();
        assert_eq!(parsed.subject().unwrap().digest, index.manifest.digest);
    }
}
