//! What is accepted, by whom it is sent, and what is refused.

mod clients;
mod conformance;
mod go;
mod properties;
mod refusals;

use bytes::Bytes;
use registry_digest::{Algorithm, Digest};
use serde_json::{Value, json};

use super::*;

fn parse(content_type: &MediaType, document: &Value) -> Result<Manifest, ManifestError> {
    Manifest::parse(Some(content_type), document.to_string().into())
}

fn digest(content: &str) -> Digest {
    Digest::of(Algorithm::Sha256, content.as_bytes())
}

/// A descriptor of a content that is its own name.
fn descriptor(media_type: &str, content: &str) -> Value {
    json!({"mediaType": media_type, "digest": digest(content), "size": content.len()})
}

/// A descriptor and more fields.
fn with(mut document: Value, more: Value) -> Value {
    let (Value::Object(document_fields), Value::Object(more)) = (&mut document, more) else {
        panic!("both are objects")
    };
    document_fields.extend(more);
    document
}

fn image() -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", "config"),
        "layers": [
            descriptor("application/vnd.oci.image.layer.v1.tar+gzip", "layer 1"),
            descriptor("application/vnd.oci.image.layer.v1.tar+gzip", "layer 2"),
        ],
    })
}

fn index() -> Value {
    let platform = |architecture| json!({"platform": {"architecture": architecture, "os": "linux"}});
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [
            with(descriptor("application/vnd.oci.image.manifest.v1+json", "amd64"), platform("amd64")),
            with(descriptor("application/vnd.oci.image.manifest.v1+json", "arm64"), platform("arm64")),
        ],
    })
}

fn digests<'m>(descriptors: impl IntoIterator<Item = &'m Descriptor>) -> Vec<Digest> {
    descriptors.into_iter().map(|descriptor| descriptor.digest).collect()
}

#[test]
fn an_image_has_a_config_and_layers() {
    let manifest = parse(&MediaType::OCI_MANIFEST, &image()).unwrap();
    assert_eq!((manifest.kind(), manifest.media_type()), (ManifestKind::Image, &MediaType::OCI_MANIFEST));
    assert_eq!(manifest.config().unwrap().digest, digest("config"));
    assert_eq!(digests(manifest.layers()), [digest("layer 1"), digest("layer 2")]);
    assert_eq!(digests(manifest.blobs()), [digest("config"), digest("layer 1"), digest("layer 2")]);
    assert!(
        manifest.children().is_empty() && manifest.subject().is_none() && manifest.annotations().is_empty()
    );
}

#[test]
fn every_descriptor_is_listed_whatever_it_describes() {
    let subject = json!({"subject": descriptor("application/vnd.oci.image.manifest.v1+json", "subject")});
    let manifest = parse(&MediaType::OCI_MANIFEST, &with(image(), subject.clone())).unwrap();
    let expected = ["config", "layer 1", "layer 2", "subject"].map(digest);
    assert_eq!(digests(manifest.descriptors()), expected);
    let manifest = parse(&MediaType::OCI_INDEX, &with(index(), subject)).unwrap();
    assert_eq!(digests(manifest.descriptors()), ["amd64", "arm64", "subject"].map(digest));
}

#[test]
fn an_index_has_children() {
    let manifest = parse(&MediaType::OCI_INDEX, &index()).unwrap();
    assert_eq!((manifest.kind(), manifest.media_type()), (ManifestKind::Index, &MediaType::OCI_INDEX));
    assert_eq!(digests(manifest.children()), [digest("amd64"), digest("arm64")]);
    assert_eq!(digests(manifest.child_manifests()), digests(manifest.children()));
    assert_eq!(manifest.children()[1].platform.as_ref().unwrap().architecture, "arm64");
    assert!(manifest.config().is_none() && manifest.layers().is_empty() && manifest.blobs().next().is_none());
    assert_eq!(manifest.artifact_type(), None);
}

#[test]
fn the_bytes_stay_as_they_were_sent() {
    let sent = Bytes::from(format!(" \n{:#}\t\n", image()));
    let manifest = Manifest::parse(None, sent.clone()).unwrap();
    assert_eq!(manifest.bytes(), &sent);
    for algorithm in Algorithm::ALL {
        assert_eq!(manifest.digest(algorithm), Digest::of(algorithm, &sent));
    }
}

#[test]
fn the_type_comes_from_the_request_or_the_document() {
    let mut document = image();
    assert!(Manifest::parse(None, document.to_string().into()).is_ok());
    for absent in [json!(null), json!("")] {
        document["mediaType"] = absent;
        let manifest = parse(&MediaType::OCI_MANIFEST, &document).unwrap();
        assert_eq!(manifest.media_type(), &MediaType::OCI_MANIFEST);
    }
    document.as_object_mut().unwrap().remove("mediaType");
    assert!(parse(&MediaType::OCI_MANIFEST, &document).is_ok());
    let error = Manifest::parse(None, document.to_string().into()).unwrap_err();
    assert_eq!(error, ManifestError::UnsupportedMediaType { media_type: None });
}

#[test]
fn the_artifact_type_is_named_or_that_of_the_config() {
    let mut document = image();
    let artifact_type = |document: &Value| {
        let manifest = Manifest::parse(None, document.to_string().into()).unwrap();
        manifest.artifact_type().map(str::to_owned)
    };
    assert_eq!(artifact_type(&document).as_deref(), Some("application/vnd.oci.image.config.v1+json"));
    document["artifactType"] = json!("");
    assert_eq!(artifact_type(&document).as_deref(), Some("application/vnd.oci.image.config.v1+json"));
    document["artifactType"] = json!("application/vnd.example+type");
    assert_eq!(artifact_type(&document).as_deref(), Some("application/vnd.example+type"));
    let document = with(index(), json!({"artifactType": "application/vnd.example+type"}));
    assert_eq!(artifact_type(&document).as_deref(), Some("application/vnd.example+type"));
}

#[test]
fn null_is_the_same_as_absent() {
    let nothing = json!({"subject": null, "annotations": null, "artifactType": null});
    let image = with(with(image(), nothing.clone()), json!({"layers": null, "manifests": null}));
    assert!(parse(&MediaType::OCI_MANIFEST, &image).unwrap().layers().is_empty());
    let index = with(with(index(), nothing), json!({"manifests": null, "config": null, "layers": null}));
    assert!(parse(&MediaType::OCI_INDEX, &index).unwrap().children().is_empty());
}
