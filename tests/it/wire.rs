//! How answers are spelt: header names, error texts, paths with a slash too many, as programs for the Go registry expect them.

use http::{HeaderMap, Method};
use registry_core::types::{ErrorCode, MediaType};
use registry_testing::{Content, Image, RawConnection, TestRegistry, UploadSession};
use serde_json::{Value, json};

use crate::access::{by_prefix, named};

/// The names of an answer's headers as they come over the wire.
async fn names(address: &str, request: &str) -> Vec<String> {
    let mut connection = RawConnection::open(address).await.unwrap();
    let head = format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    connection.send(head).await.unwrap();
    let answer = String::from_utf8_lossy(&connection.rest().await).into_owned();
    let head = answer.split_once("\r\n\r\n").unwrap().0.to_owned();
    head.lines().skip(1).map(|line| line.split_once(':').unwrap().0.to_owned()).collect()
}

#[tokio::test]
async fn header_names_are_spelt_as_scripts_look_for_them() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let image = Image::random(1);
    registry.client().push("app", "latest", &image).await.unwrap();
    // One that is sent without hyper, too.
    let large = Content::random(2, 2 << 20);
    registry.client().push_blob("app", &large).await.unwrap();
    let blob = large.digest;
    for (request, expected) in [
        ("GET /v2/app/manifests/latest".to_owned(), &["Docker-Content-Digest", "Etag", "Content-Length"][..]),
        ("HEAD /v2/app/manifests/latest".to_owned(), &["Docker-Content-Digest", "Content-Type"]),
        (format!("GET /v2/app/blobs/{blob}"), &["Docker-Content-Digest", "Accept-Ranges", "Cache-Control"]),
        ("POST /v2/app/blobs/uploads/".to_owned(), &["Location", "Range", "Docker-Upload-Uuid"]),
        ("GET /v2/_catalog?n=1".to_owned(), &["Content-Type"]),
        ("GET /v2/app/blobs/nothing".to_owned(), &["Content-Type", "Content-Length"]),
        ("GET /v2/nothing".to_owned(), &["Content-Type"]),
    ] {
        let names = names(registry.address(), &request).await;
        let always = ["Docker-Distribution-Api-Version", "X-Content-Type-Options", "Date", "X-Request-Id"];
        for name in expected.iter().chain(&always) {
            assert!(names.iter().any(|found| found == name), "{request}: no {name} in {names:?}");
        }
        for name in names {
            let is_title = |part: &str| part.starts_with(|c: char| c.is_ascii_uppercase());
            assert!(name.split('-').all(is_title), "{request}: {name}");
        }
    }
}

#[tokio::test]
async fn a_slash_too_many_leads_to_the_path_without() {
    for (prefix, host, before) in [
        ("/", None, ""),
        ("/pre/", None, "/pre"),
        ("/", Some("https://x.example/sub"), "/sub"),
        ("/pre/", Some("https://x.example/sub"), "/sub/pre"),
    ] {
        let settings = TestRegistry::settings().prefix(prefix.to_owned()).host(host.map(str::to_owned));
        let registry = TestRegistry::with_settings(settings).await;
        let below = prefix.trim_end_matches('/');
        for path in [
            "/v2/_catalog",
            "/v2/a/b/tags/list",
            "/v2/a/b/manifests/latest",
            "/v2/a/b/blobs/sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "/v2/a/b/referrers/sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "/v2/a/b/blobs/uploads/0b0f4f7a-3c63-4b0e-9d0a-0a0b0c0d0e0f",
        ] {
            for query in ["", "?n=5&last=x"] {
                let answer = registry.client().get(&format!("{below}{path}/{query}")).expect(301).await;
                assert_eq!(answer.location(), format!("{before}{path}{query}"));
            }
        }
        let answer = registry.client().get(&format!("{below}/v2")).expect(301).await;
        assert_eq!(answer.location(), format!("{before}/v2/"));
        registry.client().get(&format!("{below}/v2/")).expect(200).await;
        registry.client().post(&format!("{below}/v2/a/b/blobs/uploads/")).expect(202).await;
        registry.client().post(&format!("{below}/v2/a/b/blobs/uploads")).expect(202).await;
    }
}

#[tokio::test]
async fn escapes_hide_nothing_but_in_the_last_part() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let image = Image::random(3);
    client.push("g/x", "latest", &image).await.unwrap();
    let blob = image.blobs[0].digest.to_string();
    let escaped = blob.replace(':', "%3A");
    for (path, status) in [
        ("/v2/g/x/manifests/latest".to_owned(), 200),
        ("/v2/g/x/manifests/l%61test".to_owned(), 200),
        (format!("/v2/g/x/blobs/{escaped}"), 200),
        ("/v2/%67/x/manifests/latest".to_owned(), 400),
        ("/v2/g%2Fx/manifests/latest".to_owned(), 400),
        ("/v2/%67%2Fx/tags/list".to_owned(), 400),
        ("/v2/g/x/%6danifests/latest".to_owned(), 400),
        (format!("/v2/g/x/%62lobs/{blob}"), 400),
        ("/v2/g/%78/tags/list".to_owned(), 400),
        ("/v2/g/x%2Fmanifests/latest".to_owned(), 400),
        ("/v2/g/x/manifests%2Flatest".to_owned(), 404),
        ("/v2/g/x/manifests/..%2Flatest".to_owned(), 400),
        ("/v2/g/x%/tags/list".to_owned(), 400),
        ("/%762/g/x/tags/list".to_owned(), 404),
    ] {
        let answer = client.get(&path).expect(status).await;
        if status == 400 && !path.contains("..") {
            assert_eq!(answer.error_code(), ErrorCode::NameInvalid, "{path}");
        }
    }
    for request in [client.post("/v2/%67/x/blobs/uploads/"), client.delete("/v2/%67/x/manifests/latest")] {
        request.expect(400).await;
    }
    let put = client.put("/v2/%67/x/manifests/new").content_type(MediaType::OCI_MANIFEST);
    put.body(image.manifest.bytes.clone()).expect(400).await;
}

#[tokio::test]
async fn errors_have_the_words_and_details_of_the_go_registry() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let (image, absent) = (Image::random(4), Content::random(5, 10));
    client.push("a/b", "t", &image).await.unwrap();
    let absent = absent.digest;
    let id = "11111111-1111-1111-1111-111111111111";
    let cases = [
        ("a/b/manifests/none", "MANIFEST_UNKNOWN", "manifest unknown", json!({"Tag": "none"})),
        (
            &format!("a/b/manifests/{absent}"),
            "MANIFEST_UNKNOWN",
            "manifest unknown",
            json!({"Name": "a/b", "Revision": absent}),
        ),
        (&format!("a/b/blobs/{absent}"), "BLOB_UNKNOWN", "blob unknown to registry", json!(absent)),
        ("x/tags/list", "NAME_UNKNOWN", "repository name not known to registry", json!({"name": "x"})),
        (
            &format!("a/b/blobs/uploads/{id}"),
            "BLOB_UPLOAD_UNKNOWN",
            "blob upload unknown to registry",
            Value::Null,
        ),
        (
            "a/b/blobs/sha256:zz",
            "DIGEST_INVALID",
            "provided digest did not match uploaded content",
            Value::Null,
        ),
        ("A/tags/list", "NAME_INVALID", "invalid repository name", Value::Null),
        (
            "a/b/tags/list?n=x",
            "PAGINATION_NUMBER_INVALID",
            "invalid number of results requested",
            Value::Null,
        ),
    ];
    for (path, code, words, detail) in cases {
        let answer = client.get(&format!("/v2/{path}")).send().await.unwrap();
        let error = &answer.json()["errors"][0];
        assert_eq!(error["code"], code, "{path}");
        assert!(error["message"].as_str().unwrap().starts_with(words), "{path}: {error}");
        assert_eq!(error["detail"], detail, "{path}");
    }
    let unknown = &client.get("/v2/x/tags/list").expect(404).await.json()["errors"][0];
    assert_eq!(unknown["message"], "repository name not known to registry");

    let mut lacking: Value = serde_json::from_slice(&image.manifest.bytes).unwrap();
    lacking["config"]["digest"] = json!(absent);
    let put = client.put("/v2/a/b/manifests/u").content_type(&image.manifest.media_type);
    let error = &put.body(lacking.to_string()).expect(400).await.json()["errors"][0];
    assert_eq!(error["code"], "MANIFEST_BLOB_UNKNOWN");
    assert_eq!(error["detail"], json!(absent));
    assert!(error["message"].as_str().unwrap().starts_with("blob unknown to registry"), "{error}");

    let put = client.put("/v2/a/b/manifests/u").content_type(&image.manifest.media_type).body("{");
    let error = &put.expect(400).await.json()["errors"][0];
    assert!(error["message"].as_str().unwrap().starts_with("manifest invalid: "), "{error}");
    let method = &client.request(Method::POST, "/v2/a/b/tags/list").expect(405).await.json()["errors"][0];
    assert!(method["message"].as_str().unwrap().starts_with("The operation is unsupported."), "{method}");
}

#[tokio::test]
async fn who_is_asked_to_log_in_is_told_what_for() {
    let registry = TestRegistry::with(by_prefix).await;
    let entry = |kind: &str, name: &str, action: &str| json!({"Type": kind, "Class": "", "Name": name, "Action": action});
    let on = |action| entry("repository", "a/b", action);
    let digest = Content::random(1, 1).digest;
    for (method, path, detail) in [
        (Method::GET, "/v2/".to_owned(), Value::Null),
        (Method::GET, "/v2/_catalog".to_owned(), json!([entry("registry", "catalog", "*")])),
        (Method::GET, "/v2/a/b/manifests/t".to_owned(), json!([on("pull")])),
        (Method::GET, format!("/v2/a/b/blobs/{digest}"), json!([on("pull")])),
        (Method::POST, "/v2/a/b/blobs/uploads/".to_owned(), json!([on("pull"), on("push")])),
        (Method::PUT, "/v2/a/b/manifests/t".to_owned(), json!([on("pull"), on("push")])),
        (Method::DELETE, "/v2/a/b/manifests/t".to_owned(), json!([on("delete")])),
    ] {
        let answer = registry.client().request(method.clone(), &path).expect(401).await;
        let error = &answer.json()["errors"][0];
        assert_eq!(error["code"], "UNAUTHORIZED", "{method} {path}");
        assert_eq!(error["message"], "authentication required", "{method} {path}");
        assert_eq!(error["detail"], detail, "{method} {path}");
        assert!(error.as_object().unwrap().contains_key("detail"), "{method} {path}");
    }
    let public = named(&registry, "public");
    public.push("public/app", "t", &Image::random(6)).await.unwrap();
    let denied = named(&registry, "ann").delete("/v2/public/app/manifests/t").expect(403).await;
    assert_eq!(denied.json()["errors"][0]["message"], "requested access to the resource is denied");
}

#[tokio::test]
async fn a_manifest_without_its_type_is_told_which() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let (oci, docker) = (Image::random(7), Image::docker(8));
    client.push("app", "oci", &oci).await.unwrap();
    client.push("app", "docker", &docker).await.unwrap();
    let without = |image: &Image| {
        let mut document: Value = serde_json::from_slice(&image.manifest.bytes).unwrap();
        document.as_object_mut().unwrap().remove("mediaType");
        document.to_string()
    };
    let with = |image: &Image| String::from_utf8(image.manifest.bytes.to_vec()).unwrap();
    let index = json!({"schemaVersion": 2, "manifests": []}).to_string();
    for (sent_as, body, status, told) in [
        (None, with(&oci), 201, None),
        (None, without(&oci), 400, Some(MediaType::OCI_MANIFEST)),
        (Some("application/json"), with(&oci), 400, Some(MediaType::OCI_MANIFEST)),
        (Some("application/json; charset=utf-8"), with(&docker), 400, Some(MediaType::DOCKER_MANIFEST)),
        (Some("application/json"), without(&oci), 400, Some(MediaType::OCI_MANIFEST)),
        (Some("application/json"), index, 400, Some(MediaType::OCI_INDEX)),
        (Some("text/plain"), with(&docker), 400, Some(MediaType::DOCKER_MANIFEST)),
        (Some("nonsense"), with(&oci), 400, Some(MediaType::OCI_MANIFEST)),
        (Some("application/json"), "{}".to_owned(), 400, None),
    ] {
        let mut put = client.put("/v2/app/manifests/new").body(body.clone());
        if let Some(sent_as) = sent_as {
            put = put.content_type(sent_as);
        }
        let answer = put.expect(status).await;
        if status == 400 {
            let error = answer.errors().remove(0);
            assert_eq!(error.code, ErrorCode::ManifestInvalid);
            assert!(error.message.contains("manifest invalid"), "{}", error.message);
            if let Some(told) = told {
                let wanted = format!("{told}, which must be its Content-Type");
                assert!(error.message.contains(&wanted), "{sent_as:?} {body}: {}", error.message);
            }
        }
    }
}

#[tokio::test]
async fn a_chunk_that_is_wrong_in_place_and_length_is_told_the_place() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let session = client.begin_upload("app").await.unwrap();
    for (range, status, code) in [
        ("5-9", 416, ErrorCode::BlobUploadInvalid),
        ("5-7", 416, ErrorCode::BlobUploadInvalid),
        ("0-7", 400, ErrorCode::SizeInvalid),
        ("x", 400, ErrorCode::BlobUploadInvalid),
    ] {
        for method in [Method::PATCH, Method::PUT] {
            let location = match method {
                Method::PUT => session.closing(&Content::random(1, 5).digest),
                _ => session.location.clone(),
            };
            let chunk = client.request(method, &location).header("content-range", range).body("hello");
            let answer = chunk.expect(status).await;
            assert_eq!(answer.error_code(), code, "{range}");
            if status == 416 {
                assert_eq!(answer.must_have("range"), "0-0");
                assert!(UploadSession::of(&answer).is_ok());
            }
        }
    }
    let whole = client.patch(&session.location).header("content-range", "0-4").body("hello");
    whole.expect(202).await;
}

#[tokio::test]
async fn an_empty_blob_is_sent_whole_whatever_range_is_asked_for() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let client = registry.client();
    let (empty, other) = (Content::random(1, 0), Content::random(2, 5));
    client.push_blob("app", &empty).await.unwrap();
    client.push_blob("app", &other).await.unwrap();
    for range in
        ["bytes=0-0", "bytes=0-", "bytes=-5", "bytes=5-6", "bytes=0-0,2-2", "bytes=a-b", "bytes=", ""]
    {
        let path = format!("/v2/app/blobs/{}", empty.digest);
        let answer = client.get(&path).header("range", range).expect(200).await;
        assert_eq!(
            (answer.must_have("content-length"), answer.header("content-range")),
            ("0", None),
            "{range}"
        );
    }
    let past = client.get(&format!("/v2/app/blobs/{}", other.digest)).header("range", "bytes=5-6");
    assert_eq!(past.expect(416).await.must_have("content-range"), "bytes */5");
}

#[tokio::test]
async fn the_root_says_to_people_what_this_is() {
    let registry = TestRegistry::start().await;
    for (host, name) in [("registry.example:5000", "registry.example:5000"), ("x@y", "<this host>")] {
        let answer = registry.client().get("/").header("host", host).expect(200).await;
        assert_eq!(answer.must_have("content-type"), "text/plain; charset=utf-8");
        assert_eq!(answer.must_have("cache-control"), "no-cache");
        let text = answer.text();
        assert!(text.contains("container registry"), "{text}");
        assert!(text.contains(&format!("docker push {name}/hello-world\n")), "{text}");
    }
    let head = registry.client().head("/").expect(200).await;
    assert!(head.body.is_empty());
}

#[tokio::test]
async fn the_url_that_is_configured_is_in_location_and_link() {
    for relative_urls in [false, true] {
        for (prefix, before) in [("/", "/sub"), ("/pre/", "/sub/pre")] {
            let settings = TestRegistry::settings()
                .host(Some("https://x.example/sub".to_owned()))
                .prefix(prefix.to_owned())
                .relative_urls(relative_urls);
            let registry = TestRegistry::with_settings(settings).await;
            let client = registry.client();
            let v2 = format!("{}/v2", prefix.trim_end_matches('/'));
            let begun = client.post(&format!("{v2}/app/blobs/uploads/")).expect(202).await;
            let location = format!("https://x.example{before}/v2/app/blobs/uploads/");
            assert!(begun.location().starts_with(&location), "{}", begun.location());
            let blob = Content::random(1, 10);
            let whole = format!("{v2}/other/blobs/uploads/?digest={}", blob.digest);
            let pushed = client.post(&whole).body(blob.bytes.clone()).expect(201).await;
            assert_eq!(
                pushed.location(),
                format!("https://x.example{before}/v2/other/blobs/{}", blob.digest)
            );
            let index =
                json!({"schemaVersion": 2, "mediaType": MediaType::OCI_INDEX.to_string(), "manifests": []});
            for reference in ["app/manifests/1", "app/manifests/2", "other/manifests/1"] {
                let put = client.put(&format!("{v2}/{reference}")).content_type(MediaType::OCI_INDEX);
                put.body(index.to_string()).expect(201).await;
            }
            for (list, next) in
                [("_catalog?n=1", "_catalog?last=app&n=1"), ("app/tags/list?n=1", "app/tags/list?last=1&n=1")]
            {
                let page = client.get(&format!("{v2}/{list}")).expect(200).await;
                assert_eq!(page.next_page(), Some(format!("{before}/v2/{next}")));
            }
        }
    }
}

#[tokio::test]
async fn the_subject_of_a_docker_manifest_counts() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let (subject, image) = (Image::docker(9), Image::docker(10));
    client.push("app", "subject", &subject).await.unwrap();
    client.push("app", "image", &image).await.unwrap();
    let mut document: Value = serde_json::from_slice(&image.manifest.bytes).unwrap();
    document["subject"] = json!({
        "mediaType": subject.manifest.media_type.to_string(),
        "digest": subject.manifest.digest,
        "size": subject.manifest.bytes.len(),
    });
    let put = client.put("/v2/app/manifests/attached").content_type(MediaType::DOCKER_MANIFEST);
    let pushed = put.body(document.to_string()).expect(201).await;
    assert_eq!(pushed.must_have("oci-subject"), subject.manifest.digest.to_string());
    let referrers = client.get(&format!("/v2/app/referrers/{}", subject.manifest.digest)).expect(200).await;
    let listed = &referrers.json()["manifests"];
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["digest"], pushed.must_have("docker-content-digest"));
    assert_eq!(listed[0]["mediaType"], MediaType::DOCKER_MANIFEST.to_string());
}

#[tokio::test]
async fn what_the_configuration_says_in_headers_is_what_is_sent() {
    let headers = HeaderMap::from_iter([(
        http::header::CONTENT_SECURITY_POLICY,
        http::HeaderValue::from_static("frame-ancestors https://ui.example"),
    )]);
    let registry = TestRegistry::with_settings(TestRegistry::settings().headers(headers)).await;
    let answer = registry.client().get("/v2/").expect(200).await;
    assert_eq!(answer.headers.get_all("content-security-policy").iter().count(), 1);
    assert_eq!(answer.must_have("content-security-policy"), "frame-ancestors https://ui.example");
}
