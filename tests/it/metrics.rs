//! What operators see: health, metrics, and the access log.

use registry_core::{selfsigned, types::ErrorCode};
use registry_testing::{Client, Image, Server, ServerOptions, eventually};

const CONFIG: &str = "
version: 0.1
http:
  debug:
    addr: 127.0.0.1:0
    prometheus: {enabled: true}
health:
  storagedriver: {enabled: true, interval: 100ms, threshold: 2}
";

#[tokio::test]
async fn metrics_have_the_names_that_dashboards_know() {
    let server = ServerOptions::new().config(CONFIG).start().await;
    let image = Image::random(1);
    server.client().push("app", "latest", &image).await.unwrap();
    server.client().pull("app", "latest", &image).await.unwrap();
    server.client().get("/v2/app/manifests/absent").expect(404).await;
    let debug = debug_client(&server).await;
    let metrics = debug.get("/metrics").expect(200).await;
    assert!(metrics.must_have("content-type").contains("text"), "{:?}", metrics.headers);
    let metrics = metrics.text();
    for name in [
        "registry_http_requests_total{",
        "registry_http_request_duration_seconds_bucket{",
        "registry_http_request_size_bytes_bucket{",
        "registry_http_response_size_bytes_bucket{",
        "registry_http_in_flight_requests{",
        "registry_storage_action_seconds_bucket{",
        "registry_database_action_seconds_bucket{",
        "registry_build_info{",
        "registry_http_memory_bytes ",
        "registry_http_memory_max_bytes 50331648",
        "registry_http_window_bytes ",
        "registry_http_files ",
        "registry_http_files_max ",
        "registry_http_refusals_total{reason=\"memory\"} 0",
        "registry_http_refusals_total{reason=\"address_connections\"} 0",
        "process_start_time_seconds ",
        "process_resident_memory_bytes ",
        "process_cpu_seconds_total ",
        "process_open_fds ",
        "process_max_fds ",
        "process_virtual_memory_bytes ",
    ] {
        assert!(metrics.contains(name), "{name} is not in\n{metrics}");
    }
    let head = debug.head("/metrics").expect(200).await;
    assert!(head.body.is_empty() && head.must_have("content-length") != "0", "{head:?}");
    for (handler, code, method) in [
        ("manifest", "201", "put"),
        ("manifest", "200", "get"),
        ("manifest", "404", "get"),
        ("blob", "200", "get"),
        ("blob", "404", "head"),
        ("blob_upload", "202", "post"),
        ("blob_upload_chunk", "202", "patch"),
        ("blob_upload_chunk", "201", "put"),
    ] {
        let labels = format!("{{handler=\"{handler}\",code=\"{code}\",method=\"{method}\"}}");
        let counted = value_of(&metrics, &format!("registry_http_requests_total{labels}"));
        assert!(counted > 0.0, "{labels}");
    }
    assert!(!metrics.contains("app"), "metrics name repositories, whose number has no limit:\n{metrics}");
}

#[tokio::test]
async fn no_request_stays_in_flight() {
    let server = ServerOptions::new().config(CONFIG).start().await;
    server.client().push("app", "latest", &Image::random(2)).await.unwrap();
    let debug = debug_client(&server).await;
    eventually("all requests are done", async || {
        let metrics = debug.get("/metrics").expect(200).await.text();
        let mut gauges = metrics.lines().filter(|line| line.starts_with("registry_http_in_flight_requests{"));
        gauges.all(|line| line.ends_with(" 0")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_registry_without_its_folder_is_unwell_until_it_is_back() {
    let server = ServerOptions::new().config(CONFIG).start().await;
    let (client, debug) = (server.client(), debug_client(&server).await);
    let image = Image::random(3);
    client.push("app", "latest", &image).await.unwrap();
    assert_eq!(debug.get("/debug/health").expect(200).await.text(), "{}");

    let aside = server.data().with_extension("aside");
    std::fs::rename(server.data(), &aside).unwrap();
    let unwell = debug.get("/debug/health").expect(503).await.json();
    assert!(!unwell.as_object().unwrap().is_empty());
    eventually("requests are refused", async || {
        (client.get("/").send().await.unwrap().status == 503).then_some(())
    })
    .await;
    let refused = client.get("/v2/").expect(503).await;
    assert_eq!(refused.error_code(), ErrorCode::Unavailable);
    assert_eq!(refused.must_have("retry-after"), "1");

    std::fs::rename(&aside, server.data()).unwrap();
    eventually("requests are served", async || {
        (client.get("/v2/").send().await.unwrap().status == 200).then_some(())
    })
    .await;
    assert_eq!(debug.get("/debug/health").expect(200).await.text(), "{}");
    client.pull("app", "latest", &image).await.unwrap();
}

#[tokio::test]
async fn a_file_takes_a_node_out_of_service() {
    let options = ServerOptions::new();
    let file = options.folder().join("out-of-service");
    let config = format!(
        "version: 0.1\nhttp: {{debug: {{addr: '127.0.0.1:0'}}}}\nhealth:\n  file:\n  - file: {}\n    interval: 100ms\n",
        file.display()
    );
    let server = options.config(&config).start().await;
    let (client, debug) = (server.client(), debug_client(&server).await);
    client.get("/").expect(200).await;
    for (exists, status) in [(true, 503), (false, 200)] {
        if exists {
            std::fs::write(&file, "").unwrap()
        } else {
            std::fs::remove_file(&file).unwrap()
        }
        eventually("the check is noticed", async || {
            (client.get("/").send().await.unwrap().status == status).then_some(())
        })
        .await;
        debug.get("/debug/health").expect(status).await;
    }
}

#[tokio::test]
async fn urls_and_addresses_that_must_answer_are_asked_over_tls_too() {
    let other = ServerOptions::new();
    let made = selfsigned::find_or_make(&other.folder().join("tls"), &["localhost".to_owned()]).unwrap();
    let tls = format!(
        "version: 0.1\nhttp: {{tls: {{certificate: {}, key: {}}}}}\n",
        made.certificate.display(),
        made.key.display()
    );
    let other = other.config(&tls).start().await;
    let port = other.address().rsplit_once(':').unwrap().1.to_owned();
    let config = format!(
        "
version: 0.1
http: {{debug: {{addr: '127.0.0.1:0'}}}}
health:
  tcp: [{{addr: 'localhost:{port}', interval: 100ms}}]
  http: [{{uri: 'https://localhost:{port}/v2/', headers: {{X-Asked-By: [health]}}, interval: 100ms}}]
"
    );
    // The roots of the system are those in this file.
    let options = ServerOptions::new().config(&config);
    let trusting = options.variable("SSL_CERT_FILE", made.authority.to_str().unwrap()).start().await;
    let doubting = ServerOptions::new().config(&config).start().await;
    let url = format!("https://localhost:{port}/v2/");
    let debug = debug_client(&doubting).await;
    let failures = eventually("the certificate is doubted", async || {
        let answer = debug.get("/debug/health").send().await.unwrap();
        (answer.status == 503).then(|| answer.json())
    })
    .await;
    let failures = failures.as_object().unwrap();
    assert!(failures.len() == 1 && failures[&url].as_str().unwrap().contains("certificate"), "{failures:?}");
    // The other node began to ask before this one.
    assert_eq!(debug_client(&trusting).await.get("/debug/health").expect(200).await.text(), "{}");

    drop(other);
    let debug = debug_client(&trusting).await;
    eventually("both checks fail", async || {
        let failures = debug.get("/debug/health").send().await.unwrap().json();
        (failures.as_object().unwrap().len() == 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_debug_server_shows_nothing_else() {
    let server = ServerOptions::new().config(CONFIG).start().await;
    let debug = debug_client(&server).await;
    for path in ["/", "/v2/", "/debug/vars", "/debug/pprof/", "/debug/health/down"] {
        debug.get(path).expect(404).await;
    }
    debug.post("/debug/health").expect(404).await;
    // And the registry does not show what is its.
    server.client().get("/metrics").expect(404).await;
    server.client().get("/debug/health").expect(404).await;
}

#[tokio::test]
async fn every_request_is_a_line_of_the_access_log() {
    let server = Server::start().await;
    let client = server.client();
    let request = client.get("/v2/app/manifests/absent").header("user-agent", "test/1 \"quoted\"");
    request.header("x-request-id", "id-of-the-test").expect(404).await;
    let line = server.access_log().wait_for_value("the request", |log| {
        log.lines().find(|line| line.contains("id-of-the-test")).map(str::to_owned)
    });
    let line = line.await;
    assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
    assert!(line.contains("\"GET /v2/app/manifests/absent HTTP/1.1\" 404 "), "{line}");
    assert!(line.contains("test/1 ?quoted?"), "{line}");
}

/// A client for the debug server, whose address is in the log.
pub(crate) async fn debug_client(server: &Server) -> Client {
    let address = server.log().wait_for_value("the debug server's address", |log| {
        let (_, after) = log.split_once("health and metrics at http://")?;
        after.split(['"', '\n']).next().map(str::to_owned)
    });
    Client::new(&format!("http://{}", address.await))
}

fn value_of(metrics: &str, name: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("{name} is not in\n{metrics}")).trim().parse().unwrap()
}

#[tokio::test]
async fn clients_have_their_own_kind_of_address_in_the_access_log() {
    let options = ServerOptions::new().variable("REGISTRY_HTTP_ADDR", ":0");
    let server = options.start().await;
    let (_, port) = server.address().rsplit_once(':').unwrap();
    Client::new(&format!("http://127.0.0.1:{port}")).get("/v2/").expect(200).await;
    let line = server.access_log();
    line.wait_for("GET /v2/ ").await;
    assert!(line.text().starts_with("127.0.0.1 - "), "{}", line.text());
}
