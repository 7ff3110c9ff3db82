//! The shapes that clients push. Digests and sizes are made up, everything else is as the programs write it.

use super::*;

#[test]
fn docker_push() {
    let document = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": descriptor("application/vnd.docker.container.image.v1+json", "config"),
        "layers": [descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip", "layer")],
    });
    // Docker indents by three spaces, so the bytes are nothing that a serialiser would write again.
    let bytes = format!("{document:#}").replace("  ", "   ");
    let manifest = Manifest::parse(Some(&MediaType::DOCKER_MANIFEST), bytes.clone().into()).unwrap();
    assert_eq!(manifest.kind(), ManifestKind::Image);
    assert_eq!(manifest.bytes(), bytes.as_bytes());
    assert_eq!(digests(manifest.blobs()), [digest("config"), digest("layer")]);
}

#[test]
fn docker_push_of_a_windows_image() {
    let foreign = with(
        descriptor("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "base"),
        json!({"urls": ["https://mcr.microsoft.com/v2/windows/blobs/sha256:0"]}),
    );
    let document = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": descriptor("application/vnd.docker.container.image.v1+json", "config"),
        "layers": [foreign, descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip", "layer")],
    });
    let manifest = parse(&MediaType::DOCKER_MANIFEST, &document).unwrap();
    let needed = manifest.blobs().filter(|blob| !blob.is_foreign());
    assert_eq!(digests(needed), [digest("config"), digest("layer")]);
}

#[test]
fn docker_manifest_push() {
    let platform = json!({"platform": {
        "architecture": "amd64", "os": "windows", "os.version": "10.0.20348.2700", "features": ["sse4"],
    }});
    let document = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.list.v2+json",
        "manifests": [with(descriptor("application/vnd.docker.distribution.manifest.v2+json", "child"), platform)],
    });
    let manifest = parse(&MediaType::DOCKER_LIST, &document).unwrap();
    assert_eq!(manifest.kind(), ManifestKind::Index);
    let platform = manifest.children()[0].platform.as_ref().unwrap();
    assert_eq!(platform.os_version.as_deref(), Some("10.0.20348.2700"));
}

#[test]
fn buildx_with_attestations() {
    let attestation = with(
        descriptor("application/vnd.oci.image.manifest.v1+json", "attestation"),
        json!({
            "annotations": {
                "vnd.docker.reference.digest": digest("amd64"),
                "vnd.docker.reference.type": "attestation-manifest",
            },
            "platform": {"architecture": "unknown", "os": "unknown"},
        }),
    );
    let mut document = index();
    document["manifests"].as_array_mut().unwrap().push(attestation);
    let manifest = parse(&MediaType::OCI_INDEX, &document).unwrap();
    let attestation = manifest.child_manifests().last().unwrap();
    assert_eq!(attestation.platform.as_ref().unwrap().os, "unknown");
    assert_eq!(attestation.annotations["vnd.docker.reference.type"], "attestation-manifest");
}

/// An index whose entries are blobs, as `cache-to=type=registry` writes it unless told `image-manifest=true`.
#[test]
fn buildkit_cache() {
    let document = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [
            with(
                descriptor("application/vnd.oci.image.layer.v1.tar+gzip", "layer"),
                json!({"annotations": {"buildkit/createdat": "2025-01-01T00:00:00Z", "containerd.io/uncompressed": "x"}}),
            ),
            descriptor("application/vnd.buildkit.cacheconfig.v0", "cache config"),
        ],
    });
    let manifest = parse(&MediaType::OCI_INDEX, &document).unwrap();
    assert_eq!(manifest.children().len(), 2);
    assert_eq!(manifest.child_manifests().count(), 0);
    assert_eq!(digests(manifest.blobs()), [digest("layer"), digest("cache config")]);
}

#[test]
fn oras_push() {
    let title = json!({"annotations": {"org.opencontainers.image.title": "hello.txt"}});
    // The media type of a file is what the user typed.
    for file_type in ["text/plain", "text/plain;charset=utf-8", "hello"] {
        let document = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "artifactType": "application/vnd.acme.rocket",
            "config": with(descriptor("application/vnd.oci.empty.v1+json", "{}"), json!({"data": "e30="})),
            "layers": [with(descriptor(file_type, "file"), title.clone())],
            "annotations": {"org.opencontainers.image.created": "2025-01-01T00:00:00Z"},
        });
        let manifest = parse(&MediaType::OCI_MANIFEST, &document).unwrap();
        assert_eq!(manifest.artifact_type(), Some("application/vnd.acme.rocket"));
        assert_eq!(manifest.config().unwrap().data.as_deref(), Some("e30="));
        assert_eq!(manifest.layers()[0].media_type, file_type);
    }
}

#[test]
fn oras_attach() {
    let subject = descriptor("application/vnd.oci.image.manifest.v1+json", "subject");
    let empty = descriptor("application/vnd.oci.empty.v1+json", "{}");
    let document = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.example.signature",
        "config": empty, "layers": [empty], "subject": subject,
    });
    let manifest = parse(&MediaType::OCI_MANIFEST, &document).unwrap();
    assert_eq!(manifest.subject().unwrap().digest, digest("subject"));
    assert_eq!(digests(manifest.blobs()), [digest("{}"), digest("{}")]);
}

#[test]
fn cosign_sign() {
    let signature = with(
        descriptor("application/vnd.dev.cosign.simplesigning.v1+json", "payload"),
        json!({"annotations": {"dev.cosignproject.cosign/signature": "MEUC", "dev.sigstore.cosign/bundle": "{\"a\":\"b\"}"}}),
    );
    let document = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", "config"),
        "layers": [signature],
    });
    let manifest = parse(&MediaType::OCI_MANIFEST, &document).unwrap();
    assert_eq!(manifest.layers()[0].annotations["dev.sigstore.cosign/bundle"], "{\"a\":\"b\"}");
}

/// Helm's library for pushing did not always write `mediaType`.
#[test]
fn helm_push() {
    let document = json!({
        "schemaVersion": 2,
        "config": descriptor("application/vnd.cncf.helm.config.v1+json", "config"),
        "layers": [
            descriptor("application/vnd.cncf.helm.chart.content.v1.tar+gzip", "chart"),
            descriptor("application/vnd.cncf.helm.chart.provenance.v1.prov", "provenance"),
        ],
        "annotations": {"org.opencontainers.image.title": "chart", "org.opencontainers.image.version": "1.0.0"},
    });
    let manifest = parse(&MediaType::OCI_MANIFEST, &document).unwrap();
    assert_eq!(manifest.artifact_type(), Some("application/vnd.cncf.helm.config.v1+json"));
    assert_eq!(manifest.annotations()["org.opencontainers.image.version"], "1.0.0");
}

/// Docker's formats do not name `subject`, and clients attach to such images all the same.
#[test]
fn docker_formats_have_a_subject_too() {
    let document = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": descriptor("application/vnd.docker.container.image.v1+json", "config"),
        "layers": [],
        "subject": descriptor("application/vnd.docker.distribution.manifest.v2+json", "subject"),
    });
    let manifest = parse(&MediaType::DOCKER_MANIFEST, &document).unwrap();
    assert_eq!(manifest.subject().unwrap().digest, digest("subject"));
}
