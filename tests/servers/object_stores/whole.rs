//! The program, with its bytes in S3.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use registry_testing::{Client, Content, FaultProxy, Image, ObjectServer, ServerOptions, UploadSession};

const MIB: usize = 1024 * 1024;

fn options(port: u16) -> ServerOptions {
    ServerOptions::new().in_bucket(port)
}

fn without_redirects(port: u16) -> ServerOptions {
    options(port).variable("REGISTRY_STORAGE_REDIRECT_DISABLE", "true")
}

#[tokio::test(flavor = "multi_thread")]
async fn images_live_in_a_bucket() {
    let server = ObjectServer::versitygw();
    let registry = without_redirects(server.port()).start().await;
    let client = registry.client();
    let image = Image::random(1);
    client.push("team/app", "latest", &image).await.unwrap();
    client.pull("team/app", "latest", &image).await.unwrap();

    let large = Content::random(7, 40 * MIB);
    client.push_blob("team/app", &large).await.unwrap();
    client.pull_blob("team/app", &large).await.unwrap();
    let path = format!("/v2/team/app/blobs/{}", large.digest);
    let range = client.get(&path).header("range", "bytes=20000000-20000999").expect(206).await;
    assert!(range.body[..] == large.bytes[20_000_000..20_001_000]);

    let mount = format!("/v2/other/blobs/uploads/?mount={}&from=team/app", large.digest);
    client.post(&mount).expect(201).await;
    client.pull_blob("other", &large).await.unwrap();
    client.delete(&format!("/v2/other/blobs/{}", large.digest)).expect(202).await;
    client.get(&format!("/v2/other/blobs/{}", large.digest)).expect(404).await;
    client.pull_blob("team/app", &large).await.unwrap();
    assert!(!registry.log().text().contains(ObjectServer::SECRET));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_goes_on_where_it_was() {
    let server = ObjectServer::versitygw();
    let options = without_redirects(server.port());
    let mut registry = options.start().await;
    let client = registry.client();
    let blob = Content::random(8, 21 * MIB);
    let half = 9 * MIB + 17;
    let session = client.begin_upload("killed").await.unwrap();
    let patch = client.patch(&session.location).body(blob.bytes.slice(..half)).expect(202).await;
    let session = UploadSession::of(&patch).unwrap();
    registry.kill().await;

    let registry = options.start().await;
    let client = registry.client();
    client.finish_upload(&session, &blob.digest, blob.bytes.slice(half..)).await.unwrap();
    client.pull_blob("killed", &blob).await.unwrap();
}

/// The disk of a node is gone; what it acknowledged is in the bucket.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_database_comes_back_from_the_bucket() {
    let server = ObjectServer::versitygw();
    let options = without_redirects(server.port());
    let mut registry = options.start().await;
    let image = Image::random(11);
    registry.client().push("kept", "latest", &image).await.unwrap();
    registry.kill().await;
    std::fs::remove_dir_all(options.folder().join("disk")).unwrap();
    let registry = options.start().await;
    registry.client().pull("kept", "latest", &image).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn blobs_are_redirected_where_clients_reach_the_store() {
    let server = ObjectServer::versitygw();
    let blob = Content::random(9, 100_000);
    let registry = options(server.port()).start().await;
    let client = registry.client();
    client.push_blob("app", &blob).await.unwrap();
    let path = format!("/v2/app/blobs/{}", blob.digest);
    let head = client.head(&path).expect(200).await;
    assert_eq!(head.must_have("content-length"), "100000");
    let redirect = client.get(&path).expect(307).await;
    assert_eq!(redirect.must_have("docker-content-digest"), blob.digest.to_string());
    assert_eq!(redirect.must_have("cache-control"), "no-store");
    let url = redirect.location().to_owned();
    let (host, signed) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let store = Client::new(&format!("http://{host}"));
    assert!(store.get(&format!("/{signed}")).expect(200).await.body == blob.bytes);

    let near = options(server.port())
        .variable("REGISTRY_STORAGE_S3_ROOTDIRECTORY", "/near")
        .variable("REGISTRY_STORAGE_REDIRECT_EXCEPT", "[127.0.0.0/8]")
        .variable("REGISTRY_HTTP_TRUSTEDPROXIES", "[127.0.0.1]");
    let registry = near.start().await;
    let client = registry.client();
    client.push_blob("app", &blob).await.unwrap();
    client.pull_blob("app", &blob).await.unwrap();
    client.get(&path).header("x-forwarded-for", "192.0.2.1").expect(307).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_down_is_503_and_comes_back() {
    let server = ObjectServer::versitygw();
    let proxy = FaultProxy::to(server.port(), 1).await;
    let registry = without_redirects(proxy.port()).start().await;
    let client = registry.client();
    let blob = Content::random(10, 200_000);
    client.push_blob("app", &blob).await.unwrap();
    proxy.be_down(true);
    let answer = registry_testing::eventually("503", async || {
        let answer = client.get(&format!("/v2/app/blobs/{}", blob.digest)).send().await.unwrap();
        (answer.status == 503).then_some(answer)
    })
    .await;
    assert!(answer.header("retry-after").is_some());
    proxy.be_down(false);
    client.pull_blob("app", &blob).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_uploads_share_little_memory() {
    const UPLOADS: u64 = 32;
    const MEMORY_BYTES_MAX: u64 = 128 * 1024 * 1024;
    let server = ObjectServer::versitygw();
    let registry = without_redirects(server.port()).start().await;
    let content = Bytes::from(vec![5; 24 * MIB]);
    let uploads = (0..UPLOADS).map(|number| {
        let (client, content) = (registry.client().reconnected(), content.clone());
        async move {
            let bytes = [&number.to_le_bytes()[..], &content[..]].concat();
            let blob = Content::new(registry_core::types::MediaType::OCTET_STREAM, bytes);
            client.push_blob("many", &blob).await.unwrap();
        }
    });
    let (mut uploads, mut peak) = (Box::pin(join_all(uploads)), 0);
    // The program itself, which a build for tests has much of, does not count.
    while tokio::time::timeout(Duration::from_millis(20), &mut uploads).await.is_err() {
        peak = peak.max(registry.memory_bytes());
    }
    let with_program = registry.memory_peak_bytes() / MIB as u64;
    eprintln!("{UPLOADS} uploads took {} MiB at most, {with_program} with the program", peak / MIB as u64);
    assert!(peak < MEMORY_BYTES_MAX, "{peak} bytes");
}
