//! The shapes of the OCI conformance suite, under the names that it gives to its data sets. It pushes nothing but OCI
//! images and indexes, and no type that is not known.

use super::*;

fn accepted(document: &Value) -> Manifest {
    let media_type = document["mediaType"].as_str().unwrap();
    parse(&media_type.parse().unwrap(), document).unwrap()
}

fn artifact(artifact_type: &str, layer_type: &str) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": artifact_type,
        "config": descriptor("application/vnd.oci.empty.v1+json", "{}"),
        "layers": [descriptor(layer_type, "artifact layer")],
    })
}

const EXAMPLE: &str = "application/vnd.example.oci.conformance.v1";

#[test]
fn image_and_index() {
    let mut uncompressed = image();
    uncompressed["layers"][0]["mediaType"] = json!("application/vnd.oci.image.layer.v1.tar");
    assert_eq!(accepted(&uncompressed).layers().len(), 2);
    assert_eq!(accepted(&index()).children().len(), 2);
}

#[test]
fn image_with_large_manifest() {
    let annotations: serde_json::Map<String, Value> =
        (0..390).map(|number| (format!("large-annotation-{number}"), json!("A".repeat(10_000)))).collect();
    let manifest = accepted(&with(image(), json!({"annotations": annotations})));
    assert_eq!(manifest.annotations().len(), 390);
    assert!(manifest.bytes().len() > 3_900_000);
}

#[test]
fn nested_index() {
    let nested = descriptor("application/vnd.oci.image.index.v1+json", "inner index");
    let manifest = accepted(&with(index(), json!({"manifests": [nested]})));
    assert_eq!(digests(manifest.child_manifests()), [digest("inner index")]);
}

#[test]
fn empty_index() {
    assert!(accepted(&with(index(), json!({"manifests": []}))).children().is_empty());
}

#[test]
fn artifact_and_artifact_index() {
    assert_eq!(accepted(&artifact(EXAMPLE, EXAMPLE)).artifact_type(), Some(EXAMPLE));
    assert_eq!(accepted(&with(index(), json!({"artifactType": EXAMPLE}))).artifact_type(), Some(EXAMPLE));
}

#[test]
fn artifact_without_layers() {
    let empty = "application/vnd.oci.empty.v1+json";
    assert_eq!(accepted(&artifact(EXAMPLE, empty)).layers()[0].media_type, MediaType::OCI_EMPTY);
}

#[test]
fn artifacts_and_index_with_subject() {
    let subject = json!({
        "subject": descriptor("application/vnd.oci.image.manifest.v1+json", "subject"),
        "annotations": {"org.opencontainers.conformance": "hello conformance test"},
    });
    for document in [image(), artifact(EXAMPLE, "application/octet-stream"), index()] {
        let manifest = accepted(&with(document, subject.clone()));
        assert_eq!(manifest.subject().unwrap().digest, digest("subject"));
        assert_eq!(manifest.annotations().len(), 1);
    }
}

#[test]
fn data_field() {
    let data = json!({"data": "SSBhbSBhIGxheWVy"});
    let mut document = image();
    document["config"] = with(document["config"].take(), data.clone());
    document["layers"][1] = with(document["layers"][1].take(), data);
    assert_eq!(accepted(&document).layers()[1].data.as_deref(), Some("SSBhbSBhIGxheWVy"));
}

#[test]
fn non_distributable_layers() {
    let layer = |media_type, content| {
        let url = format!("https://store.example.com/blobs/{content}");
        with(descriptor(media_type, content), json!({"urls": [url], "size": 123456}))
    };
    let mut document = image();
    document["layers"][0] =
        layer("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "elsewhere 1");
    document["layers"][1] = layer("application/vnd.oci.image.layer.nondistributable.v1.tar", "elsewhere 2");
    let manifest = accepted(&document);
    assert!(manifest.layers().iter().all(Descriptor::is_foreign));
    assert_eq!(digests(manifest.blobs().filter(|blob| !blob.is_foreign())), [digest("config")]);
}

#[test]
fn custom_fields() {
    let custom = json!({"org.ABCDEFGHIJKLMNOPQRSTUVWXYZ": "something"});
    for document in [image(), index()] {
        accepted(&with(document, custom.clone()));
    }
}

#[test]
fn no_layers() {
    assert!(accepted(&with(image(), json!({"layers": []}))).layers().is_empty());
}

#[test]
fn digest_algorithm_sha512() {
    let mut document = image();
    let sha512 = Digest::of(Algorithm::Sha512, b"layer 1");
    document["layers"][0]["digest"] = json!(sha512);
    let manifest = accepted(&document);
    assert_eq!(manifest.layers()[0].digest, sha512);
    assert_ne!(manifest.digest(Algorithm::Sha512), sha512);
}

/// The suite pushes an image under the digest that it has without the white space at its end, and wants that refused:
/// the manifest is good, only its digest is another one, which is for the caller to compare.
#[test]
fn bad_digest_image() {
    let named = Digest::of(Algorithm::Sha256, image().to_string().as_bytes());
    let manifest = Manifest::parse(None, format!("{}  ", image()).into()).unwrap();
    assert_ne!(manifest.digest(Algorithm::Sha256), named);
}
