//! What a browser can be made to ask: pages change nothing, and names that lead here by a trick open nothing.

use registry_core::api::UnknownHosts;
use registry_core::types::ErrorCode;
use registry_testing::{Client, Image, Program, RawConnection, RawResponse, ServerOptions, TestRegistry};

use crate::access::{by_prefix, named};

/// Headers of a page of another site: as old browsers send them, as new ones do, and by way of a name that leads here.
const PAGES: [&str; 6] = [
    "host: 127.0.0.1:5000\r\norigin: https://evil.example\r\n",
    "host: 127.0.0.1:5000\r\norigin: null\r\nsec-fetch-site: cross-site\r\n",
    "host: 127.0.0.1:5000\r\nsec-fetch-site: same-site\r\n",
    "host: 127.0.0.1:5000\r\norigin: http://127.0.0.1:8080\r\n",
    "host: evil.example:5000\r\norigin: http://evil.example:5000\r\nsec-fetch-site: same-origin\r\n",
    "host: evil.example:5000\r\norigin: http://evil.example:5000\r\nx-forwarded-host: localhost\r\n",
];

async fn ask(address: &str, line: &str, headers: &str) -> RawResponse {
    let mut connection = RawConnection::open(address).await.unwrap();
    let close = "connection: close\r\ncontent-length: 0\r\n\r\n";
    connection.send(format!("{line} HTTP/1.1\r\n{headers}{close}")).await.unwrap();
    connection.answer().await.unwrap()
}

/// Everything that changes something.
fn changes(repository: &str, image: &Image) -> Vec<String> {
    let (manifest, blob) = (image.manifest.digest, image.blobs[0].digest);
    vec![
        format!("POST /v2/{repository}/blobs/uploads/"),
        format!("POST /v2/{repository}/blobs/uploads/?mount={blob}"),
        format!("POST /v2/new/blobs/uploads/?digest={blob}"),
        format!("PATCH /v2/{repository}/blobs/uploads/0b0f4f7a-3c63-4b0e-9d0a-0a0b0c0d0e0f"),
        format!("PUT /v2/{repository}/blobs/uploads/0b0f4f7a-3c63-4b0e-9d0a-0a0b0c0d0e0f?digest={blob}"),
        format!("PUT /v2/{repository}/manifests/latest"),
        format!("DELETE /v2/{repository}/manifests/latest"),
        format!("DELETE /v2/{repository}/manifests/{manifest}"),
        format!("DELETE /v2/{repository}/blobs/{blob}"),
        "POST /nowhere".to_owned(),
    ]
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing() {
    let registry = TestRegistry::start().await;
    let image = Image::random(1);
    registry.client().push("app", "latest", &image).await.unwrap();
    for line in changes("app", &image) {
        for page in PAGES {
            let answer = ask(registry.address(), &line, page).await;
            assert_eq!(answer.status, 403, "{line}\n{page}");
            let text = String::from_utf8_lossy(&answer.body);
            assert!(text.contains("DENIED") && text.contains("http.hosts"), "{text}");
        }
    }
    registry.client().pull("app", "latest", &image).await.unwrap();
    let catalog = registry.client().get("/v2/_catalog").expect(200).await.json();
    assert_eq!(catalog["repositories"], serde_json::json!(["app"]));
}

#[tokio::test]
async fn a_page_changes_nothing_in_a_registry_with_users_either() {
    let registry = TestRegistry::with(by_prefix).await;
    let image = Image::random(2);
    named(&registry, "ann").push("ann/app", "latest", &image).await.unwrap();
    for line in changes("ann/app", &image) {
        for page in PAGES {
            // As a browser sends along what a user once logged in with; and refused before anybody asks who it is.
            for login in ["", "authorization: Name ann\r\n"] {
                let answer = ask(registry.address(), &line, &format!("{page}{login}")).await;
                assert_eq!(answer.status, 403, "{line}\n{page}{login}");
            }
        }
    }
    named(&registry, "ann").pull("ann/app", "latest", &image).await.unwrap();
}

#[tokio::test]
async fn the_registrys_own_pages_and_allowed_ones_change_things() {
    let headers = http::HeaderMap::from_iter([(
        http::header::ACCESS_CONTROL_ALLOW_ORIGIN,
        http::HeaderValue::from_static("https://ui.example"),
    )]);
    let settings = TestRegistry::settings()
        .headers(headers)
        .host(Some("https://hub.example".to_owned()))
        .hosts(vec!["registry.lan".to_owned()]);
    let registry = TestRegistry::with_settings(settings).await;
    for page in [
        "host: 127.0.0.1:5000\r\n",
        "host: whatever.example\r\n",
        "host: 127.0.0.1:5000\r\norigin: http://127.0.0.1:5000\r\nsec-fetch-site: same-origin\r\n",
        "host: localhost:5000\r\norigin: http://localhost:5000\r\n",
        "host: registry.lan\r\norigin: http://registry.lan\r\n",
        "host: 10.0.0.7:5000\r\norigin: https://hub.example\r\n",
        "host: 10.0.0.7:5000\r\norigin: https://ui.example\r\nsec-fetch-site: cross-site\r\n",
    ] {
        let answer = ask(registry.address(), "POST /v2/app/blobs/uploads/", page).await;
        assert_eq!(answer.status, 202, "{page}");
    }
}

#[tokio::test]
async fn reading_is_left_to_the_browsers_own_rules() {
    let registry = TestRegistry::start().await;
    for page in PAGES {
        for line in ["GET /v2/", "GET /v2/_catalog"] {
            let answer = ask(registry.address(), line, page).await;
            assert_eq!(answer.status, 200, "{line}\n{page}");
            assert!(!answer.headers.contains_key("access-control-allow-origin"), "{page}");
            assert_eq!(answer.headers["cross-origin-resource-policy"], "same-origin");
        }
    }
}

#[tokio::test]
async fn what_is_refused_for_its_host_is_refused_for_every_endpoint_and_version() {
    let settings = TestRegistry::settings().unknown_hosts(UnknownHosts::Refuse);
    let registry = TestRegistry::with_settings(settings.clone()).await;
    let image = Image::random(3);
    registry.client().push("app", "latest", &image).await.unwrap();
    let reads = ["GET /", "GET /v2/", "GET /v2/_catalog", "GET /v2/app/manifests/latest", "OPTIONS /v2/"];
    let reads = reads.map(str::to_owned).into_iter();
    for line in reads.chain(changes("app", &image)) {
        let answer = ask(registry.address(), &line, "host: evil.example:5000\r\n").await;
        assert_eq!(answer.status, 421, "{line}");
        let text = String::from_utf8_lossy(&answer.body);
        assert!(text.contains("http.hosts") && text.contains("evil.example"), "{text}");
    }
    let http2 = registry.url().replace("127.0.0.1", "localhost");
    let http2 = Client::new(&http2).speaking(registry_testing::Protocol::Http2);
    http2.get("/v2/").expect(200).await;
    registry.client().pull("app", "latest", &image).await.unwrap();

    // With users, being reached is not enough.
    let registry = TestRegistry::with(|builder| by_prefix(builder).settings(settings)).await;
    assert_eq!(ask(registry.address(), "GET /v2/", "host: evil.example\r\n").await.status, 401);
}

#[tokio::test]
async fn a_start_without_a_file_answers_no_other_host() {
    let options = ServerOptions::new().variable("REGISTRY_HTTP_DEBUG_ADDR", "127.0.0.1:0");
    let server = options.start().await;
    let debug = debug_address(&server).await;
    for (address, path) in [(server.address(), "/v2/_catalog"), (&debug, "/debug/health")] {
        let line = format!("GET {path}");
        let refused = ask(address, &line, "host: evil.example\r\n").await;
        assert_eq!(refused.status, 421, "{path}");
        let text = String::from_utf8_lossy(&refused.body);
        assert!(text.contains("REGISTRY_HTTP_HOSTS=evil.example"), "{text}");
        for host in ["127.0.0.1:5000", "localhost", "r.localhost:5000", "[::1]:5000", "10.0.0.1"] {
            assert_eq!(ask(address, &line, &format!("host: {host}\r\n")).await.status, 200, "{host}");
        }
    }
    drop(server);
    let named = options.variable("REGISTRY_HTTP_HOSTS", "evil.example").start().await;
    assert_eq!(ask(named.address(), "GET /v2/_catalog", "host: Evil.example:80\r\n").await.status, 200);
}

const FILE: &str = "
version: 0.1
http: {debug: {addr: '127.0.0.1:0'}}
";

#[tokio::test]
async fn with_a_file_other_hosts_are_answered_and_named_once() {
    let server = ServerOptions::new().config(FILE).start().await;
    let debug = debug_address(&server).await;
    for (address, path, host) in
        [(server.address(), "/v2/_catalog", "a.example"), (&debug, "/debug/health", "b.example")]
    {
        for _ in 0..3 {
            let answer = ask(address, &format!("GET {path}"), &format!("host: {host}:5000\r\n")).await;
            assert_eq!(answer.status, 200, "{path}");
        }
        server.log().wait_for(host).await;
        let log = server.log().text();
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(host)).collect();
        assert_eq!(lines.len(), 1, "{log}");
        assert!(lines[0].contains("level=warn") && lines[0].contains("http.hosts"), "{}", lines[0]);
    }
    // What pages may change is another matter.
    let page = "host: a.example\r\norigin: http://a.example\r\n";
    assert_eq!(ask(server.address(), "POST /v2/app/blobs/uploads/", page).await.status, 403);
}

#[tokio::test]
async fn strict_safety_refuses_other_hosts_also_with_a_file() {
    let server = ServerOptions::new().config(&format!("{FILE}safety: strict\n")).start().await;
    let debug = debug_address(&server).await;
    for (address, path) in [(server.address(), "/v2/"), (&debug, "/debug/health")] {
        let line = format!("GET {path}");
        assert_eq!(ask(address, &line, "host: a.example\r\n").await.status, 421, "{path}");
        assert_eq!(ask(address, &line, "host: localhost\r\n").await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn strict_safety_shows_health_to_this_machine_alone() {
    let config = "
version: 0.1
safety: strict
http: {debug: {addr: '0.0.0.0:0'}}
";
    let (status, log) = ServerOptions::new().config(config).try_start().await.unwrap_err();
    assert!(!status.success() && log.contains("http.debug.addr"), "{log}");
}

#[tokio::test]
async fn others_are_told_what_is_unwell_but_not_why() {
    for (address, shows_why) in [("127.0.0.1:0", true), ("0.0.0.0:0", false)] {
        let options = ServerOptions::new();
        let unwell = options.folder().join("unwell");
        std::fs::write(&unwell, "").unwrap();
        let config = format!(
            "
version: 0.1
http: {{debug: {{addr: '{address}'}}}}
health: {{file: [{{file: {}, interval: 100ms}}]}}
",
            unwell.display()
        );
        let server = options.config(&config).start().await;
        let debug = debug_address(&server).await;
        server.log().wait_for("requests are refused").await;
        let answer = ask(&debug, "GET /debug/health", "host: localhost\r\n").await;
        assert_eq!(answer.status, 503);
        let text = String::from_utf8_lossy(&answer.body);
        assert!(text.contains(&unwell.display().to_string()), "{text}");
        assert_eq!(text.contains("the file exists"), shows_why, "{text}");
    }
}

/// Where health and metrics are served, as the log says.
async fn debug_address(server: &registry_testing::Server) -> String {
    let find = |log: &str| {
        let (_, after) = log.split_once("health and metrics at http://")?;
        Some(after[..after.find(|c: char| c.is_whitespace() || c == '"')?].replace("0.0.0.0", "127.0.0.1"))
    };
    server.log().wait_for_value("the debug server's address", find).await
}

#[tokio::test]
async fn what_is_pushed_is_nothing_for_a_browser_to_run() {
    let registry = TestRegistry::with(by_prefix).await;
    let image = Image::random(4);
    let ann = named(&registry, "ann");
    ann.push("ann/app", "latest", &image).await.unwrap();
    let public = named(&registry, "public");
    public.push("public/app", "latest", &image).await.unwrap();
    let blob = image.blobs[0].digest;
    let anonymous = registry.client();
    for (client, repository, year, none) in [
        (&ann, "ann", "private, max-age=31536000", Some("private")),
        (&anonymous, "public", "max-age=31536000", None),
    ] {
        for (path, cached) in [
            (format!("/v2/{repository}/app/blobs/{blob}"), Some(year)),
            (format!("/v2/{repository}/app/manifests/latest"), none),
            (format!("/v2/{repository}/app/tags/list"), none),
        ] {
            for request in [client.get(&path), client.head(&path)] {
                let answer = request.expect(200).await;
                let policy = answer.must_have("content-security-policy");
                assert_eq!(policy, "sandbox; default-src 'none'; frame-ancestors 'none'", "{path}");
                assert_eq!(answer.must_have("cross-origin-resource-policy"), "same-origin", "{path}");
                assert_eq!(answer.must_have("x-content-type-options"), "nosniff", "{path}");
                assert_eq!(answer.header("cache-control"), cached, "{path}");
                let disposition = path.contains("/blobs/").then_some("attachment");
                assert_eq!(answer.header("content-disposition"), disposition, "{path}");
            }
        }
    }
    let refused = anonymous.get("/v2/ann/app/tags/list").expect(401).await;
    refused.must_have("content-security-policy");
    assert_eq!(refused.error_code(), ErrorCode::Unauthorized);
}

#[tokio::test]
async fn check_config_knows_the_keys() {
    let config = "
version: 0.1
safety: strict
http: {hosts: [registry.lan], trustedproxies: [10.0.0.0/8]}
";
    let options = ServerOptions::new();
    let file = options.folder().join("hosts.yml");
    std::fs::write(&file, config).unwrap();
    let output = options.run(Program::Registry, &["check-config", &file.display().to_string()]).await;
    assert!(output.status.success(), "{output:?}");
}
