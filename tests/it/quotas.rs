//! Quotas through the program: what is refused and how it is told, `registry quota`, a server that is killed.

use registry_testing::{
    ClientError, Content, Image, Program, RawConnection, Response, Server, ServerOptions, eventually,
};
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
        "prefix": "team/", "bytes": size(&second), "bytes_max": limit, "held": size(&first), "held_max": limit,
        "tags": 1, "tags_max": 2,
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

const LIMIT_BYTES: u64 = 1_000_000;

/// What a folder of the store takes, in bytes of files.
fn stored_bytes(server: &Server) -> u64 {
    let shards = std::fs::read_dir(server.data().join("store/blobs")).into_iter().flatten().flatten();
    let files = shards.flat_map(|shard| std::fs::read_dir(shard.path()).into_iter().flatten().flatten());
    files.filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum()
}

/// The message of a refusal.
fn refused(error: &ClientError) -> String {
    let ClientError::Status { status, body, .. } = error else { panic!("not an answer: {error}") };
    assert_eq!(status.as_u16(), 403, "{body}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["errors"][0]["code"], "DENIED");
    body["errors"][0]["message"].as_str().unwrap().to_owned()
}

/// The head of a `PATCH` or `PUT` with this much to come, and a little of it.
fn beginning(server: &Server, method: &str, location: &str, length_bytes: u64) -> Vec<u8> {
    let path = location.strip_prefix(&server.url()).unwrap_or(location);
    let host = server.address();
    format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {length_bytes}\r\n\r\nbytes")
        .into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_can_not_fit_is_refused_before_it_comes() {
    let server = options(&json!([{ "prefix": "team/", "bytes": LIMIT_BYTES }])).start().await;
    let client = server.client();
    let digest = Content::random(1, 10).digest;
    for method in ["PATCH", "PUT", "POST"] {
        let location = match method {
            "POST" => format!("/v2/team/a/blobs/uploads/?digest={digest}"),
            "PUT" => client.begin_upload("team/a").await.unwrap().closing(&digest),
            _ => client.begin_upload("team/a").await.unwrap().location,
        };
        let mut raw = RawConnection::open(server.address()).await.unwrap();
        raw.send(beginning(&server, method, &location, LIMIT_BYTES + 1)).await.unwrap();
        let answer = raw.answer().await.unwrap();
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, 403, "{method}: {said}");
        assert!(said.contains("the quota of `team/` is exceeded"), "{method}: {said}");
        if method == "PATCH" {
            client.get(&location).expect(404).await;
        }
    }
    is_clean(&server).await;
}

/// Without a length: as soon as it is more than can be kept, and nothing of it stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_is_refused_while_it_arrives_and_leaves_nothing() {
    let options = options(&json!([{ "prefix": "team/", "bytes": LIMIT_BYTES }]));
    let server = options.variable("REGISTRY_GC_INTERVAL", "1s").start().await;
    let location = server.client().begin_upload("team/a").await.unwrap().location;
    let path = location.strip_prefix(&server.url()).unwrap_or(&location).to_owned();
    let mut raw = RawConnection::open(server.address()).await.unwrap();
    let head =
        format!("PATCH {path} HTTP/1.1\r\nhost: {}\r\ntransfer-encoding: chunked\r\n\r\n", server.address());
    raw.send(head).await.unwrap();
    // One byte too many, and it never ends.
    raw.send(format!("{:x}\r\n", LIMIT_BYTES + 1)).await.unwrap();
    raw.send(vec![7; LIMIT_BYTES as usize + 1]).await.unwrap();
    let answer = raw.answer().await.unwrap();
    let said = String::from_utf8_lossy(&answer.body).into_owned();
    assert_eq!(answer.status, 403, "{said}");
    assert!(said.contains("this adds") && said.contains("`quotas[].held`"), "{said}");
    server.client().get(&location).expect(404).await;
    eventually("the bytes are gone", async || (stored_bytes(&server) == 0).then_some(())).await;
    is_clean(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_are_left_fill_no_more_than_the_quota() {
    let options = options(&json!([{ "prefix": "team/", "bytes": LIMIT_BYTES }]));
    let server = options.start().await;
    let client = server.client();
    let mut saved = 0;
    let refused = loop {
        let session = match client.begin_upload("team/a").await {
            Ok(session) => session,
            Err(error) => break refused(&error),
        };
        match client.patch(&session.location).body(vec![7; 250_000]).want(202).await {
            Ok(_) => saved += 250_000,
            Err(error) => break refused(&error),
        }
        assert!(saved <= LIMIT_BYTES, "{saved} bytes are stored");
    };
    assert!(refused.contains("is used up") && refused.contains("uploads give it back"), "{refused}");
    assert_eq!(quotas(&options, &[]).await[0]["held"], json!(saved));
    is_clean(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blobs_without_an_image_fill_no_more_than_the_quota() {
    let server = options(&json!([{ "prefix": "team/", "bytes": LIMIT_BYTES }])).start().await;
    let client = server.client();
    let mut pushed = 0;
    for seed in 0.. {
        match client.push_blob("team/a", &Content::random(seed, 250_000)).await {
            Ok(()) => pushed += 250_000,
            Err(error) => {
                refused(&error);
                break;
            }
        }
        assert!(pushed <= LIMIT_BYTES, "{pushed} bytes are stored");
    }
    // Another repository's blobs are no way around it.
    let blob = Content::random(99, 250_000);
    client.push_blob("elsewhere", &blob).await.unwrap();
    let mount = format!("/v2/team/a/blobs/uploads/?mount={}&from=elsewhere", blob.digest);
    assert_eq!(client.post(&mount).send().await.unwrap().status, 403);
    is_clean(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushing_and_deleting_in_circles_fills_no_more_than_the_trash_may_hold() {
    let options = options(&json!([{ "prefix": "team/", "bytes": LIMIT_BYTES, "held": 400_000 }]));
    let server = options.start().await;
    let client = server.client();
    for seed in 0.. {
        let image = Image::random(seed);
        if let Err(error) = client.push("team/a", "v1", &image).await {
            let said = refused(&error);
            assert!(said.contains("deleted images after `gc.undelete_window`"), "{said}");
            break;
        }
        client.delete(&format!("/v2/team/a/manifests/{}", image.manifest.digest)).expect(202).await;
        assert!(stored_bytes(&server) < 2 * LIMIT_BYTES);
    }
    is_clean(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_blob_is_larger_than_the_limit_for_blobs() {
    let options = ServerOptions::new().variable("REGISTRY_HTTP_LIMITS_BLOBBYTES", "300KiB");
    let server = options.start().await;
    let client = server.client();
    client.push_blob("a", &Content::random(1, 300 << 10)).await.unwrap();
    let session = client.begin_upload("a").await.unwrap();
    let patch = client.patch(&session.location).body(vec![7; 300 << 10]).want(202).await.unwrap();
    let location = patch.location().to_owned();
    let refused = client.patch(&location).body(vec![7]).send().await.unwrap();
    assert_eq!((refused.status.as_u16(), &error(&refused)["code"]), (403, &json!("DENIED")));
    assert_eq!(
        error(&refused)["message"],
        "a blob has at most 300 KiB here; `http.limits.blobbytes` says so"
    );
    client.get(&location).expect(404).await;
}
