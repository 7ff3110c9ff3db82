//! What is pushed comes back, byte for byte.

use bytes::Bytes;
use futures_util::future::join_all;
use registry_core::{digest::Algorithm, types::MediaType};
use registry_testing::{Client, Content, Image, ImageOptions, Index, Protocol, Random, Server, TestRegistry};

#[tokio::test]
async fn images_of_every_kind_come_back() {
    for registry in [TestRegistry::start().await, TestRegistry::on_disk(|builder| builder).await] {
        let client = registry.client();
        for image in [Image::random(1), Image::docker(2)] {
            client.push("team/app", "latest", &image).await.unwrap();
            client.pull("team/app", "latest", &image).await.unwrap();
            client.pull("team/app", &image.manifest.digest.to_string(), &image).await.unwrap();
        }
    }
}

#[tokio::test]
async fn indexes_come_back_with_their_images() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let client = registry.client();
    let list = Index::of(vec![Image::docker(11), Image::docker(12)]);
    for index in [Index::random(1, 3), list] {
        client.push_index("multi", "latest", &index).await.unwrap();
        client.pull_index("multi", "latest", &index).await.unwrap();
        client.pull_index("multi", &index.manifest.digest.to_string(), &index).await.unwrap();
    }
}

#[tokio::test]
async fn sha512_does_everywhere() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let client = registry.client();
    let image = ImageOptions { algorithm: Algorithm::Sha512, ..ImageOptions::seeded(5) }.build();
    let digest = image.manifest.digest.to_string();
    client.push("strong", &digest, &image).await.unwrap();
    client.pull("strong", &digest, &image).await.unwrap();

    let signature = Image::referrer(6, image.manifest.descriptor(), "application/vnd.test.signature");
    client.push("strong", &signature.manifest.digest.to_string(), &signature).await.unwrap();
    let referrers = client.get(&format!("/v2/strong/referrers/{digest}")).expect(200).await.json();
    assert_eq!(referrers["manifests"][0]["digest"], signature.manifest.digest.to_string());
}

#[tokio::test]
async fn the_binary_keeps_an_image_over_a_restart() {
    let server = Server::start().await;
    let image = Image::random(3);
    let index = Index::random(4, 2);
    server.client().push("app", "1.0", &image).await.unwrap();
    server.client().push_index("app", "all", &index).await.unwrap();
    let server = server.restart().await;
    server.client().pull("app", "1.0", &image).await.unwrap();
    server.client().pull_index("app", "all", &index).await.unwrap();
}

#[tokio::test]
async fn empty_blobs_are_blobs() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let client = registry.client();
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let empty = Content::hashed(algorithm, MediaType::OCTET_STREAM, Bytes::new());
        client.push_blob("empty", &empty).await.unwrap();
        client.pull_blob("empty", &empty).await.unwrap();
    }
}

#[tokio::test]
async fn sizes_around_every_buffer_come_back() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let client = registry.client();
    for around in [1024, 64 * 1024, 256 * 1024, 512 * 1024, 1024 * 1024] {
        for length_bytes in [around - 1, around, around + 1] {
            let blob = Content::random(length_bytes as u64, length_bytes);
            client.push_blob("sizes", &blob).await.unwrap();
            client.pull_blob("sizes", &blob).await.unwrap();
        }
    }
}

#[tokio::test]
async fn http2_pushes_and_pulls_with_prior_knowledge() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let client = registry.client().speaking(Protocol::Http2);
    let options = ImageOptions { layers_bytes: vec![3_000_000, 10], ..ImageOptions::seeded(8) };
    let image = options.build();
    client.push("h2", "latest", &image).await.unwrap();
    client.pull("h2", "latest", &image).await.unwrap();
    assert_eq!(client.get("/v2/").expect(200).await.version, http::Version::HTTP_2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_push_the_same_image_at_once() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let image = Image::random(9);
    let push = |number: usize| {
        let (client, image) = (registry.client(), image.clone());
        tokio::spawn(async move {
            let repository = format!("same/{}", number % 3);
            client.push(&repository, "latest", &image).await?;
            client.pull(&repository, "latest", &image).await
        })
    };
    for result in join_all((0..16).map(push)).await {
        result.unwrap().unwrap();
    }
    for repository in ["same/0", "same/1", "same/2"] {
        registry.client().pull(repository, "latest", &image).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_push_and_pull_different_images_at_once() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let work = |seed: u64| {
        let client = registry.client();
        tokio::spawn(async move {
            let image = Image::random(seed);
            client.push("many", &format!("t{seed}"), &image).await?;
            client.pull("many", &format!("t{seed}"), &image).await
        })
    };
    for result in join_all((100..124).map(work)).await {
        result.unwrap().unwrap();
    }
    let tags = registry.client().get("/v2/many/tags/list").expect(200).await.json();
    assert_eq!(tags["tags"].as_array().unwrap().len(), 24);
}

#[tokio::test]
async fn a_large_layer_costs_no_memory() {
    const LAYER_BYTES: usize = 128 * 1024 * 1024;
    const GROWTH_BYTES_MAX: u64 = 16 * 1024 * 1024;
    let server = Server::start().await;
    let client = server.client();
    client.push("warm", "up", &Image::random(1)).await.unwrap();
    let before = server.memory_bytes();

    let layer = Content::new(MediaType::OCI_LAYER, repeated(LAYER_BYTES));
    let session = client.begin_upload("large").await.unwrap();
    let patch = client.patch(&session.location).chunked(&layer.bytes, 64 * 1024);
    let most = most_memory_during(&server, patch.expect(202)).await;
    assert!(most < before + GROWTH_BYTES_MAX, "an upload took the server from {before} to {most} bytes");
    client.put(&session.closing(&layer.digest)).expect(201).await;

    let pull = client.get(&format!("/v2/large/blobs/{}", layer.digest)).expect(200);
    let most = most_memory_during(&server, pull).await;
    assert!(most < before + GROWTH_BYTES_MAX, "a download took the server from {before} to {most} bytes");
    client.pull_blob("large", &layer).await.unwrap();
}

/// The most memory that the server holds while a request runs, looked at every few milliseconds.
async fn most_memory_during<T>(server: &Server, request: impl Future<Output = T>) -> u64 {
    let mut most = server.memory_bytes();
    let mut request = std::pin::pin!(request);
    loop {
        let pause = tokio::time::sleep(std::time::Duration::from_millis(5));
        tokio::select! {
            _ = &mut request => return most.max(server.memory_bytes()),
            () = pause => most = most.max(server.memory_bytes()),
        }
    }
}

/// Random bytes, over and over: quick to make.
fn repeated(length_bytes: usize) -> Bytes {
    let block = Random::seeded(7).bytes(1024 * 1024);
    let mut bytes = Vec::with_capacity(length_bytes + block.len());
    while bytes.len() < length_bytes {
        bytes.extend_from_slice(&block);
    }
    bytes.truncate(length_bytes);
    bytes.into()
}

#[tokio::test]
async fn pushing_again_changes_nothing() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let client = registry.client();
    let image = Image::random(20);
    for _ in 0..3 {
        client.push("again", "latest", &image).await.unwrap();
        let blob = client.post(&format!("/v2/again/blobs/uploads/?digest={}", image.blobs[1].digest));
        blob.body(image.blobs[1].bytes.clone()).expect(201).await;
    }
    client.pull("again", "latest", &image).await.unwrap();
}

#[tokio::test]
async fn what_was_never_pushed_is_not_there() {
    let registry = TestRegistry::start().await;
    let client: Client = registry.client();
    let (image, absent) = (Image::random(21), Image::random(22));
    client.push("here", "latest", &image).await.unwrap();
    let (blob, manifest) = (absent.blobs[0].digest, absent.manifest.digest);
    for (path, code) in [
        (format!("/v2/here/blobs/{blob}"), "BLOB_UNKNOWN"),
        (format!("/v2/there/blobs/{}", image.blobs[0].digest), "BLOB_UNKNOWN"),
        (format!("/v2/here/manifests/{manifest}"), "MANIFEST_UNKNOWN"),
        ("/v2/here/manifests/absent".to_owned(), "MANIFEST_UNKNOWN"),
        ("/v2/there/manifests/latest".to_owned(), "MANIFEST_UNKNOWN"),
        (format!("/v2/there/manifests/{}", image.manifest.digest), "MANIFEST_UNKNOWN"),
        ("/v2/there/tags/list".to_owned(), "NAME_UNKNOWN"),
    ] {
        assert_eq!(client.get(&path).expect(404).await.error_code().as_str(), code, "{path}");
        assert!(client.head(&path).expect(404).await.body.is_empty());
    }
}
