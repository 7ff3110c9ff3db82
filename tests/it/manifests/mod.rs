//! Manifests: what is accepted, what is refused and how, and what may be deleted.

mod accepted;
mod deletion;
mod refused;
mod sparse;

use registry_core::types::ErrorCode;
use registry_testing::{Client, Content};

/// A manifest is refused with one error for each missing digest.
pub(super) async fn refused_for_want_of(
    client: &Client,
    repository: &str,
    manifest: &Content,
    missing: &[&Content],
) {
    let put = client.put(&format!("/v2/{repository}/manifests/latest"));
    let response = put.content_type(&manifest.media_type).body(manifest.bytes.clone()).expect(400).await;
    let errors = response.errors();
    assert!(errors.iter().all(|error| error.code == ErrorCode::ManifestBlobUnknown), "{}", response.text());
    let digest = |error: &registry_core::types::ErrorEntry| {
        error.detail.as_ref().and_then(|detail| detail.as_str().map(str::to_owned)).unwrap()
    };
    let mut named: Vec<String> = errors.iter().map(digest).collect();
    let mut expected: Vec<String> = missing.iter().map(|content| content.digest.to_string()).collect();
    named.sort();
    expected.sort();
    assert_eq!(named, expected);
    client.get(&format!("/v2/{repository}/manifests/latest")).expect(404).await;
    client.get(&format!("/v2/{repository}/manifests/{}", manifest.digest)).expect(404).await;
}
