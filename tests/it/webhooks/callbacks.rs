//! What receivers of Docker Hub's format are told of a repository, and the URL to which they report.

use registry_testing::{Behaviour, Image, Program, Receiver, Server, ServerOptions};
use serde_json::{Value, json};

use super::got;

/// The host that the operator gives.
const HOST: &str = "https://registry.example.com";

/// A server that tells a receiver in Docker Hub's format, and what the receiver is told of a push.
async fn told(choose: impl FnOnce(ServerOptions) -> ServerOptions) -> (Server, Value) {
    let receiver = Receiver::start(Behaviour::good()).await;
    let hook = format!("[{{name: hub, url: \"{}\", format: dockerhub}}]", receiver.url());
    let options = choose(ServerOptions::new().variable("REGISTRY_WEBHOOKS", &hook));
    let server = options.start().await;
    server.client().push("acme/app", "1.0", &Image::random(1)).await.unwrap();
    let call = got(&receiver, 1).await[0].json();
    (server, call)
}

async fn history(server: &Server, id: &str) -> Value {
    let arguments = ["webhook", "history", "hub", "--message", id, "--report", "json"];
    let output = server.options().run(Program::Registry, &arguments).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn a_receiver_of_docker_hubs_format_reports_to_the_url_that_it_is_told() {
    let (server, call) = told(|options| options.variable("REGISTRY_HTTP_HOST", HOST)).await;
    let repository = &call["repository"];
    assert_eq!((&repository["is_private"], &repository["repo_name"]), (&json!(false), &json!("acme/app")));
    let (pushed_at, created_at) = (&call["push_data"]["pushed_at"], &repository["date_created"]);
    let age = pushed_at.as_i64().unwrap() - created_at.as_i64().unwrap();
    assert!((0..60).contains(&age), "{call}");
    let url = call["callback_url"].as_str().unwrap();
    let path = url.strip_prefix(HOST).unwrap_or_else(|| panic!("{url}"));
    let id = path.rsplit_once('/').unwrap().1;

    let client = server.client();
    let report = json!({"state": "success", "description": "387 tests", "context": "CI", "target_url": "https://ci/1"});
    client.post(path).body(report.to_string()).expect(204).await;
    let [kept] =
        <[Value; 1]>::try_from(history(&server, id).await["callbacks"].as_array().unwrap().clone()).unwrap();
    for (key, value) in report.as_object().unwrap() {
        assert_eq!(kept[key], *value, "{kept}");
    }

    let long = json!({"state": "success", "description": "x".repeat(20_000)}).to_string();
    for (body, status) in [("{}".to_owned(), 400), (json!({"state": "done"}).to_string(), 400), (long, 413)] {
        client.post(path).body(body).expect(status).await;
    }
    let unknown = path.replace(id, "msg_00112233445566778899aabbccddeeff");
    for (path, status) in
        [(unknown.as_str(), 404), (&format!("{path}0"), 404), (path.rsplit_once('/').unwrap().0, 404)]
    {
        client.post(path).body(report.to_string()).expect(status).await;
    }
    let answer = client.get(path).expect(405).await;
    assert_eq!(answer.must_have("allow"), "POST");
    // Ten are kept.
    for _ in 0..12 {
        client.post(path).body(report.to_string()).expect(204).await;
    }
    assert_eq!(history(&server, id).await["callbacks"].as_array().unwrap().len(), 10);
}

#[tokio::test]
async fn without_a_host_there_is_no_url_to_report_to() {
    let (server, call) = told(|options| options).await;
    assert_eq!(call.get("callback_url"), None, "{call}");
    let path = "/api/v1/webhooks/callbacks/msg_00112233445566778899aabbccddeeff";
    server.client().post(path).body("{}").expect(404).await;
}
