//! The digest that a client closes an upload with.

use super::*;

#[tokio::test]
async fn a_digest_mismatch_leaves_nothing() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let client = registry.client();
    let (blob, other) = (Content::random(16, 300_000), Content::random(17, 10));
    let session = begun(&client, "mismatch", &blob.bytes).await;
    let whole =
        client.post(&format!("/v2/mismatch/blobs/uploads/?digest={}", other.digest)).body(blob.bytes.clone());
    for request in [client.put(&session.closing(&other.digest)), whole] {
        let response = request.expect(400).await;
        let error = response.errors().remove(0);
        assert_eq!(error.code, ErrorCode::DigestInvalid);
        let detail = error.detail.unwrap();
        assert_eq!(detail["Digest"], other.digest.to_string());
        assert_eq!(detail["expected"], other.digest.to_string());
        assert_eq!(detail["actual"], blob.digest.to_string());
    }
    for digest in [blob.digest, other.digest] {
        client.head(&format!("/v2/mismatch/blobs/{digest}")).expect(404).await;
    }
    assert_eq!(client.get(&session.location).expect(404).await.error_code(), ErrorCode::BlobUploadUnknown);
    assert_eq!(objects_in(&registry), 0);
}

#[tokio::test]
async fn a_closing_put_without_a_usable_digest_can_be_repeated() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let blob = Content::random(18, 1000);
    let session = begun(&client, "repeat", &blob.bytes).await;
    let upper = blob.digest.to_string().to_uppercase();
    for query in [
        "",
        "&digest=",
        "&digest=sha256:abc",
        "&digest=md5:d41d8cd98f00b204e9800998ecf8427e",
        &format!("&digest={upper}"),
    ] {
        let put = client.put(&format!("{}{query}", session.location));
        assert_eq!(put.expect(400).await.error_code(), ErrorCode::DigestInvalid, "{query}");
    }
    client.finish_upload(&session, &blob.digest, Bytes::new()).await.unwrap();
    client.pull_blob("repeat", &blob).await.unwrap();
    assert_eq!(
        client.put(&session.closing(&blob.digest)).expect(404).await.error_code(),
        ErrorCode::BlobUploadUnknown
    );
}

#[tokio::test]
async fn the_closing_digest_decides_the_algorithm() {
    for registry in [TestRegistry::start().await, TestRegistry::on_disk(|builder| builder).await] {
        let client = registry.client();
        let bytes = Random::seeded(19).bytes(300_000);
        for asked in ["", "?digest-algorithm=sha256", "?digest-algorithm=sha512"] {
            for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
                let blob = Content::hashed(algorithm, MediaType::OCTET_STREAM, bytes.clone());
                let session = client.post(&format!("/v2/algorithms/blobs/uploads/{asked}")).expect(202).await;
                let patch = client.patch(session.location()).body(blob.bytes.clone()).expect(202).await;
                let session = UploadSession::of(&patch).unwrap();
                client.finish_upload(&session, &blob.digest, Bytes::new()).await.unwrap();
                client.pull_blob("algorithms", &blob).await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_mismatch_in_another_algorithm_leaves_nothing_either() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let client = registry.client();
    let session = begun(&client, "mismatch", b"these bytes").await;
    let other = Digest::of(Algorithm::Sha512, b"other bytes");
    assert_eq!(client.put(&session.closing(&other)).expect(400).await.error_code(), ErrorCode::DigestInvalid);
    client.head(&format!("/v2/mismatch/blobs/{other}")).expect(404).await;
    assert_eq!(objects_in(&registry), 0);
}

#[tokio::test]
async fn algorithms_that_are_unknown_are_refused() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    for query in ["?digest-algorithm=sha384", "?digest-algorithm=md5", "?digest=sha384:abcd"] {
        let post = client.post(&format!("/v2/unknown/blobs/uploads/{query}"));
        assert_eq!(post.expect(400).await.error_code(), ErrorCode::DigestInvalid, "{query}");
    }
}
