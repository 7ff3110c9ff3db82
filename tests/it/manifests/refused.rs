//! What is refused, and how.

use super::refused_for_want_of;
use bytes::Bytes;
use registry_core::api::{UrlPattern, UrlPolicy};
use registry_core::types::{Descriptor, ErrorCode, MediaType};
use registry_testing::{Content, Image, ImageOptions, Index, ServerOptions, TestRegistry, UploadSession};
use serde_json::{Value, json};

/// Source: the Go registry's `policy.repository.classes`.
#[tokio::test]
async fn images_of_other_kinds_than_the_operator_lets_in_are_refused() {
    let config = "version: 0.1\npolicy: {repository: {classes: [image]}}\n";
    let server = ServerOptions::new().config(config).start().await;
    let client = server.client();
    let image = Image::random(1);
    client.push("app", "latest", &image).await.unwrap();
    let mut other: Value = serde_json::from_slice(&image.manifest.bytes).unwrap();
    for config in ["application/vnd.docker.plugin.v1+json", "application/vnd.cncf.helm.config.v1+json"] {
        other["config"]["mediaType"] = config.into();
        let put =
            client.put("/v2/app/manifests/other").header("content-type", MediaType::OCI_MANIFEST.to_string());
        let refused = put.body(other.to_string()).expect(403).await;
        assert_eq!(refused.error_code(), ErrorCode::Denied);
        assert!(refused.text().contains(config), "{}", refused.text());
    }
}

/// A server beside the registry has the files, and clients are sent there with the key of the object.
#[tokio::test]
async fn clients_are_sent_to_a_server_that_has_the_files() {
    let config = "version: 0.1\nmiddleware: {storage: [{name: redirect, options: {baseurl: 'https://cdn.example/files/'}}, \
                  {name: rewrite, options: {host: 'other.example:8443', trimpathprefix: /files}}]}\n";
    let server = ServerOptions::new().config(config).start().await;
    let (client, image) = (server.client(), Image::random(1));
    client.push("app", "latest", &image).await.unwrap();
    let blob = &image.blobs[0];
    let sent = client.get(&format!("/v2/app/blobs/{}", blob.digest)).expect(307).await;
    let key = sent.location().strip_prefix("https://other.example:8443/").unwrap();
    assert_eq!(std::fs::read(server.data().join(key)).unwrap(), blob.bytes);
    assert_eq!(sent.must_have("docker-content-digest"), blob.digest.to_string());
    client.head(&format!("/v2/app/blobs/{}", blob.digest)).expect(200).await;
    client.get("/v2/app/manifests/latest").expect(200).await;
}

#[tokio::test]
async fn what_is_no_manifest_is_refused() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let image = Image::random(1);
    client.push("app", "latest", &image).await.unwrap();
    let good: Value = serde_json::from_slice(&image.manifest.bytes).unwrap();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut manifest = good.clone();
        change(&mut manifest);
        manifest.to_string()
    };
    let (oci, index) = (MediaType::OCI_MANIFEST.to_string(), MediaType::OCI_INDEX.to_string());
    let docker = MediaType::DOCKER_MANIFEST.to_string();
    let cases = [
        ("not JSON", &oci, "{".to_owned()),
        ("nothing", &oci, String::new()),
        ("not an object", &oci, "[]".to_owned()),
        ("cut short", &oci, good.to_string()[..200].to_owned()),
        ("schema 1", &MediaType::DOCKER_SCHEMA1.to_string(), json!({ "schemaVersion": 1 }).to_string()),
        (
            "signed schema 1",
            &MediaType::DOCKER_SCHEMA1_SIGNED.to_string(),
            json!({ "schemaVersion": 1 }).to_string(),
        ),
        ("another type than it says", &docker, good.to_string()),
        ("an image sent as an index", &index, good.to_string()),
        ("no manifest's type", &"text/plain".to_owned(), good.to_string()),
        ("no type at all", &"x".to_owned(), good.to_string()),
        ("no config", &oci, with(&|manifest| drop(manifest.as_object_mut().unwrap().remove("config")))),
        ("a digest that is none", &oci, with(&|manifest| manifest["config"]["digest"] = "sha256:abc".into())),
        ("an unknown algorithm", &oci, with(&|manifest| manifest["config"]["digest"] = "sha384:abcd".into())),
        ("a negative size", &oci, with(&|manifest| manifest["config"]["size"] = (-1).into())),
        ("layers that are none", &oci, with(&|manifest| manifest["layers"] = json!([1, 2]))),
        ("a field twice", &oci, good.to_string().replacen('{', "{\"schemaVersion\":2,", 1)),
    ];
    for (what, media_type, body) in cases {
        let put = client.put("/v2/app/manifests/bad").content_type(media_type).body(body);
        let response = put.send().await.unwrap();
        assert_eq!(response.status, 400, "{what}");
        assert_eq!(response.error_code(), ErrorCode::ManifestInvalid, "{what}");
        assert!(response.errors()[0].message.len() > 10, "{what}: {}", response.text());
    }
    client.get("/v2/app/manifests/bad").expect(404).await;
    client.pull("app", "latest", &image).await.unwrap();
}

#[tokio::test]
async fn references_that_are_none_are_refused() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let image = Image::random(1);
    client.push("app", "latest", &image).await.unwrap();
    let long = "t".repeat(129);
    for (reference, code) in [
        ("-begins-wrong", ErrorCode::TagInvalid),
        (".hidden", ErrorCode::TagInvalid),
        ("a%20b", ErrorCode::TagInvalid),
        (long.as_str(), ErrorCode::TagInvalid),
        ("sha256:abc", ErrorCode::DigestInvalid),
        ("md5:d41d8cd98f00b204e9800998ecf8427e", ErrorCode::DigestInvalid),
    ] {
        let path = format!("/v2/app/manifests/{reference}");
        let put =
            client.put(&path).content_type(&image.manifest.media_type).body(image.manifest.bytes.clone());
        assert_eq!(put.expect(400).await.error_code(), code, "{reference}");
        assert_eq!(client.get(&path).expect(400).await.error_code(), code, "{reference}");
    }
}

#[tokio::test]
async fn a_manifest_is_what_its_digest_says() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let (image, other) = (Image::random(1), Image::random(2));
    client.push("app", "latest", &image).await.unwrap();
    let put = client.put(&format!("/v2/app/manifests/{}", other.manifest.digest));
    let put = put.content_type(&image.manifest.media_type).body(image.manifest.bytes.clone());
    let error = put.expect(400).await.errors().remove(0);
    assert_eq!(error.code, ErrorCode::DigestInvalid);
    assert_eq!(error.detail.unwrap()["actual"], image.manifest.digest.to_string());
    client.get(&format!("/v2/app/manifests/{}", other.manifest.digest)).expect(404).await;
}

#[tokio::test]
async fn every_missing_blob_is_named() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let client = registry.client();
    let image = Image::random(3);
    // Elsewhere is not here.
    client.push("elsewhere", "latest", &image).await.unwrap();
    client.push_blob("app", &image.blobs[1]).await.unwrap();
    let missing = [&image.blobs[0], &image.blobs[2], &image.blobs[3]];
    refused_for_want_of(&client, "app", &image.manifest, &missing).await;
    for blob in missing {
        client.push_blob("app", blob).await.unwrap();
    }
    client.push("app", "latest", &image).await.unwrap();
}

#[tokio::test]
async fn every_missing_child_is_named() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let client = registry.client();
    let index = Index::random(4, 3);
    client.push("app", "one", &index.images[1]).await.unwrap();
    let missing = [&index.images[0].manifest, &index.images[2].manifest];
    refused_for_want_of(&client, "app", &index.manifest, &missing).await;
}

#[tokio::test]
async fn an_upload_in_progress_is_no_blob() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let client = registry.client();
    let image = ImageOptions { layers_bytes: vec![10], ..ImageOptions::seeded(28) }.build();
    client.push_blob("app", image.config()).await.unwrap();
    let session = client.begin_upload("app").await.unwrap();
    let layer = &image.layers()[0];
    let patch = client.patch(&session.location).body(layer.bytes.clone()).expect(202).await;
    client.head(&format!("/v2/app/blobs/{}", layer.digest)).expect(404).await;
    refused_for_want_of(&client, "app", &image.manifest, &[layer]).await;
    let session = UploadSession::of(&patch).unwrap();
    client.finish_upload(&session, &layer.digest, Bytes::new()).await.unwrap();
    client.push_manifest("app", "latest", &image.manifest).await.unwrap();
}

#[tokio::test]
async fn layers_that_lie_elsewhere_need_leave() {
    let registry = TestRegistry::start().await;
    let pattern = "^https://mirror\\.example/".parse::<UrlPattern>().unwrap();
    let layer_urls = UrlPolicy::default().allow(vec![pattern]).deny(Vec::new());
    let open = TestRegistry::with_settings(TestRegistry::settings().layer_urls(layer_urls)).await;
    let foreign = |url: &str| {
        let image = Image::docker(18);
        let layer = Descriptor {
            urls: vec![url.to_owned()],
            media_type: MediaType::DOCKER_FOREIGN_LAYER,
            ..Content::random(19, 100).descriptor()
        };
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::DOCKER_MANIFEST,
            "config": image.config().descriptor(),
            "layers": [layer],
        });
        (image.config().clone(), Content::new(MediaType::DOCKER_MANIFEST, manifest.to_string()))
    };
    let (config, good) = foreign("https://mirror.example/layer");
    registry.client().push_blob("app", &config).await.unwrap();
    let put = registry
        .client()
        .put("/v2/app/manifests/latest")
        .content_type(&good.media_type)
        .body(good.bytes.clone());
    assert_eq!(put.expect(400).await.error_code(), ErrorCode::ManifestInvalid);

    let client = open.client();
    client.push_blob("app", &config).await.unwrap();
    client.push_manifest("app", "latest", &good).await.unwrap();
    for url in ["https://other.example/layer", "ftp://mirror.example/layer", "https://mirror.example/layer#x"]
    {
        let (_, bad) = foreign(url);
        let put = client.put("/v2/app/manifests/bad").content_type(&bad.media_type).body(bad.bytes.clone());
        assert_eq!(put.expect(400).await.error_code(), ErrorCode::ManifestInvalid, "{url}");
    }
}

/// Clients try the URLs of any descriptor first, so what may be named is decided for all of them.
#[tokio::test]
async fn every_descriptor_may_name_only_urls_that_are_allowed() {
    let closed = TestRegistry::start().await;
    let pattern = "^https://mirror\\.example/".parse::<UrlPattern>().unwrap();
    let layer_urls = UrlPolicy::default().allow(vec![pattern]).deny(Vec::new());
    let open = TestRegistry::with_settings(TestRegistry::settings().layer_urls(layer_urls)).await;
    let image = ImageOptions { layers_bytes: vec![10], ..ImageOptions::seeded(29) }.build();
    for registry in [&closed, &open] {
        registry.client().push("app", "whole", &image).await.unwrap();
    }
    let with_url = |content: &Content| Descriptor {
        urls: vec!["https://mirror.example/x".to_owned()],
        ..content.descriptor()
    };
    let of_image = |config: Descriptor, layer: Descriptor, subject: Option<Descriptor>| {
        json!({
            "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST,
            "config": config, "layers": [layer], "subject": subject,
        })
    };
    let (config, layer) = (image.config(), &image.layers()[0]);
    let cases = [
        ("config", MediaType::OCI_MANIFEST, of_image(with_url(config), layer.descriptor(), None)),
        ("layer", MediaType::OCI_MANIFEST, of_image(config.descriptor(), with_url(layer), None)),
        (
            "subject",
            MediaType::OCI_MANIFEST,
            of_image(config.descriptor(), layer.descriptor(), Some(with_url(&image.manifest))),
        ),
        (
            "child",
            MediaType::OCI_INDEX,
            json!({
                "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX,
                "manifests": [with_url(&image.manifest)],
            }),
        ),
    ];
    for (place, media_type, document) in cases {
        let manifest = Content::new(media_type, document.to_string());
        let put = |registry: &TestRegistry| {
            let put = registry.client().put(&format!("/v2/app/manifests/{place}"));
            put.content_type(&manifest.media_type).body(manifest.bytes.clone())
        };
        let refused = put(&closed).expect(400).await;
        assert_eq!(refused.error_code(), ErrorCode::ManifestInvalid, "{place}");
        put(&open).expect(201).await;
    }
}
