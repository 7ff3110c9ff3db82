//! Cross-repository mounts. What a caller may mount is in `access`.

use registry_core::types::ErrorCode;
use registry_testing::{Content, Image, TestRegistry, UploadSession};

#[tokio::test]
async fn a_blob_is_mounted_from_where_the_client_says() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let client = registry.client();
    let blob = Content::random(1, 1000);
    client.push_blob("from/here", &blob).await.unwrap();
    let mount = format!("/v2/to/there/blobs/uploads/?mount={}&from=from%2Fhere", blob.digest);
    let response = client.post(&mount).expect(201).await;
    assert_eq!(response.must_have("docker-content-digest"), blob.digest.to_string());
    assert_eq!(response.location(), format!("{}/v2/to/there/blobs/{}", registry.url(), blob.digest));
    client.pull_blob("to/there", &blob).await.unwrap();
}

#[tokio::test]
async fn a_blob_is_mounted_from_wherever_it_is() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let blob = Content::random(2, 1000);
    client.push_blob("somewhere", &blob).await.unwrap();
    client.post(&format!("/v2/else/blobs/uploads/?mount={}", blob.digest)).expect(201).await;
    client.pull_blob("else", &blob).await.unwrap();
}

#[tokio::test]
async fn what_can_not_be_mounted_becomes_an_upload() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let (blob, absent) = (Content::random(3, 1000), Content::random(4, 10));
    client.push_blob("here", &blob).await.unwrap();
    let cases = [
        format!("mount={}&from=nowhere", blob.digest),
        format!("mount={}&from=here", absent.digest),
        format!("mount={}", absent.digest),
        "mount=sha384:abcdef&from=here".to_owned(),
    ];
    for (number, query) in cases.iter().enumerate() {
        let pushed = Content::random(100 + number as u64, 10);
        let response = client.post(&format!("/v2/there/blobs/uploads/?{query}")).expect(202).await;
        let session = UploadSession::of(&response).unwrap();
        let put = client.put(&session.closing(&pushed.digest)).body(pushed.bytes.clone());
        put.expect(201).await;
        client.pull_blob("there", &pushed).await.unwrap();
    }
}

#[tokio::test]
async fn a_mount_of_nonsense_is_refused() {
    let registry = TestRegistry::start().await;
    let post = registry.client().post("/v2/a/blobs/uploads/?mount=sha256:xyz&from=b");
    assert_eq!(post.expect(400).await.error_code(), ErrorCode::DigestInvalid);
}

#[tokio::test]
async fn a_mounted_blob_outlives_its_source() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let client = registry.client();
    let image = Image::random(5);
    client.push("source", "latest", &image).await.unwrap();
    for blob in &image.blobs {
        client
            .post(&format!("/v2/target/blobs/uploads/?mount={}&from=source", blob.digest))
            .expect(201)
            .await;
    }
    client.push_manifest("target", "latest", &image.manifest).await.unwrap();
    client.delete(&format!("/v2/source/manifests/{}", image.manifest.digest)).expect(202).await;
    for blob in &image.blobs {
        client.delete(&format!("/v2/source/blobs/{}", blob.digest)).expect(202).await;
        client.head(&format!("/v2/source/blobs/{}", blob.digest)).expect(404).await;
    }
    client.pull("target", "latest", &image).await.unwrap();
}
