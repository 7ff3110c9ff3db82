//! What is accepted, and what it is then.

use super::refused_for_want_of;
use bytes::Bytes;
use registry_core::types::{Descriptor, ErrorCode, MANIFEST_BYTES_MAX, MediaType};
use registry_testing::{Content, Image, ImageOptions, Index, TestRegistry};
use serde_json::{Value, json};

#[tokio::test]
async fn manifests_of_four_mebibytes_are_accepted_and_no_larger_ones() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let client = registry.client();
    let image = Image::random(5);
    client.push("large", "latest", &image).await.unwrap();
    let padded = |length_bytes: usize| {
        let text = String::from_utf8(image.manifest.bytes.to_vec()).unwrap();
        let padding = length_bytes - text.len();
        Content::new(MediaType::OCI_MANIFEST, format!("{}{text}", " ".repeat(padding)))
    };
    let largest = padded(MANIFEST_BYTES_MAX);
    client.push_manifest("large", "largest", &largest).await.unwrap();
    client.pull_manifest("large", "largest", &largest).await.unwrap();

    let too_large = padded(MANIFEST_BYTES_MAX + 1);
    let put = || client.put("/v2/large/manifests/too").content_type(&too_large.media_type);
    for request in [put().body(too_large.bytes.clone()), put().chunked(&too_large.bytes, 100_000)] {
        // The answer may come while the client still sends.
        match request.send().await {
            Ok(response) => {
                assert_eq!(response.status, 413);
                assert_eq!(response.error_code(), ErrorCode::ManifestInvalid);
            }
            Err(error) => assert!(error.is_disconnect(), "{error}"),
        }
    }
    client.get("/v2/large/manifests/too").expect(404).await;
}

#[tokio::test]
async fn a_push_by_digest_sets_the_tags_of_its_query() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let image = Image::random(6);
    let digest = image.manifest.digest;
    client.push("app", &digest.to_string(), &image).await.unwrap();
    client.get("/v2/app/manifests/v1").expect(404).await;

    let put = client.put(&format!("/v2/app/manifests/{digest}?tag=v1&tag=v1.2&tag=latest"));
    let response =
        put.content_type(&image.manifest.media_type).body(image.manifest.bytes.clone()).expect(201).await;
    let told: Vec<_> = response.headers.get_all("oci-tag").iter().map(|tag| tag.to_str().unwrap()).collect();
    assert_eq!(told, ["v1", "v1.2", "latest"]);
    for tag in ["v1", "v1.2", "latest"] {
        client.pull_manifest("app", tag, &image.manifest).await.unwrap();
    }
    let tags: Vec<String> = (0..=100).map(|number| format!("tag=t{number}")).collect();
    let put = client.put(&format!("/v2/app/manifests/{digest}?{}", tags.join("&")));
    let put = put.content_type(&image.manifest.media_type).body(image.manifest.bytes.clone());
    assert_eq!(put.expect(414).await.error_code(), ErrorCode::TagInvalid);
    let put = client.put(&format!("/v2/app/manifests/{digest}?tag=good&tag=.bad"));
    let put = put.content_type(&image.manifest.media_type).body(image.manifest.bytes.clone());
    assert_eq!(put.expect(400).await.error_code(), ErrorCode::TagInvalid);
    client.get("/v2/app/manifests/good").expect(404).await;
}

#[tokio::test]
async fn a_tag_leads_where_it_was_set_last() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let (first, second) = (Image::random(7), Image::random(8));
    for image in [&first, &second, &first] {
        client.push("app", "latest", image).await.unwrap();
        client.pull("app", "latest", image).await.unwrap();
    }
    client.pull("app", &second.manifest.digest.to_string(), &second).await.unwrap();
}

#[tokio::test]
async fn a_subject_is_acknowledged() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let (image, absent) = (Image::random(9), Image::random(10));
    client.push("app", "latest", &image).await.unwrap();
    // The subject need not be there yet.
    for subject in [&image.manifest, &absent.manifest] {
        let referrer = Image::referrer(11, subject.descriptor(), "application/vnd.test");
        for blob in &referrer.blobs {
            client.push_blob("app", blob).await.unwrap();
        }
        let response = client.push_manifest("app", "signature", &referrer.manifest).await.unwrap();
        assert_eq!(response.must_have("oci-subject"), subject.digest.to_string());
    }
    let response = client.push_manifest("app", "latest", &image.manifest).await.unwrap();
    assert_eq!(response.header("oci-subject"), None);
}

#[tokio::test]
async fn a_manifest_without_a_content_type_says_itself_what_it_is() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let image = Image::random(12);
    for blob in &image.blobs {
        client.push_blob("app", blob).await.unwrap();
    }
    client.put("/v2/app/manifests/latest").body(image.manifest.bytes.clone()).expect(201).await;
    client.pull("app", "latest", &image).await.unwrap();
    let with_parameters = format!("{}; charset=utf-8", image.manifest.media_type);
    client
        .put("/v2/app/manifests/b")
        .content_type(with_parameters)
        .body(image.manifest.bytes.clone())
        .expect(201)
        .await;
    client.pull("app", "b", &image).await.unwrap();

    let mut anonymous: Value = serde_json::from_slice(&image.manifest.bytes).unwrap();
    anonymous.as_object_mut().unwrap().remove("mediaType");
    let put = client.put("/v2/app/manifests/c").body(anonymous.to_string());
    assert_eq!(put.expect(400).await.error_code(), ErrorCode::ManifestInvalid);
    let anonymous = Content::new(MediaType::OCI_MANIFEST, anonymous.to_string());
    client.push_manifest("app", "c", &anonymous).await.unwrap();
    client.pull_manifest("app", "c", &anonymous).await.unwrap();
}

#[tokio::test]
async fn an_index_may_hold_layers_as_build_caches_do() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let (layer, config) = (Content::random(13, 5000), Content::random(14, 500));
    let entry = |content: &Content, media_type: &str| json!({ "mediaType": media_type, "digest": content.digest, "size": content.bytes.len() });
    let document = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_INDEX,
        "manifests": [
            entry(&layer, "application/vnd.oci.image.layer.v1.tar+gzip"),
            entry(&config, "application/vnd.buildkit.cacheconfig.v0"),
        ],
    });
    let cache = Content::new(MediaType::OCI_INDEX, document.to_string());
    refused_for_want_of(&client, "cache", &cache, &[&layer, &config]).await;
    client.push_blob("cache", &layer).await.unwrap();
    client.push_blob("cache", &config).await.unwrap();
    client.push_manifest("cache", "latest", &cache).await.unwrap();
    client.pull_manifest("cache", "latest", &cache).await.unwrap();
    // What it refers to is held as an image's layers are.
    client.delete(&format!("/v2/cache/blobs/{}", layer.digest)).expect(409).await;
}

#[tokio::test]
async fn an_index_may_hold_indexes() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let inner = Index::random(15, 2);
    client.push_index("nested", "inner", &inner).await.unwrap();
    let document = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_INDEX,
        "manifests": [inner.manifest.descriptor()],
    });
    let outer = Content::new(MediaType::OCI_INDEX, document.to_string());
    client.push_manifest("nested", "outer", &outer).await.unwrap();
    client.pull_manifest("nested", "outer", &outer).await.unwrap();
}

#[tokio::test]
async fn an_empty_config_is_a_config() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let empty = Content::new(MediaType::OCI_EMPTY, Bytes::from_static(b"{}"));
    let document = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_MANIFEST,
        "artifactType": "application/vnd.test",
        "config": empty.descriptor(),
        "layers": [empty.descriptor(), empty.descriptor()],
    });
    let artifact = Content::new(MediaType::OCI_MANIFEST, document.to_string());
    client.push_blob("artifact", &empty).await.unwrap();
    client.push_manifest("artifact", "latest", &artifact).await.unwrap();
    client.pull_manifest("artifact", "latest", &artifact).await.unwrap();
}

#[tokio::test]
async fn an_image_of_a_thousand_layers_is_accepted() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let image = ImageOptions { layers_bytes: vec![1], ..ImageOptions::seeded(27) }.build();
    client.push("thousand", "one", &image).await.unwrap();
    let layers: Vec<Descriptor> = vec![image.layers()[0].descriptor(); 1000];
    let document = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_MANIFEST,
        "config": image.config().descriptor(),
        "layers": layers,
    });
    let many = Content::new(MediaType::OCI_MANIFEST, document.to_string());
    client.push_manifest("thousand", "many", &many).await.unwrap();
    client.pull_manifest("thousand", "many", &many).await.unwrap();
}
