use std::collections::BTreeMap;

use registry_digest::{Digest, ParseDigestError};
use serde::{Deserialize, Deserializer, Serialize, de};
use thiserror::Error;

use crate::{
    MediaType, ParseMediaTypeError, Platform,
    manifest::{Object, RawDescriptor},
};

/// The largest size that a descriptor may state, in bytes: clients and databases count in 63 bits.
pub const DESCRIPTOR_SIZE_MAX: u64 = i64::MAX as u64;

/// A reference to content: what it is, its address, and how long it is.
///
/// As JSON, empty and absent fields are left out; fields that are not known are ignored when it is read.
///
/// Spec: image-spec v1.1.1, "OCI Content Descriptors".
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the content is, as the document has it.
    pub media_type: MediaType,
    /// The content's address.
    pub digest: Digest,
    /// The content's size in bytes, at most [`DESCRIPTOR_SIZE_MAX`].
    pub size: u64,
    /// Where else the content can be had.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// Arbitrary data about the content.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// What the artifact is, if the content is a manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// What the image runs on, if the content is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// The content itself in base64, as the document has it: neither decoded nor compared with the digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
}

/// What is wrong with a descriptor.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum DescriptorError {
    /// A field that must be there is not, or it is empty or null.
    #[error("is missing")]
    Missing {
        /// Its name in JSON.
        field: &'static str,
    },
    /// `mediaType` is not one.
    #[error("{0}")]
    MediaType(ParseMediaTypeError),
    /// `digest` is not one.
    #[error("{0}")]
    Digest(ParseDigestError),
    /// `size` is negative, not whole, or more than [`DESCRIPTOR_SIZE_MAX`].
    #[error("is not a whole number from 0 to {DESCRIPTOR_SIZE_MAX}")]
    Size,
    /// A field stands there twice, so that two readers may see two descriptors.
    #[error("stands there twice")]
    Duplicate {
        /// Its name, cut to 100 bytes.
        name: String,
    },
    /// A field that some readers take for a known one, since they ignore case.
    #[error("is read as {field:?} by some clients")]
    Lookalike {
        /// Its name, cut to 100 bytes.
        name: String,
        /// The one it would be taken for.
        field: &'static str,
    },
    /// More fields than [`MANIFEST_FIELDS_MAX`](crate::MANIFEST_FIELDS_MAX), in the descriptor or in its platform.
    #[error("has more than {limit} fields")]
    TooManyFields {
        /// The limit.
        limit: usize,
    },
}

impl DescriptorError {
    /// The name in JSON of the field that is wrong, with that of the part of the descriptor in which it stands:
    /// `digest`, `platform.os`. Empty if it is the descriptor as a whole.
    pub fn field(&self) -> &str {
        match self {
            DescriptorError::Missing { field } => field,
            DescriptorError::MediaType(_) => "mediaType",
            DescriptorError::Digest(_) => "digest",
            DescriptorError::Size => "size",
            DescriptorError::Duplicate { name } | DescriptorError::Lookalike { name, .. } => name,
            DescriptorError::TooManyFields { .. } => "",
        }
    }
}

impl Descriptor {
    /// A descriptor with the three fields that each must have.
    pub fn new(media_type: MediaType, digest: Digest, size: u64) -> Descriptor {
        Descriptor {
            media_type,
            digest,
            size,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
            artifact_type: None,
            platform: None,
            data: None,
        }
    }

    /// Whether the content is to be fetched from elsewhere, so that a registry need not have it: it has `urls` and is
    /// not an ordinary layer. The Go registry draws the line in the same place.
    pub fn is_foreign(&self) -> bool {
        const ORDINARY: [&str; 2] =
            ["application/vnd.oci.image.layer.v1.", "application/vnd.docker.image.rootfs.diff."];
        !self.urls.is_empty() && !ORDINARY.iter().any(|layer| self.media_type.as_str().starts_with(layer))
    }
}

impl<'de> Deserialize<'de> for Descriptor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Object::<RawDescriptor<'de>>::deserialize(deserializer)?;
        raw.check()
            .map_err(|error| de::Error::custom(format_args!("`{}` {error}", error.field().escape_debug())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: Digest =
        registry_digest::digest!("sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");

    #[test]
    fn empty_fields_are_left_out() {
        let json = serde_json::to_string(&Descriptor::new(MediaType::OCI_EMPTY, DIGEST, 2)).unwrap();
        let expected =
            format!(r#"{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{DIGEST}","size":2}}"#);
        assert_eq!(json, expected);
    }

    #[test]
    fn a_full_descriptor_round_trips() {
        let full = serde_json::json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": DIGEST, "size": 7,
            "urls": ["https://example.com/x"], "annotations": {"a": "b"}, "artifactType": "text/x", "data": "e30=",
            "platform": {
                "architecture": "arm64", "os": "windows", "os.version": "10", "os.features": ["win32k"],
                "variant": "v8", "features": ["sse4"],
            },
        });
        let mut with_more = full.clone();
        with_more["org.example.more"] = serde_json::json!({"x": [1]});
        let descriptor: Descriptor = serde_json::from_value(with_more).unwrap();
        assert_eq!(serde_json::to_value(&descriptor).unwrap(), full);
    }

    #[test]
    fn a_mistake_names_its_field() {
        let json = format!(r#"{{"mediaType":"a/b","digest":"{DIGEST}","size":-1}}"#);
        let error = serde_json::from_str::<Descriptor>(&json).unwrap_err().to_string();
        assert!(error.starts_with("`size` is not a whole number from 0 to 9223372036854775807"), "{error}");
    }

    #[test]
    fn only_layers_that_are_marked_so_are_foreign() {
        let foreign = |media_type: &str, urls: &[&str]| {
            let mut layer = Descriptor::new(MediaType::verbatim(media_type).unwrap(), DIGEST, 1);
            layer.urls = urls.iter().map(|url| (*url).to_owned()).collect();
            layer.is_foreign()
        };
        let url = &["https://example.com/layer"][..];
        assert!(foreign("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", url));
        assert!(foreign("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", url));
        assert!(foreign("application/octet-stream", url));
        assert!(!foreign("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", &[]));
        assert!(!foreign("application/vnd.oci.image.layer.v1.tar+gzip", url));
        assert!(!foreign("application/vnd.docker.image.rootfs.diff.tar.gzip", url));
    }
}
