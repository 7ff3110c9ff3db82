//! What may be deleted, and what comes of it.

use registry_core::types::ErrorCode;
use registry_testing::{Content, Image, Index, TestRegistry};
use serde_json::json;

#[tokio::test]
async fn what_an_image_needs_is_not_deleted() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let client = registry.client();
    let index = Index::random(20, 2);
    client.push_index("app", "latest", &index).await.unwrap();
    let image = &index.images[0];
    for blob in &image.blobs {
        let response = client.delete(&format!("/v2/app/blobs/{}", blob.digest)).expect(409).await;
        refused_by(&response, &image.manifest);
    }
    let child = format!("/v2/app/manifests/{}", image.manifest.digest);
    refused_by(&client.delete(&child).expect(409).await, &index.manifest);
    client.pull_index("app", "latest", &index).await.unwrap();

    client.delete(&format!("/v2/app/manifests/{}", index.manifest.digest)).expect(202).await;
    client.delete(&child).expect(202).await;
    for blob in &image.blobs {
        client.delete(&format!("/v2/app/blobs/{}", blob.digest)).expect(202).await;
        client.get(&format!("/v2/app/blobs/{}", blob.digest)).expect(404).await;
    }
    client.pull("app", &index.images[1].manifest.digest.to_string(), &index.images[1]).await.unwrap();
}

/// The refusal names what stands in the way.
fn refused_by(response: &registry_testing::Response, manifest: &Content) {
    let error = response.errors().remove(0);
    assert_eq!(error.code, ErrorCode::Denied);
    assert!(error.message.contains(&manifest.digest.to_string()), "{}", error.message);
    assert_eq!(error.detail.unwrap()["referenced_by"], json!([manifest.digest]));
}

#[tokio::test]
async fn a_deleted_tag_leaves_its_manifest() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let image = Image::random(21);
    client.push("app", "one", &image).await.unwrap();
    client.push("app", "two", &image).await.unwrap();
    client.delete("/v2/app/manifests/one").expect(202).await;
    assert_eq!(
        client.get("/v2/app/manifests/one").expect(404).await.error_code(),
        ErrorCode::ManifestUnknown
    );
    client.pull("app", "two", &image).await.unwrap();
    client.pull("app", &image.manifest.digest.to_string(), &image).await.unwrap();
    assert_eq!(
        client.delete("/v2/app/manifests/one").expect(404).await.error_code(),
        ErrorCode::ManifestUnknown
    );
}

#[tokio::test]
async fn a_deleted_manifest_takes_its_tags_along() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let (image, other) = (Image::random(22), Image::random(23));
    client.push("app", "one", &image).await.unwrap();
    client.push("app", "two", &image).await.unwrap();
    client.push("app", "other", &other).await.unwrap();
    let path = format!("/v2/app/manifests/{}", image.manifest.digest);
    client.delete(&path).expect(202).await;
    for path in [path.as_str(), "/v2/app/manifests/one", "/v2/app/manifests/two"] {
        client.get(path).expect(404).await;
        assert_eq!(client.delete(path).expect(404).await.error_code(), ErrorCode::ManifestUnknown);
    }
    assert_eq!(client.get("/v2/app/tags/list").expect(200).await.json()["tags"], json!(["other"]));
    client.pull("app", "other", &other).await.unwrap();

    // And it can be pushed again.
    client.push("app", "one", &image).await.unwrap();
    client.pull("app", "one", &image).await.unwrap();
}

#[tokio::test]
async fn a_deleted_blob_can_be_pushed_again() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let client = registry.client();
    let blob = Content::random(24, 1000);
    let path = format!("/v2/app/blobs/{}", blob.digest);
    for _ in 0..3 {
        client.push_blob("app", &blob).await.unwrap();
        client.pull_blob("app", &blob).await.unwrap();
        client.delete(&path).expect(202).await;
        assert_eq!(client.delete(&path).expect(404).await.error_code(), ErrorCode::BlobUnknown);
    }
}

#[tokio::test]
async fn nothing_is_deleted_unless_the_operator_says_so() {
    let registry = TestRegistry::with_settings(TestRegistry::settings().delete_enabled(false)).await;
    let client = registry.client();
    let image = Image::random(25);
    client.push("app", "latest", &image).await.unwrap();
    for path in [
        "/v2/app/manifests/latest".to_owned(),
        format!("/v2/app/manifests/{}", image.manifest.digest),
        format!("/v2/app/blobs/{}", image.blobs[0].digest),
    ] {
        let response = client.delete(&path).expect(405).await;
        assert_eq!(response.error_code(), ErrorCode::Unsupported);
        assert!(response.text().contains("storage.delete.enabled"), "{}", response.text());
    }
    client.pull("app", "latest", &image).await.unwrap();
    // An upload is no content: its own client may take it back.
    let session = client.begin_upload("app").await.unwrap();
    client.delete(&session.location).expect(204).await;
}

#[tokio::test]
async fn a_registry_under_maintenance_takes_nothing() {
    let settings = TestRegistry::settings().read_only(true);
    let registry = TestRegistry::with_settings(settings).await;
    let client = registry.client();
    let image = Image::random(26);
    for request in [
        client.post("/v2/app/blobs/uploads/"),
        client.put("/v2/app/manifests/latest").body(image.manifest.bytes.clone()),
        client.delete("/v2/app/manifests/latest"),
        client.delete(&format!("/v2/app/blobs/{}", image.blobs[0].digest)),
    ] {
        assert_eq!(request.expect(405).await.error_code(), ErrorCode::Unsupported);
    }
    client.get("/v2/app/manifests/latest").expect(404).await;
    client.get("/v2/_catalog").expect(200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_that_races_a_delete_is_whole_or_refused() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    for seed in 200..215 {
        let image = Image::random(seed);
        let client = registry.client();
        for blob in &image.blobs {
            client.push_blob("race", blob).await.unwrap();
        }
        let deletes = image.blobs.iter().map(|blob| {
            let delete = registry.client().delete(&format!("/v2/race/blobs/{}", blob.digest));
            tokio::spawn(delete.send())
        });
        let deletes: Vec<_> = deletes.collect();
        let put = client.put("/v2/race/manifests/latest").content_type(&image.manifest.media_type);
        let put = put.body(image.manifest.bytes.clone()).send().await.unwrap();
        for delete in deletes {
            let status = delete.await.unwrap().unwrap().status.as_u16();
            assert!(matches!(status, 202 | 409), "{status}");
        }
        match put.status.as_u16() {
            201 => client.pull("race", "latest", &image).await.unwrap(),
            400 => assert_eq!(put.error_code(), ErrorCode::ManifestBlobUnknown),
            status => panic!("seed {seed}: {status} {}", put.text()),
        }
    }
}
