//! Quotas through the program: what is refused and how it is told, `registry quota`, a server that is killed.

use registry_testing::{Image, Program, Response, Server, ServerOptions};
use serde_json::{Value, json};

/// With these quotas.
fn options(quotas: &Value) -> ServerOptions {
    ServerOptions::new().variable("REGISTRY_QUOTAS", &quotas.to_string())
}

/// What the image takes of a quota.
fn size(image: &Image) -> u64 {
    image.blobs.iter().chain([&image.manifest]).map(|content| content.bytes.len() as u64).sum()
}

fn error(response: &Response) -> Value {
    let body: Value = serde_json::from_slice(&response.body).unwrap();
    body["errors"][0].clone()
}

async fn quotas(options: &ServerOptions, arguments: &[&str]) -> Value {
    let arguments = [&["quota", "--report", "json"][..], arguments].concat();
    let run = options.run(Program::Registry, &arguments).await;
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let report: Value = serde_json::from_slice(&run.stdout).unwrap();
    report["quotas"].clone()
}

async fn is_clean(server: &Server) {
    let run = server.options().run(Program::Registry, &["fsck"]).await;
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stdout));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manifest_that_exceeds_a_quota_is_denied_and_says_why() {
    let (first, second) = (Image::random(1), Image::random(2));
    let limit = size(&first) + size(&second) - 1;
    let options = options(&json!([{ "prefix": "team/", "bytes": limit, "tags": 2 }]));
    let server = options.start().await;
    let client = server.client();
    client.push("team/a", "v1", &first).await.unwrap();
    client.push("elsewhere", "v1", &second).await.unwrap();
    for blob in &second.blobs {
        client.push_blob("team/a", blob).await.unwrap();
    }
    let path = "/v2/team/a/manifests/v2";
    let put =
        || client.put(path).content_type(&second.manifest.media_type).body(second.manifest.bytes.clone());
    let refused = put().send().await.unwrap();
    assert_eq!(refused.status, 403);
    let error = error(&refused);
    assert_eq!(error["code"], "DENIED");
    let message = error["message"].as_str().unwrap();
    assert!(message.starts_with("the quota of `team/` is exceeded: "), "{message}");
    let detail = json!({
        "prefix": "team/", "kind": "bytes", "limit": limit, "usage": size(&first), "requested": size(&second),
    });
    assert_eq!(error["detail"], detail);
    client.get(path).expect(404).await;

    client.delete(&format!("/v2/team/a/manifests/{}", first.manifest.digest)).expect(202).await;
    put().expect(201).await;
    let used = quotas(&options, &[]).await;
    let expected = json!([{
        "prefix": "team/", "bytes": size(&second), "bytes_max": limit, "tags": 1, "tags_max": 2,
    }]);
    assert_eq!(used, expected);
    is_clean(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_is_refused_as_soon_as_it_leads_to_nothing() {
    let first = Image::random(1);
    let big = Image::random(2);
    let options = options(&json!([{ "prefix": "team/", "bytes": size(&first) + 10 }]));
    let server = options.start().await;
    let client = server.client();
    client.push("team/a", "v1", &first).await.unwrap();
    let layer = &big.blobs[2];
    let session = client.begin_upload("team/a").await.unwrap();
    let refused = client.put(&session.closing(&layer.digest)).body(layer.bytes.clone()).send().await.unwrap();
    assert_eq!((refused.status.as_u16(), &error(&refused)["code"]), (403, &json!("DENIED")));
    client.get(&session.location).expect(404).await;

    let full = options.variable("REGISTRY_QUOTAS_0_BYTES", &size(&first).to_string());
    drop(server);
    let server = full.start().await;
    let refused = server.client().post("/v2/team/b/blobs/uploads/").send().await.unwrap();
    assert_eq!(refused.status, 403);
    assert!(error(&refused)["message"].as_str().unwrap().contains("is used up"));
    server.client().begin_upload("other").await.unwrap();
}

/// A push that is killed counts as a whole or not at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn race_20_counters_survive_a_killed_server() {
    let options = options(&json!([{ "tags": 1000 }]));
    let mut server = options.start().await;
    for round in 0..3 {
        let client = server.client();
        let pushing = tokio::spawn(async move {
            for number in 0..1000 {
                let image = Image::random(10_000 * round + number);
                if client.push("team/a", &format!("v{round}-{number}"), &image).await.is_err() {
                    return number;
                }
            }
            0
        });
        registry_testing::eventually("some are pushed", async || {
            let tags = server.client().get("/v2/team/a/tags/list").send().await.unwrap();
            (tags.text().matches(&format!("v{round}-")).count() > 2).then_some(())
        })
        .await;
        server.kill().await;
        assert!(pushing.await.unwrap() > 2);
        server = options.start().await;
        is_clean(&server).await;
    }
    let counted = quotas(&options, &[]).await;
    assert_eq!(quotas(&options, &["--recount"]).await, counted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_quota_counts_what_is_there_and_an_old_one_is_forgotten() {
    let image = Image::random(1);
    let without = ServerOptions::new();
    let server = without.start().await;
    server.client().push("team/a", "v1", &image).await.unwrap();
    drop(server);
    let with = without.clone().variable("REGISTRY_QUOTAS", r#"[{"prefix": "team/", "tags": 1}]"#);
    assert_eq!(quotas(&with, &[]).await[0]["bytes"], Value::Null, "the server counts first");
    let server = with.start().await;
    assert_eq!(quotas(&with, &[]).await[0]["bytes"], json!(size(&image)));
    let text = with.run(Program::Registry, &["quota"]).await.stdout;
    let text = String::from_utf8(text).unwrap();
    assert!(text.lines().nth(1).unwrap().starts_with("team/ "), "{text}");
    drop(server);
    // Somebody works on it without knowing of the quota, and the next one counts again.
    let server = without.start().await;
    server.client().push("team/a", "v2", &Image::random(2)).await.unwrap();
    drop(server);
    let server = with.start().await;
    assert_eq!(quotas(&with, &[]).await[0]["tags"], json!(2));
    is_clean(&server).await;
}
