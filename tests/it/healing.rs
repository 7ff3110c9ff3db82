//! Bytes that got lost: nobody is told that they are there, and pushing them again puts everything right.

use std::{
    fs,
    path::{Path, PathBuf},
};

use registry_core::types::ErrorCode;
use registry_testing::{Client, Content, Image, Server, TestRegistry};

#[tokio::test]
async fn a_blob_whose_file_is_gone_is_pushed_again() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let client = registry.client();
    let image = Image::random(1);
    client.push("app", "latest", &image).await.unwrap();
    client.push("other", "latest", &image).await.unwrap();
    let layer = &image.blobs[2];
    for looks_first in [true, false] {
        lose(registry.data(), layer);
        let path = format!("/v2/app/blobs/{}", layer.digest);
        if looks_first {
            client.head(&path).expect(404).await;
        }
        absent(&client, &path).await;
        absent(&client, &format!("/v2/other/blobs/{}", layer.digest)).await;
        // The others are not touched by it, and whoever pushes the image again heals it, in every repository.
        client.pull_blob("app", &image.blobs[1]).await.unwrap();
        client.push("app", "latest", &image).await.unwrap();
        client.pull("app", "latest", &image).await.unwrap();
        client.pull("other", "latest", &image).await.unwrap();
    }
}

#[tokio::test]
async fn a_blob_whose_file_was_cut_short_is_pushed_again() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let client = registry.client();
    let image = Image::random(2);
    client.push("app", "latest", &image).await.unwrap();
    let layer = &image.blobs[2];
    let path = format!("/v2/app/blobs/{}", layer.digest);
    for length_bytes in [69_999, 1, 0] {
        cut_short(registry.data(), layer, length_bytes);
        absent(&client, &path).await;
        client.push("app", "latest", &image).await.unwrap();
        client.pull("app", "latest", &image).await.unwrap();
    }
}

#[tokio::test]
async fn a_line_about_a_loss_names_the_request_that_found_it() {
    let server = Server::start().await;
    let client = server.client();
    let blob = Content::random(12, 50_000);
    client.push_blob("app", &blob).await.unwrap();
    lose(server.data(), &blob);
    let path = format!("/v2/app/blobs/{}", blob.digest);
    client.get(&path).header("x-request-id", "the-one-that-looked").expect(404).await;
    let line = server.log().wait_for_value("the line about the loss", |log| {
        log.lines().find(|line| line.contains("hid an object")).map(str::to_owned)
    });
    let line = line.await;
    assert!(line.contains("request.id=the-one-that-looked"), "{line}");
}

#[tokio::test]
async fn a_look_finds_out_that_a_blob_was_cut_short() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let client = registry.client();
    let blob = Content::random(7, 50_000);
    client.push_blob("app", &blob).await.unwrap();
    cut_short(registry.data(), &blob, 49_999);
    // Whoever is told that it is here does not push it again.
    client.head(&format!("/v2/app/blobs/{}", blob.digest)).expect(404).await;
    client.push_blob("app", &blob).await.unwrap();
    client.pull_blob("app", &blob).await.unwrap();
}

#[tokio::test]
async fn a_push_heals_what_nobody_has_noticed() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let client = registry.client();
    let blob = Content::random(3, 50_000);
    client.push_blob("app", &blob).await.unwrap();
    for is_cut in [false, true] {
        if is_cut {
            cut_short(registry.data(), &blob, 100)
        } else {
            lose(registry.data(), &blob)
        }
        // Without a look before, as clients push that know that they have something new.
        let post = client.post(&format!("/v2/elsewhere/blobs/uploads/?digest={}", blob.digest));
        post.body(blob.bytes.clone()).expect(201).await;
        client.pull_blob("elsewhere", &blob).await.unwrap();
        client.pull_blob("app", &blob).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_missing_is_not_mounted() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let client = registry.client();
    let blob = Content::random(4, 50_000);
    client.push_blob("app", &blob).await.unwrap();
    lose(registry.data(), &blob);
    // Whether or not somebody has noticed.
    for query in ["&from=app", ""] {
        client.post(&format!("/v2/new/blobs/uploads/?mount={}{query}", blob.digest)).expect(202).await;
    }
    client.get(&format!("/v2/app/blobs/{}", blob.digest)).expect(404).await;
    client.post(&format!("/v2/new/blobs/uploads/?mount={}&from=app", blob.digest)).expect(202).await;
}

#[tokio::test]
async fn a_manifest_does_not_rest_on_missing_bytes() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let client = registry.client();
    let image = Image::random(5);
    for blob in &image.blobs {
        client.push_blob("app", blob).await.unwrap();
    }
    let layer = &image.blobs[2];
    lose(registry.data(), layer);
    client.get(&format!("/v2/app/blobs/{}", layer.digest)).expect(404).await;
    let put = client.put("/v2/app/manifests/latest").content_type(&image.manifest.media_type);
    let response = put.body(image.manifest.bytes.clone()).expect(400).await;
    assert_eq!(response.error_code(), ErrorCode::ManifestBlobUnknown);
    client.push("app", "latest", &image).await.unwrap();
    client.pull("app", "latest", &image).await.unwrap();
}

#[tokio::test]
async fn what_is_hidden_stays_hidden_over_a_restart() {
    let server = Server::start().await;
    let image = Image::random(6);
    server.client().push("app", "latest", &image).await.unwrap();
    let layer = &image.blobs[2];
    lose(server.data(), layer);
    let path = format!("/v2/app/blobs/{}", layer.digest);
    absent(&server.client(), &path).await;
    server.log().wait_for("bytes are not there").await;
    let server = server.restart().await;
    server.client().head(&path).expect(404).await;
    server.client().push("app", "latest", &image).await.unwrap();
    server.client().pull("app", "latest", &image).await.unwrap();
}

async fn absent(client: &Client, path: &str) {
    assert_eq!(client.get(path).expect(404).await.error_code(), ErrorCode::BlobUnknown);
    client.head(path).expect(404).await;
}

/// Removes the bytes of a blob from the disk, also where they lie a second time and wait to be given back.
fn lose(data: &Path, blob: &Content) {
    let files = files_of(data, blob);
    assert!(!files.is_empty(), "{} is on no disk", blob.digest);
    for file in files {
        fs::remove_file(file).unwrap();
    }
}

/// Shortens the files that hold a blob.
fn cut_short(data: &Path, blob: &Content, length_bytes: u64) {
    let files = files_of(data, blob);
    assert!(!files.is_empty(), "{} is on no disk", blob.digest);
    for file in files {
        fs::OpenOptions::new().write(true).open(file).unwrap().set_len(length_bytes).unwrap();
    }
}

/// The files that hold a blob.
fn files_of(data: &Path, blob: &Content) -> Vec<PathBuf> {
    let shards = fs::read_dir(data.join("store/blobs")).unwrap();
    let files = shards.flat_map(|shard| fs::read_dir(shard.unwrap().path()).unwrap());
    let paths = files.map(|file| file.unwrap().path());
    paths.filter(|path| fs::read(path).unwrap() == blob.bytes).collect()
}
