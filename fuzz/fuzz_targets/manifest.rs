#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use registry_types::{Descriptor, MANIFEST_DESCRIPTORS_MAX, Manifest, ManifestKind, MediaType};

fuzz_target!(|bytes: &[u8]| {
    let bytes = Bytes::copy_from_slice(bytes);
    for content_type in MediaType::MANIFESTS.iter().map(Some).chain([None]) {
        match Manifest::parse(content_type, bytes.clone()) {
            Ok(manifest) => check(&manifest, &bytes, content_type),
            Err(error) => assert!(error.to_string().len() < 1000, "an error repeats little of the manifest"),
        }
    }
});

fn check(manifest: &Manifest, bytes: &Bytes, content_type: Option<&MediaType>) {
    assert_eq!(manifest.bytes(), bytes);
    assert!(content_type.is_none_or(|content_type| content_type == manifest.media_type()));
    assert_eq!(manifest.media_type().kind(), Some(manifest.kind()));
    assert_eq!(manifest.config().is_some(), manifest.kind() == ManifestKind::Image);
    assert!(manifest.layers().len() + manifest.children().len() <= MANIFEST_DESCRIPTORS_MAX);
    assert_eq!(Manifest::parse(Some(manifest.media_type()), bytes.clone()).as_ref(), Ok(manifest));
    for descriptor in manifest.blobs().chain(manifest.children()).chain(manifest.subject()) {
        let json = serde_json::to_string(descriptor).expect("a descriptor can be written");
        assert_eq!(serde_json::from_str::<Descriptor>(&json).ok().as_ref(), Some(descriptor));
    }
}
