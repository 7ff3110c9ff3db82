//! HTTP itself: versions, methods, errors, and how a registry behind others says where it is.

use std::sync::Arc;

use futures_util::future::join_all;
use http::{HeaderMap, HeaderValue, Method, Version};
use registry_core::{
    api::{ServeOptions, Tls, TlsOptions},
    selfsigned,
    types::{ErrorCode, MediaType},
};
use registry_testing::{Client, Image, Index, Protocol, RawConnection, TestRegistry};

#[tokio::test]
async fn the_base_says_what_it_is() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let response = client.get("/v2/").expect(200).await;
    assert_eq!(response.text(), "{}");
    assert_eq!(response.must_have("content-type"), "application/json");
    assert_eq!(response.must_have("docker-distribution-api-version"), "registry/2.0");
    let alive = client.get("/").expect(200).await;
    assert_eq!(alive.must_have("cache-control"), "no-cache");
    assert_eq!(client.get("/v2").expect(301).await.location(), "/v2/");
}

#[tokio::test]
async fn every_error_is_one_that_clients_can_read() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let long = "a".repeat(256);
    let cases = [
        (Method::GET, "/nowhere".to_owned(), 404),
        (Method::GET, "/v1/search".to_owned(), 404),
        (Method::GET, "/v2/a".to_owned(), 404),
        (Method::GET, "/v2/a/b/c".to_owned(), 404),
        (Method::GET, "/v2//tags/list".to_owned(), 400),
        (Method::GET, "/v2/UPPER/tags/list".to_owned(), 400),
        (Method::GET, "/v2/a/../b/tags/list".to_owned(), 400),
        (Method::GET, "/v2/a/%2e%2e/b/tags/list".to_owned(), 400),
        (Method::GET, "/v2/-a/tags/list".to_owned(), 400),
        (Method::GET, "/v2/a%00b/tags/list".to_owned(), 400),
        (Method::GET, format!("/v2/{long}/tags/list"), 400),
        (Method::GET, "/v2/a/blobs/sha256:abc".to_owned(), 400),
        (Method::GET, "/v2/a/blobs/latest".to_owned(), 400),
        (Method::GET, "/v2/a/blobs/uploads/".to_owned(), 405),
        (Method::PUT, "/v2/a/blobs/uploads/".to_owned(), 405),
        (Method::POST, "/v2/a/manifests/latest".to_owned(), 405),
        (Method::PATCH, "/v2/a/manifests/latest".to_owned(), 405),
        (Method::DELETE, "/v2/a/tags/list".to_owned(), 405),
        (Method::POST, "/v2/_catalog".to_owned(), 405),
        (Method::DELETE, "/v2/".to_owned(), 405),
        (Method::TRACE, "/v2/".to_owned(), 405),
    ];
    for (method, path, status) in cases {
        let response = client.request(method.clone(), &path).expect(status).await;
        let error = response.errors().remove(0);
        assert!(!error.message.is_empty(), "{method} {path}");
        assert_eq!(response.must_have("docker-distribution-api-version"), "registry/2.0", "{method} {path}");
        assert_eq!(response.must_have("content-length"), response.body.len().to_string(), "{method} {path}");
        if status == 405 {
            assert_eq!(error.code, ErrorCode::Unsupported, "{method} {path}");
            assert!(response.must_have("allow").len() > 2, "{method} {path}");
        }
        if status == 400 && !path.contains("/blobs/") {
            assert_eq!(error.code, ErrorCode::NameInvalid, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn repositories_may_be_called_as_endpoints_are() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let image = Image::random(1);
    for repository in [
        "tags/list",
        "manifests",
        "blobs/uploads",
        "v2/blobs",
        "a/manifests/b",
        "a__b",
        "a--b/c",
        "1/2/3",
        "referrers/x",
        "tags",
        "blobs",
    ] {
        client
            .push(repository, "latest", &image)
            .await
            .unwrap_or_else(|error| panic!("{repository}: {error}"));
        client
            .pull(repository, "latest", &image)
            .await
            .unwrap_or_else(|error| panic!("{repository}: {error}"));
        let tags = client.get(&format!("/v2/{repository}/tags/list")).expect(200).await;
        assert_eq!(tags.json()["name"], repository);
    }
    let longest = format!("a/{}", "b".repeat(253));
    client.push(&longest, "latest", &image).await.unwrap();
    client.pull(&longest, "latest", &image).await.unwrap();
}

#[tokio::test]
async fn a_browser_may_ask_what_is_allowed() {
    let headers = HeaderMap::from_iter([
        (http::header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("https://ui.example")),
        (http::header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, DELETE")),
    ]);
    let registry = TestRegistry::with(|builder| {
        crate::access::by_prefix(builder).settings(TestRegistry::settings().headers(headers))
    })
    .await;
    let client = registry.client();
    let preflight = client.request(Method::OPTIONS, "/v2/app/manifests/latest");
    let response = preflight.header("origin", "https://ui.example").expect(204).await;
    assert_eq!(response.must_have("access-control-allow-origin"), "https://ui.example");
    // Also where the answer is an error.
    let refused = client.get("/v2/").expect(401).await;
    assert_eq!(refused.must_have("access-control-allow-origin"), "https://ui.example");
}

#[tokio::test]
async fn requests_have_ids() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let given = client.get("/v2/").header("x-request-id", "my-own-id").expect(200).await;
    assert_eq!(given.must_have("x-request-id"), "my-own-id");
    let one = client.get("/v2/").expect(200).await.must_have("x-request-id").to_owned();
    let other = client.get("/v2/").expect(200).await.must_have("x-request-id").to_owned();
    assert_ne!(one, other);
}

#[tokio::test]
async fn http2_needs_no_negotiation_and_can_be_turned_off() {
    let registry = TestRegistry::start().await;
    let client = registry.client().speaking(Protocol::Http2);
    assert_eq!(client.get("/v2/").expect(200).await.version, Version::HTTP_2);
    assert_eq!(registry.client().get("/v2/").expect(200).await.version, Version::HTTP_11);

    let options = ServeOptions::default().http2_disabled(true);
    let registry = TestRegistry::with(|builder| builder.serve_options(options)).await;
    registry.client().get("/v2/").expect(200).await;
    assert!(registry.client().speaking(Protocol::Http2).get("/v2/").send().await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_carries_many_requests_at_once() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let client = registry.client().speaking(Protocol::Http2);
    let push = |seed: u64| {
        let client = client.clone();
        tokio::spawn(async move {
            let image = Image::random(seed);
            client.push("h2", &format!("t{seed}"), &image).await?;
            client.pull("h2", &format!("t{seed}"), &image).await
        })
    };
    for result in join_all((0..20).map(push)).await {
        result.unwrap().unwrap();
    }
}

#[tokio::test]
async fn tls_offers_both_versions() {
    let folder = tempfile::tempdir().unwrap();
    let (options, authority) = tls(folder.path(), false);
    let registry = TestRegistry::with(|builder| builder.serve_options(options)).await;
    let client = secure_client(&registry, &authority);
    for (protocol, version) in [
        (Protocol::Http1, Version::HTTP_11),
        (Protocol::Http2, Version::HTTP_2),
        (Protocol::Negotiated, Version::HTTP_2),
    ] {
        let client = client.clone().speaking(protocol);
        assert_eq!(client.get("/v2/").expect(200).await.version, version, "{protocol:?}");
        let image = Image::random(2);
        client.push("tls", "latest", &image).await.unwrap();
        client.pull("tls", "latest", &image).await.unwrap();
        let session = client.begin_upload("tls").await.unwrap();
        assert!(session.location.starts_with("https://localhost:"), "{}", session.location);
    }
    let (options, authority) = tls(folder.path(), true);
    let registry = TestRegistry::with(|builder| builder.serve_options(options)).await;
    let client = secure_client(&registry, &authority).speaking(Protocol::Negotiated);
    assert_eq!(client.get("/v2/").expect(200).await.version, Version::HTTP_11);
}

#[tokio::test]
async fn who_does_not_trust_the_certificate_gets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let (options, _) = tls(folder.path(), false);
    let (_, other_authority) = tls(other.path(), false);
    let registry = TestRegistry::with(|builder| builder.serve_options(options)).await;
    let error = secure_client(&registry, &other_authority).get("/v2/").send().await.unwrap_err();
    assert!(error.is_disconnect(), "{error}");
    // And nobody gets anything without TLS.
    let mut plain = RawConnection::open(registry.address()).await.unwrap();
    plain.send("GET /v2/ HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(plain.rest().await.starts_with(b"HTTP/1.1 400 "), "it is told that this port speaks HTTPS");
}

/// TLS with a certificate for `localhost`, and the PEM file of whom to trust.
fn tls(folder: &std::path::Path, http2_disabled: bool) -> (ServeOptions, Vec<u8>) {
    let made = selfsigned::find_or_make(folder, &["localhost".to_owned()]).unwrap();
    let tls = Tls::load(TlsOptions::new(made.certificate, made.key).http2_disabled(http2_disabled));
    let options = ServeOptions::default().tls(Some(Arc::new(tls.unwrap()))).http2_disabled(http2_disabled);
    (options, std::fs::read(made.authority).unwrap())
}

fn secure_client(registry: &TestRegistry, authority: &[u8]) -> Client {
    let url = registry.url().replace("http://127.0.0.1", "https://localhost");
    Client::new(&url).trusting(authority)
}

#[tokio::test]
async fn clients_from_before_indexes_get_the_image_that_they_mean() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let list = Index::of(vec![Image::docker(3), Image::docker(4)]);
    client.push_index("old", "latest", &list).await.unwrap();
    let (path, by_digest) =
        ("/v2/old/manifests/latest".to_owned(), format!("/v2/old/manifests/{}", list.manifest.digest));
    let image = MediaType::DOCKER_MANIFEST.to_string();
    let both = format!("{image}, {}", MediaType::DOCKER_LIST);
    let amd64 = &list.images[0].manifest;
    for (path, accept, expected) in [
        (&path, image.as_str(), amd64),
        (&path, &format!("{image};q=0.9, application/json"), amd64),
        (&path, &both, &list.manifest),
        (&path, "*/*", &list.manifest),
        (&path, "application/json", &list.manifest),
        (&by_digest, &image, &list.manifest),
    ] {
        for request in [client.get(path), client.head(path)] {
            let response = request.header("accept", accept).expect(200).await;
            assert_eq!(response.must_have("docker-content-digest"), expected.digest.to_string(), "{accept}");
            assert_eq!(response.must_have("content-type"), expected.media_type.as_str(), "{accept}");
        }
    }
    // Several headers are one list.
    let request = client.get(&path).header("accept", &image).header("accept", MediaType::DOCKER_LIST);
    assert_eq!(
        request.expect(200).await.must_have("docker-content-digest"),
        list.manifest.digest.to_string()
    );
}

#[tokio::test]
async fn a_prefix_is_before_everything() {
    let settings = TestRegistry::settings().prefix("/registry/".to_owned());
    let registry = TestRegistry::with_settings(settings).await;
    let client = registry.client();
    let response = client.post("/registry/v2/team/app/blobs/uploads/").expect(202).await;
    let begin = format!("{}/registry/v2/team/app/blobs/uploads/", registry.url());
    assert!(response.location().starts_with(&begin), "{}", response.location());
    client.get("/registry/v2/").expect(200).await;
    client.get("/").expect(200).await;
    for outside in ["/v2/", "/registryv2/", "/registry", "/other/v2/"] {
        client.get(outside).expect(404).await;
    }
    let catalog = client.get("/registry/v2/_catalog?n=0").expect(200).await;
    assert_eq!(catalog.next_page(), None);
}

#[tokio::test]
async fn addresses_are_those_that_the_client_used() {
    let registry = TestRegistry::start().await;
    let own = registry.url().to_owned();
    let cases: [(&[(&str, &str)], &str); 9] = [
        (&[], &own),
        (&[("host", "registry.example:5000")], "http://registry.example:5000"),
        (&[("host", "r.example"), ("x-forwarded-proto", "https")], "https://r.example"),
        (
            &[("x-forwarded-proto", "https"), ("x-forwarded-host", "out.example, in.example")],
            "https://out.example",
        ),
        (&[("forwarded", "proto=https;host=out.example:8443")], "https://out.example:8443"),
        (&[("forwarded", "for=\"[::1]:1\";host=\"out.example\";proto=https, for=x")], "https://out.example"),
        (&[("x-forwarded-proto", "javascript"), ("host", "r.example")], "http://r.example"),
        (&[("host", "r.example"), ("x-forwarded-host", "a b")], "http://r.example"),
        (&[("host", "r.example"), ("x-forwarded-host", "evil/path?x=")], "http://r.example"),
    ];
    for (headers, base) in cases {
        let mut request = registry.client().post("/v2/app/blobs/uploads/");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let response = request.expect(202).await;
        assert!(
            response.location().starts_with(&format!("{base}/v2/app/")),
            "{headers:?}: {}",
            response.location()
        );
    }
}

#[tokio::test]
async fn addresses_are_those_that_the_operator_chose() {
    let relative = TestRegistry::settings().relative_urls(true);
    let both = TestRegistry::settings().relative_urls(true).prefix("/r/".to_owned());
    let host = TestRegistry::settings().host(Some("https://hub.example".to_owned()));
    let hosted = relative.clone().host(Some("https://hub.example".to_owned())).prefix("/r/".to_owned());
    for (settings, path, begin) in [
        (relative, "/v2/app/blobs/uploads/", "/v2/app/blobs/uploads/"),
        (both, "/r/v2/app/blobs/uploads/", "/r/v2/app/blobs/uploads/"),
        (host, "/v2/app/blobs/uploads/", "https://hub.example/v2/app/blobs/uploads/"),
        (hosted, "/r/v2/app/blobs/uploads/", "https://hub.example/r/v2/app/blobs/uploads/"),
    ] {
        let registry = TestRegistry::with_settings(settings).await;
        let response = registry.client().post(path).header("x-forwarded-host", "other").expect(202).await;
        assert!(response.location().starts_with(begin), "{}", response.location());
    }
}

#[tokio::test]
async fn containerd_may_name_the_registry_that_it_mirrors() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let image = Image::random(5);
    client.push("library/app", "latest", &image).await.unwrap();
    let response = client.get("/v2/library/app/manifests/latest?ns=docker.io").expect(200).await;
    assert_eq!(response.body, image.manifest.bytes);
}
