//! What is acknowledged holds while everybody pushes, tags, mounts and deletes at once.

use futures_util::future::join_all;
use registry_core::types::Manifest;
use registry_testing::{Client, Content, Image, ImageOptions, Random, TestRegistry};

/// How many clients do as they like at once, and how much each does.
const CLIENTS: u64 = 6;
const STEPS: u64 = 50;

/// Few, so that the clients meet.
const REPOSITORIES: [&str; 2] = ["chaos/one", "chaos/two"];
const IMAGES: u64 = 4;
const TAGS: [&str; 3] = ["a", "b", "c"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_is_there_is_whole() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let images: Vec<Image> = (0..IMAGES).map(image).collect();
    let seed = u64::from(std::process::id());
    eprintln!("seed {seed}");
    let clients = (0..CLIENTS).map(|number| {
        let (client, images) = (registry.client(), images.clone());
        tokio::spawn(async move {
            let mut random = Random::seeded(seed + number);
            for _ in 0..STEPS {
                step(&client, &mut random, &images).await;
            }
        })
    });
    for client in join_all(clients).await {
        client.unwrap();
    }
    // Nobody deletes any more: what is there now is there.
    for repository in REPOSITORIES {
        for image in &images {
            let digest = image.manifest.digest.to_string();
            if is_there(&registry.client(), repository, &digest).await {
                registry.client().pull(repository, &digest, image).await.unwrap();
            }
        }
        for tag in TAGS {
            check_tag(&registry.client(), repository, tag).await;
        }
    }
}

/// Images of which each shares a layer with every other.
fn image(number: u64) -> Image {
    let options =
        ImageOptions { layers_bytes: vec![2000 + number as usize], ..ImageOptions::seeded(500 + number) };
    let own = options.build();
    let shared = Content::random(499, 3000);
    let document = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": own.manifest.media_type,
        "config": own.config().descriptor(),
        "layers": [own.layers()[0].descriptor(), shared.descriptor()],
    });
    let manifest = Content::new(own.manifest.media_type.clone(), document.to_string());
    Image { blobs: own.blobs.into_iter().chain([shared]).collect(), manifest }
}

async fn step(client: &Client, random: &mut Random, images: &[Image]) {
    let (repository, image) = (*random.pick(&REPOSITORIES), random.pick(images));
    let (tag, blob) = (*random.pick(&TAGS), random.pick(&image.blobs));
    let base = format!("/v2/{repository}");
    match random.within(0..10) {
        0..=3 => push(client, repository, tag, image).await,
        4 => answered(client, &format!("{base}/manifests/{tag}"), &[202, 404]).await,
        5 => answered(client, &format!("{base}/manifests/{}", image.manifest.digest), &[202, 404]).await,
        6 => answered(client, &format!("{base}/blobs/{}", blob.digest), &[202, 404, 409]).await,
        7 => {
            let mount = format!("{base}/blobs/uploads/?mount={}", blob.digest);
            let status = client.post(&mount).send().await.unwrap().status;
            assert!(status == 201 || status == 202, "{status}");
        }
        _ => check_tag(client, repository, tag).await,
    }
}

/// Pushes an image. Others may delete its blobs before the manifest comes; then that is refused, and nothing else.
async fn push(client: &Client, repository: &str, tag: &str, image: &Image) {
    for blob in &image.blobs {
        client.push_blob(repository, blob).await.unwrap();
    }
    match client.push_manifest(repository, tag, &image.manifest).await {
        Ok(_) => {}
        Err(error) => assert_eq!(error.status(), Some(400), "{error}"),
    }
}

/// A deletion is answered with one of these.
async fn answered(client: &Client, path: &str, statuses: &[u16]) {
    let response = client.delete(path).send().await.unwrap();
    assert!(
        statuses.contains(&response.status.as_u16()),
        "DELETE {path}: {} {}",
        response.status,
        response.text()
    );
}

/// What a tag leads to is whole for as long as it is there.
async fn check_tag(client: &Client, repository: &str, tag: &str) {
    let found = client.get(&format!("/v2/{repository}/manifests/{tag}")).send().await.unwrap();
    if found.status == 404 {
        return;
    }
    assert_eq!(found.status, 200);
    let manifest = Manifest::parse(None, found.body.clone()).unwrap();
    for blob in manifest.blobs() {
        let got = client.get(&format!("/v2/{repository}/blobs/{}", blob.digest)).send().await.unwrap();
        if got.status == 200 {
            assert_eq!(got.body.len() as u64, blob.size);
            continue;
        }
        assert_eq!(got.status, 404);
        let digest = found.must_have("docker-content-digest");
        let is_there = is_there(client, repository, digest).await;
        // Deleted and pushed again in between: then the blob was, too.
        let is_back =
            client.get(&format!("/v2/{repository}/blobs/{}", blob.digest)).send().await.unwrap().status
                == 200;
        assert!(!is_there || is_back, "{repository}:{tag} is there without {}", blob.digest);
    }
}

async fn is_there(client: &Client, repository: &str, reference: &str) -> bool {
    client.head(&format!("/v2/{repository}/manifests/{reference}")).send().await.unwrap().status == 200
}
