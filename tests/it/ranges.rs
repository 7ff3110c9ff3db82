//! Parts of blobs and manifests, and requests that depend on what the client has already.

use bytes::Bytes;
use registry_core::types::ErrorCode;
use registry_testing::{Client, Content, Image, Random, Response, TestRegistry};

#[tokio::test]
async fn one_range_of_a_blob() {
    for registry in [TestRegistry::start().await, TestRegistry::on_disk(|builder| builder).await] {
        let client = registry.client();
        let blob = Content::random(1, 1000);
        client.push_blob("app", &blob).await.unwrap();
        let path = format!("/v2/app/blobs/{}", blob.digest);
        for (range, first, end) in [
            ("bytes=0-0", 0, 1),
            ("bytes=0-99", 0, 100),
            ("bytes=100-199", 100, 200),
            ("bytes=990-", 990, 1000),
            ("bytes=-10", 990, 1000),
            ("bytes=-5000", 0, 1000),
            ("bytes=500-5000", 500, 1000),
            ("bytes=0-9,5000-6000", 0, 10),
        ] {
            let part = client.get(&path).header("range", range).expect(206).await;
            assert_eq!(part.body, blob.bytes.slice(first..end), "{range}");
            assert_eq!(part.must_have("content-range"), format!("bytes {first}-{}/1000", end - 1), "{range}");
            assert_eq!(part.must_have("content-length"), (end - first).to_string(), "{range}");
            assert_eq!(part.must_have("docker-content-digest"), blob.digest.to_string());
            assert_eq!(part.must_have("accept-ranges"), "bytes");
        }
        for range in ["bytes=1000-", "bytes=2000-3000", "bytes=-0", "bytes=9-5"] {
            let response = client.get(&path).header("range", range).expect(416).await;
            assert_eq!(response.must_have("content-range"), "bytes */1000", "{range}");
            assert_eq!(response.error_code(), ErrorCode::RangeInvalid, "{range}");
        }
        for range in ["bytes=", "bytes=a-b", "items=0-9", "bytes 0-9", "bytes=0-9-9", "bytes=--1"] {
            let whole = client.get(&path).header("range", range).expect(200).await;
            assert_eq!(whole.body, blob.bytes, "{range}");
        }
    }
}

#[tokio::test]
async fn random_ranges_of_a_large_blob() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let client = registry.client();
    let blob = Content::random(2, 3_000_000);
    client.push_blob("app", &blob).await.unwrap();
    let path = format!("/v2/app/blobs/{}", blob.digest);
    let mut random = Random::seeded(3);
    for _ in 0..60 {
        let first = random.within(0..3_000_000) as usize;
        let end = random.within(first as u64 + 1..3_000_001) as usize;
        let part = client.get(&path).header("range", format!("bytes={first}-{}", end - 1)).expect(206).await;
        assert_eq!(part.body, blob.bytes.slice(first..end), "{first}-{end}");
    }
}

#[tokio::test]
async fn a_download_goes_on_where_it_broke_off() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let client = registry.client();
    let blob = Content::random(4, 500_000);
    client.push_blob("app", &blob).await.unwrap();
    let path = format!("/v2/app/blobs/{}", blob.digest);
    let etag = format!("\"{}\"", blob.digest);
    let rest = client.get(&path).header("range", "bytes=123456-").header("if-range", &etag).expect(206).await;
    assert_eq!(rest.body, blob.bytes.slice(123_456..));
    // Something else was there before: the whole is sent.
    let other =
        client.get(&path).header("range", "bytes=123456-").header("if-range", "\"other\"").expect(200).await;
    assert_eq!(other.body, blob.bytes);
}

#[tokio::test]
async fn several_ranges_come_as_one_body_of_parts() {
    for registry in [TestRegistry::start().await, TestRegistry::on_disk(|builder| builder).await] {
        let client = registry.client();
        let blob = Content::random(5, 100_000);
        client.push_blob("app", &blob).await.unwrap();
        let path = format!("/v2/app/blobs/{}", blob.digest);
        let response = client.get(&path).header("range", "bytes=0-9, 50000-69999,-5").expect(206).await;
        let expected = [(0, 10), (50_000, 70_000), (99_995, 100_000)];
        let parts = parts_of(&response);
        assert_eq!(parts.len(), 3);
        for ((headers, body), (first, end)) in parts.iter().zip(expected) {
            assert!(
                headers.contains(&format!("Content-Range: bytes {first}-{}/100000", end - 1)),
                "{headers}"
            );
            assert!(headers.contains("Content-Type: application/octet-stream"), "{headers}");
            assert_eq!(*body, blob.bytes.slice(first..end));
        }
        assert_eq!(response.must_have("content-length"), response.body.len().to_string());
    }
}

#[tokio::test]
async fn ranges_that_ask_for_too_much_get_the_whole() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let blob = Content::random(6, 10_000);
    client.push_blob("app", &blob).await.unwrap();
    let path = format!("/v2/app/blobs/{}", blob.digest);
    let many = format!("bytes={}", vec!["0-0"; 1000].join(","));
    let twice = "bytes=0-9999,0-9999".to_owned();
    for range in [many, twice] {
        assert_eq!(client.get(&path).header("range", range).expect(200).await.body, blob.bytes);
    }
}

/// The parts of a `multipart/byteranges` answer: headers and body.
fn parts_of(response: &Response) -> Vec<(String, Bytes)> {
    let boundary =
        response.must_have("content-type").strip_prefix("multipart/byteranges; boundary=").unwrap();
    let (mut rest, mut parts) = (response.body.clone(), Vec::new());
    let delimiter = format!("--{boundary}");
    let find = |bytes: &Bytes, needle: &str| {
        bytes.windows(needle.len()).position(|window| window == needle.as_bytes())
    };
    loop {
        let start = find(&rest, &delimiter).unwrap() + delimiter.len();
        rest = rest.slice(start..);
        if rest.starts_with(b"--") {
            assert_eq!(rest, "--\r\n");
            return parts;
        }
        let head = find(&rest, "\r\n\r\n").unwrap();
        let end = find(&rest, &format!("\r\n{delimiter}")).unwrap();
        parts.push((String::from_utf8(rest[..head].to_vec()).unwrap(), rest.slice(head + 4..end)));
        rest = rest.slice(end..);
    }
}

#[tokio::test]
async fn manifests_have_ranges_too() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let image = Image::random(7);
    client.push("app", "latest", &image).await.unwrap();
    let part = client.get("/v2/app/manifests/latest").header("range", "bytes=10-19").expect(206).await;
    assert_eq!(part.body, image.manifest.bytes.slice(10..20));
    assert_eq!(part.must_have("content-type"), image.manifest.media_type.as_str());
    client.get("/v2/app/manifests/latest").header("range", "bytes=999999-").expect(416).await;
}

#[tokio::test]
async fn what_the_client_has_is_not_sent_again() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let client = registry.client();
    let image = Image::random(8);
    client.push("app", "latest", &image).await.unwrap();
    let digest = image.manifest.digest;
    let blob = &image.blobs[1];
    for (path, digest) in [
        ("/v2/app/manifests/latest".to_owned(), digest),
        (format!("/v2/app/manifests/{digest}"), digest),
        (format!("/v2/app/blobs/{}", blob.digest), blob.digest),
    ] {
        let etag = client.get(&path).expect(200).await.must_have("etag").to_owned();
        assert_eq!(etag, format!("\"{digest}\""));
        conditions(&client, &path, &etag, &digest.to_string()).await;
    }
}

async fn conditions(client: &Client, path: &str, etag: &str, digest: &str) {
    for known in [etag, digest, "*", &format!("W/{etag}"), &format!("\"x\", {etag}")] {
        for request in [client.get(path), client.head(path)] {
            let response = request.header("if-none-match", known).expect(304).await;
            assert!(response.body.is_empty());
            assert_eq!(response.must_have("etag"), etag);
            assert_eq!(response.must_have("docker-content-digest"), digest);
        }
    }
    client.get(path).header("if-none-match", "\"other\"").expect(200).await;
    client.get(path).header("if-match", etag).expect(200).await;
    client.get(path).header("if-match", "\"other\"").expect(412).await;
    client.head(path).header("if-match", "\"other\"").expect(412).await;
}

#[tokio::test]
async fn a_head_is_a_get_without_the_body() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let client = registry.client();
    let image = Image::random(9);
    client.push("app", "latest", &image).await.unwrap();
    for path in [
        "/v2/".to_owned(),
        "/v2/_catalog".to_owned(),
        "/v2/app/tags/list".to_owned(),
        "/v2/app/tags/list?n=10".to_owned(),
        "/v2/app/manifests/latest".to_owned(),
        format!("/v2/app/manifests/{}", image.manifest.digest),
        format!("/v2/app/blobs/{}", image.blobs[1].digest),
        format!("/v2/app/referrers/{}", image.manifest.digest),
    ] {
        let get = client.get(&path).expect(200).await;
        let head = client.head(&path).expect(200).await;
        assert!(head.body.is_empty(), "{path}");
        assert!(!get.body.is_empty(), "{path}");
        let telling = |response: &Response| {
            let mut headers = response.headers.clone();
            for of_the_moment in ["date", "x-request-id", "transfer-encoding"] {
                headers.remove(of_the_moment);
            }
            headers
        };
        assert_eq!(telling(&head), telling(&get), "{path}");
    }
    for path in ["/v2/app/manifests/absent", "/v2/absent/tags/list", "/nowhere", "/v2/UPPER/tags/list"] {
        let get = client.get(path).send().await.unwrap();
        let head = client.head(path).send().await.unwrap();
        assert_eq!(head.status, get.status, "{path}");
        assert!(head.body.is_empty(), "{path}");
    }
}
