//! What clients push, and what is counted of it.

use bytes::Bytes;
use registry_digest::{Algorithm, Digest};
use registry_types::Manifest;

use crate::Quota;

/// Two quotas that overlap; for every third seed they are also so small that pushes are refused.
pub(super) fn quotas(seed: u64) -> Vec<Quota> {
    let limits = if seed.is_multiple_of(3) { (Some(2_500), Some(2)) } else { (None, None) };
    let quota = |prefix: &str| Quota {
        prefix: prefix.to_owned(),
        bytes_max: limits.0,
        held_max: limits.0,
        tags_max: limits.1,
    };
    vec![quota(""), quota("b/")]
}

pub(super) fn content(number: u64) -> Digest {
    Digest::of(Algorithm::Sha256, &number.to_le_bytes())
}

fn descriptor(media_type: &str, digest: &Digest) -> String {
    format!(r#"{{"mediaType":"application/vnd.oci.image.{media_type}","digest":"{digest}","size":1}}"#)
}

pub(super) fn image(layers: &[Digest; 2], subject: Option<Digest>) -> Manifest {
    let subject = subject
        .map(|subject| format!(r#","subject":{}"#, descriptor("manifest.v1+json", &subject)))
        .unwrap_or_default();
    parse(format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[{}]{subject}}}"#,
        descriptor("config.v1+json", &layers[0]),
        descriptor("layer.v1.tar", &layers[1]),
    ))
}

pub(super) fn index(children: &[Digest]) -> Manifest {
    let children: Vec<String> = children.iter().map(|child| descriptor("manifest.v1+json", child)).collect();
    parse(format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{}]}}"#,
        children.join(",")
    ))
}

fn parse(document: String) -> Manifest {
    Manifest::parse(None, Bytes::from(document)).unwrap()
}
