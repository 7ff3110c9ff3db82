//! Manifests whose references have no target here.

use super::refused_for_want_of;
use registry_core::api::{ReferencePolicy, RequiredChildren};
use registry_core::types::Platform;
use registry_testing::{Image, Index, TestRegistry};

#[tokio::test]
async fn sparse_images_are_accepted_where_the_operator_says_so() {
    let references = ReferencePolicy::default().layers_optional(true);
    let settings = TestRegistry::settings().references(references);
    let registry = TestRegistry::with_settings(settings).await;
    let client = registry.client();
    let image = Image::random(16);
    client.push_manifest("sparse", "latest", &image.manifest).await.unwrap();
    client.pull_manifest("sparse", "latest", &image.manifest).await.unwrap();
    let layer = &image.blobs[1];
    client.get(&format!("/v2/sparse/blobs/{}", layer.digest)).expect(404).await;

    // What arrives later is linked, and then held.
    client.push_blob("sparse", layer).await.unwrap();
    client.pull_blob("sparse", layer).await.unwrap();
    client.delete(&format!("/v2/sparse/blobs/{}", layer.digest)).expect(409).await;
    client.delete(&format!("/v2/sparse/manifests/{}", image.manifest.digest)).expect(202).await;
    client.delete(&format!("/v2/sparse/blobs/{}", layer.digest)).expect(202).await;
}

#[tokio::test]
async fn sparse_indexes_are_accepted_where_the_operator_says_so() {
    let index = Index::random(17, 3);
    let platform = |architecture: &str| Platform {
        os: "linux".to_owned(),
        architecture: architecture.to_owned(),
        ..Platform::default()
    };
    let only_amd64 = RequiredChildren::Platforms(vec![platform("amd64")]);
    for (children, is_missing) in [(RequiredChildren::None, false), (only_amd64, true)] {
        let references = ReferencePolicy::default().children(children);
        let registry = TestRegistry::with_settings(TestRegistry::settings().references(references)).await;
        let client = registry.client();
        if is_missing {
            refused_for_want_of(&client, "sparse", &index.manifest, &[&index.images[0].manifest]).await;
            client.push("sparse", "child", &index.images[0]).await.unwrap();
        }
        client.push_manifest("sparse", "latest", &index.manifest).await.unwrap();
        client.pull_manifest("sparse", "latest", &index.manifest).await.unwrap();
        // A child that arrives later is held from then on.
        let late = &index.images[2];
        client.push("sparse", &late.manifest.digest.to_string(), late).await.unwrap();
        client.delete(&format!("/v2/sparse/manifests/{}", late.manifest.digest)).expect(409).await;
    }
}
