//! What the Go registry sends to the endpoints of its `notifications`, beside what we write for the same: byte for byte as version 3,
//! and field by field as version 2, which leaves out what is empty.
//!
//! `tests/setup clients registries` installs both.

use bytes::Bytes;
use http::Method;
use registry_core::types::{Cause, EventKind, RequestSource, WebhookFormat};
use registry_testing::{Behaviour, Client, Content, Image, Received, Receiver, eventually};
use registry_webhooks::{
    Audience, Event, Facts, Message, MessageId, Notice, Origin, Reference, WebhookSecret, notice, payload,
    sign,
};
use serde_json::Value;

use crate::go_registry::GoRegistry;

fn config(receiver: &Receiver) -> String {
    format!(
        "notifications: {{events: {{includereferences: true}}, endpoints: [{{name: ours, url: \"{}\", timeout: 5s, \
         threshold: 3, backoff: 1s, headers: {{Authorization: [Bearer secret]}}}}]}}\n",
        receiver.url()
    )
}

/// Pushes, pulls, mounts and deletes. Each request waits for what the receiver is told of the one before, so that the order is known.
async fn use_it(go: &GoRegistry, receiver: &Receiver, image: &Image) -> Vec<Received> {
    let client = Client::new(go.url()).header(http::header::USER_AGENT, "agent/1");
    let (layer, manifest) = (image.blobs[1].digest, image.manifest.digest);
    client.push("acme/app", "1.0", image).await.unwrap();
    let mut expected = image.blobs.len() + 1;
    for (method, path, told_of) in [
        (Method::GET, "/v2/acme/app/manifests/1.0".to_owned(), 1),
        (Method::HEAD, format!("/v2/acme/app/manifests/{manifest}"), 1),
        (Method::GET, format!("/v2/acme/app/blobs/{layer}"), 1),
        (Method::POST, format!("/v2/acme/other/blobs/uploads/?mount={layer}&from=acme/app"), 1),
        (Method::DELETE, format!("/v2/acme/other/blobs/{layer}"), 1),
        // With the tag that leads there.
        (Method::DELETE, format!("/v2/acme/app/manifests/{manifest}"), 2),
    ] {
        told(receiver, expected).await;
        let request = client.request(method, &path).header("accept", &image.manifest.media_type);
        let response = request.send().await.unwrap();
        assert!(response.status.is_success(), "{path}: {}", response.status);
        expected += told_of;
    }
    told(receiver, expected).await
}

/// Waits until a receiver was told so much.
async fn told(receiver: &Receiver, count: usize) -> Vec<Received> {
    let enough = async || Some(receiver.received()).filter(|received| received.len() >= count);
    eventually("the Go registry has told all", enough).await
}

/// What it would be here: the same facts, as an event or a notice, and the client that asked.
fn ours(theirs: &Value, image: &Image) -> (Bytes, &'static str) {
    let event = &theirs["events"][0];
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let (target, request) = (&event["target"], &event["request"]);
    let origin = Origin {
        url: format!("http://{}", request["host"].as_str().unwrap()),
        node: text(&event["source"]["addr"]).unwrap(),
        instance: text(&event["source"]["instanceID"]).unwrap(),
        callbacks: None,
    };
    let source = RequestSource::new(
        request["id"].as_str().unwrap(),
        request["addr"].as_str(),
        request["host"].as_str(),
        request["method"].as_str().unwrap(),
        request["useragent"].as_str(),
    );
    let is_manifest = target["mediaType"] == image.manifest.media_type.as_str();
    let facts = Facts {
        references: if is_manifest { image.blobs.iter().map(reference).collect() } else { Vec::new() },
        ..Facts::default()
    };
    let id: MessageId = ID.parse().unwrap();
    let kind = match event["action"].as_str().unwrap() {
        "push" if is_manifest => EventKind::ManifestPushed,
        "delete" if target["tag"].is_string() => EventKind::TagDeleted,
        "delete" if target["repository"] == "acme/app" => EventKind::ManifestDeleted,
        action => {
            let action =
                ["pull", "mount", "push", "delete"].into_iter().find(|known| *known == action).unwrap();
            let read = Notice {
                action,
                at_ms: AT_MS,
                repository: text(&target["repository"]).unwrap(),
                from_repository: text(&target["fromRepository"]),
                tag: text(&target["tag"]),
                digest: text(&target["digest"]).unwrap(),
                media_type: text(&target["mediaType"]).unwrap_or_default(),
                size_bytes: target["size"].as_u64().unwrap_or(0),
                is_manifest,
                actor: text(&event["actor"]["name"]),
                request: source,
            };
            let written = notice(id, &read, &origin, &facts).unwrap();
            return (written.body, written.content_type);
        }
    };
    let event = Event {
        id: 1,
        position: 1,
        kind,
        at_ms: AT_MS,
        repository: Some(1),
        name: text(&target["repository"]),
        tag: text(&target["tag"]),
        digest: text(&target["digest"]),
        digest_before: None,
        media_type: text(&target["mediaType"]),
        size_bytes: target["size"].as_u64(),
        cause: Cause { actor: text(&event["actor"]["name"]), request: Some(source) },
    };
    let message = Message { id, sequence: 1, event: &event, audience: Audience::Operators };
    let written = payload(WebhookFormat::Distribution, &message, &origin, &facts).unwrap();
    (written.body, written.content_type)
}

const ID: &str = "msg_00112233445566778899aabbccddeeff";
const AT_MS: i64 = 1_796_081_403_592;
const TIMESTAMP: &str = "2026-11-30T23:30:03.592Z";

fn reference(content: &Content) -> Reference {
    Reference {
        media_type: content.media_type.to_string(),
        digest: content.digest.to_string(),
        size: content.bytes.len() as u64,
    }
}

/// Theirs, with the two texts that differ each time made ours.
fn with_our_id(body: &str, theirs: &Value) -> String {
    let event = &theirs["events"][0];
    let id: MessageId = ID.parse().unwrap();
    body.replacen(event["id"].as_str().unwrap(), &id.to_uuid(), 1).replacen(
        event["timestamp"].as_str().unwrap(),
        TIMESTAMP,
        1,
    )
}

/// Leaves out what is empty, as version 2 does.
fn without_empty(mut body: Value) -> Value {
    let target = body["events"][0]["target"].as_object_mut().unwrap();
    target.retain(|_, value| value != "" && *value != 0);
    body
}

/// What happened, in a few words.
fn name(theirs: &Value) -> String {
    let event = &theirs["events"][0];
    let target = &event["target"];
    let what = if target["digest"].as_str().unwrap_or_default().is_empty() { "tag" } else { "content" };
    let url = target["url"].as_str().unwrap_or_default();
    let place = ["/manifests/", "/blobs/"].into_iter().find(|place| url.contains(place)).unwrap_or(what);
    format!(
        "{} {} {}",
        event["request"]["method"].as_str().unwrap(),
        event["action"].as_str().unwrap(),
        place
    )
}

async fn compare(
    program: &str,
    content_type: &str,
    is_alike: impl Fn(&str, &[u8], &Value) -> bool,
) -> Vec<String> {
    let receiver = Receiver::start(Behaviour::good()).await;
    let go = GoRegistry::start(program, &config(&receiver)).await;
    let image = Image::random(1);
    let mut names = Vec::new();
    for received in use_it(&go, &receiver, &image).await {
        assert_eq!(received.header("content-type"), content_type);
        assert_eq!(received.header("authorization"), "Bearer secret");
        let theirs = received.json();
        let (body, _) = ours(&theirs, &image);
        let text = with_our_id(std::str::from_utf8(&received.body).unwrap(), &theirs);
        assert!(
            is_alike(&text, &body, &theirs),
            "{}: theirs\n{text}\nours\n{}",
            name(&theirs),
            String::from_utf8_lossy(&body)
        );
        names.push(name(&theirs));
    }
    names
}

const HAPPENED: [&str; 8] = [
    "PUT push /blobs/",
    "PUT push /manifests/",
    "GET pull /manifests/",
    "HEAD pull /manifests/",
    "GET pull /blobs/",
    "POST mount /blobs/",
    "DELETE delete content",
    "DELETE delete tag",
];

#[tokio::test]
async fn an_envelope_is_what_the_go_registry_sends() {
    let names =
        compare("go-registry", "application/vnd.docker.distribution.events.v2+json", |theirs, ours, _| {
            theirs.as_bytes() == ours
        })
        .await;
    assert!(HAPPENED.iter().all(|name| names.iter().any(|seen| seen == name)), "{names:?}");
}

#[tokio::test]
async fn an_envelope_has_the_fields_that_the_go_registry_of_version_2_sends() {
    let names = compare(
        "docker-registry",
        "application/vnd.docker.distribution.events.v1+json",
        |theirs, ours, _| {
            let [theirs, ours]: [Value; 2] =
                [serde_json::from_str(theirs).unwrap(), serde_json::from_slice(ours).unwrap()];
            theirs == without_empty(ours)
        },
    )
    .await;
    assert!(HAPPENED.iter().all(|name| names.iter().any(|seen| seen == name)), "{names:?}");
}

/// The shell of `docs/webhooks.md` takes what is signed with the secret, and nothing else.
#[test]
fn the_shell_of_the_manual_verifies() {
    let manual =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/webhooks.md")).unwrap();
    let shell = manual.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("body"), "{\"a\": 1}\n").unwrap();
    let (secret, former) = (WebhookSecret::generate().unwrap(), WebhookSecret::generate().unwrap());
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    let id: MessageId = ID.parse().unwrap();
    for (key, signed_at, body, is_good) in [
        (&secret, now, "{\"a\": 1}\n", true),
        (&former, now, "{\"a\": 1}\n", true),
        (&WebhookSecret::generate().unwrap(), now, "{\"a\": 1}\n", false),
        (&secret, now - 400, "{\"a\": 1}\n", false),
        (&secret, now, "{\"a\": 2}\n", false),
    ] {
        let headers = sign(id, signed_at, body.as_bytes(), &[&secret, &former]);
        let header = |name: &str| headers[name].to_str().unwrap().to_owned();
        let status = std::process::Command::new("sh")
            .args(["-ec", shell])
            .current_dir(folder.path())
            .env("secret", key.expose())
            .env("id", header("webhook-id"))
            .env("timestamp", header("webhook-timestamp"))
            .env("signature", header("webhook-signature"))
            .status()
            .unwrap();
        assert_eq!(status.success(), is_good, "{signed_at} {body}");
    }
}
