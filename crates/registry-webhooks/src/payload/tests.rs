//! Each format, byte for byte.

use registry_events::Kind;
use registry_types::Cause;

use super::*;

const DIGEST: &str = "sha256:a3aa9a6043e00956389f9e9ac582e89b5acda67f142cb2b9f4ca1ab146b651d7";
const BEFORE: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

fn origin() -> Origin {
    Origin {
        url: "https://registry.example.com".into(),
        node: "node-1:5000".into(),
        instance: "244818df-46c8-4239-88e9-6177e3c5261c".into(),
        callbacks: Some("https://registry.example.com/api/v1/callbacks".into()),
    }
}

fn request() -> RequestSource {
    let address = Some("203.0.113.7");
    RequestSource::new("0af7651916cd43dd", address, Some("registry.example.com"), "PUT", Some("docker/29.1"))
}

fn about_nothing(kind: Kind, at_ms: i64) -> Event {
    crate::event::event(kind, at_ms, Cause::UNKNOWN)
}

fn event(kind: Kind) -> Event {
    Event {
        repository: Some(4),
        name: Some("acme/app".into()),
        tag: Some("1.0".into()),
        digest: Some(DIGEST.into()),
        digest_before: Some(BEFORE.into()),
        media_type: Some("application/vnd.oci.image.manifest.v1+json".into()),
        size_bytes: Some(392),
        cause: Cause { actor: Some("ada".into()), request: Some(request()) },
        ..about_nothing(kind, 1_796_081_403_592)
    }
}

fn written(format: WebhookFormat, event: &Event, audience: Audience, facts: &Facts) -> (String, String) {
    let id = "msg_00112233445566778899aabbccddeeff".parse().unwrap();
    let message = Message { id, sequence: 42, event, audience };
    let payload = payload(format, &message, &origin(), facts).unwrap();
    (payload.content_type.to_owned(), String::from_utf8(payload.body.to_vec()).unwrap())
}

fn body(format: WebhookFormat, event: &Event) -> String {
    written(format, event, Audience::Operators, &Facts::default()).1
}

/// On one line, as it is sent.
fn line(text: &str) -> String {
    text.lines().map(str::trim_start).collect()
}

#[test]
fn a_cloud_event() {
    let (content_type, body) =
        written(WebhookFormat::CloudEvents, &event(Kind::TagMoved), Audience::Operators, &Facts::default());
    assert_eq!(content_type, "application/cloudevents+json");
    assert_eq!(
        body,
        line(
            r#"{"specversion":"1.0",
            "id":"msg_00112233445566778899aabbccddeeff",
            "source":"https://registry.example.com",
            "type":"registry.tag.moved.v1",
            "subject":"acme/app:1.0",
            "time":"2026-11-30T23:30:03.592Z",
            "datacontenttype":"application/json",
            "sequence":"00000000000000000042",
            "data":{"kind":"tag.moved",
            "repository":"acme/app",
            "tag":"1.0",
            "digest":"sha256:a3aa9a6043e00956389f9e9ac582e89b5acda67f142cb2b9f4ca1ab146b651d7",
            "digest_before":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
            "media_type":"application/vnd.oci.image.manifest.v1+json",
            "size_bytes":392,
            "actor":"ada",
            "request":{"id":"0af7651916cd43dd",
            "address":"203.0.113.7",
            "host":"registry.example.com",
            "method":"PUT",
            "user_agent":"docker/29.1"}}}"#
        )
    );
}

#[test]
fn what_a_cloud_event_lacks_is_left_out() {
    let none = about_nothing(Kind::ImportFinished, 1_796_081_403_000);
    assert_eq!(
        body(WebhookFormat::CloudEvents, &none),
        line(
            r#"{"specversion":"1.0",
            "id":"msg_00112233445566778899aabbccddeeff",
            "source":"https://registry.example.com",
            "type":"registry.import.finished.v1",
            "time":"2026-11-30T23:30:03Z",
            "datacontenttype":"application/json",
            "sequence":"00000000000000000042",
            "data":{"kind":"import.finished"}}"#
        )
    );
}

#[test]
fn the_subject_is_what_the_event_is_about() {
    let subject = |event: &Event| {
        let body: serde_json::Value = serde_json::from_str(&body(WebhookFormat::CloudEvents, event)).unwrap();
        body["subject"].as_str().unwrap().to_owned()
    };
    assert_eq!(subject(&event(Kind::TagDeleted)), "acme/app:1.0");
    // Although the push has a tag.
    assert_eq!(subject(&event(Kind::ManifestPushed)), format!("acme/app@{DIGEST}"));
    let created = Event { name: Some("acme/app".into()), ..about_nothing(Kind::RepositoryCreated, 0) };
    assert_eq!(subject(&created), "acme/app");
}

#[test]
fn a_users_receiver_is_not_told_addresses() {
    for format in [WebhookFormat::CloudEvents, WebhookFormat::Distribution] {
        let pushed = event(Kind::ManifestPushed);
        let of = |audience| written(format, &pushed, audience, &Facts::default()).1;
        assert!(of(Audience::Operators).contains("203.0.113.7"), "{format}");
        assert!(!of(Audience::Users).contains("203.0.113.7"), "{format}");
    }
}

#[test]
fn a_call_as_from_docker_hub() {
    let facts = Facts {
        created_at: Some(1_417_494_799),
        is_public: Some(false),
        description: "An app".into(),
        full_description: "# An app\n".into(),
        references: Vec::new(),
    };
    let moved = event(Kind::TagMoved);
    let (content_type, body) = written(WebhookFormat::DockerHub, &moved, Audience::Operators, &facts);
    assert_eq!(content_type, "application/json");
    assert_eq!(
        body,
        line(
            r##"{"callback_url":"https://registry.example.com/api/v1/callbacks/msg_00112233445566778899aabbccddeeff",
            "push_data":{"pushed_at":1796081403,
            "pusher":"ada",
            "tag":"1.0",
            "images":[],
            "digest":"sha256:a3aa9a6043e00956389f9e9ac582e89b5acda67f142cb2b9f4ca1ab146b651d7",
            "media_type":"application/vnd.oci.image.manifest.v1+json"},
            "repository":{"comment_count":0,
            "date_created":1417494799,
            "description":"An app",
            "dockerfile":"",
            "full_description":"# An app\n",
            "is_official":false,
            "is_private":true,
            "is_trusted":false,
            "name":"app",
            "namespace":"acme",
            "owner":"acme",
            "repo_name":"acme/app",
            "repo_url":"https://registry.example.com/acme/app",
            "star_count":0,
            "status":"Active"}}"##
        )
    );
}

#[test]
fn names_of_one_and_of_many_components_are_split_before_the_last() {
    for (name, namespace, last) in [("app", "", "app"), ("a/b/c", "a/b", "c")] {
        let event = Event { name: Some(name.into()), ..event(Kind::TagMoved) };
        let body: serde_json::Value = serde_json::from_str(&body(WebhookFormat::DockerHub, &event)).unwrap();
        let repository = &body["repository"];
        assert_eq!((&repository["namespace"], &repository["name"]), (&namespace.into(), &last.into()));
        assert_eq!(repository["repo_name"], name);
    }
}

#[test]
fn a_push_as_the_go_registry_tells_of_it() {
    let reference = |media_type: &str, digest: &str, size| Reference {
        media_type: media_type.into(),
        digest: digest.into(),
        size,
    };
    let facts = Facts {
        references: vec![reference("application/vnd.oci.image.config.v1+json", BEFORE, 2)],
        ..Facts::default()
    };
    let pushed = event(Kind::ManifestPushed);
    let (content_type, body) = written(WebhookFormat::Distribution, &pushed, Audience::Operators, &facts);
    assert_eq!(content_type, "application/vnd.docker.distribution.events.v2+json");
    assert_eq!(
        body,
        r#"{
   "events": [
      {
         "id": "00112233-4455-4677-8899-aabbccddeeff",
         "timestamp": "2026-11-30T23:30:03.592Z",
         "action": "push",
         "target": {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": "sha256:a3aa9a6043e00956389f9e9ac582e89b5acda67f142cb2b9f4ca1ab146b651d7",
            "size": 392,
            "length": 392,
            "repository": "acme/app",
            "url": "https://registry.example.com/v2/acme/app/manifests/sha256:a3aa9a6043e00956389f9e9ac582e89b5acda67f142cb2b9f4ca1ab146b651d7",
            "tag": "1.0",
            "references": [
               {
                  "mediaType": "application/vnd.oci.image.config.v1+json",
                  "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
                  "size": 2
               }
            ]
         },
         "request": {
            "id": "0af7651916cd43dd",
            "addr": "203.0.113.7",
            "host": "registry.example.com",
            "method": "PUT",
            "useragent": "docker/29.1"
         },
         "actor": {
            "name": "ada"
         },
         "source": {
            "addr": "node-1:5000",
            "instanceID": "244818df-46c8-4239-88e9-6177e3c5261c"
         }
      }
   ]
}"#
    );
}

#[test]
fn deletions_as_the_go_registry_tells_of_them() {
    let target = |kind| {
        let deleted = Event { cause: Cause::UNKNOWN, ..event(kind) };
        let body: serde_json::Value =
            serde_json::from_str(&body(WebhookFormat::Distribution, &deleted)).unwrap();
        let event = &body["events"][0];
        assert_eq!(event["action"], "delete");
        assert_eq!(event["actor"].to_string(), "{}");
        assert_eq!(event["request"].to_string(), r#"{"id":"","method":"","useragent":""}"#);
        event["target"].to_string()
    };
    assert_eq!(
        target(Kind::TagDeleted),
        r#"{"digest":"","mediaType":"","repository":"acme/app","size":0,"tag":"1.0"}"#
    );
    assert_eq!(
        target(Kind::ManifestDeleted),
        format!(r#"{{"digest":"{DIGEST}","mediaType":"","repository":"acme/app","size":0}}"#)
    );
}

#[test]
fn a_mount_as_the_go_registry_tells_of_it() {
    let mount = Notice {
        action: "mount",
        at_ms: 1_796_081_403_592,
        repository: "acme/other".into(),
        from_repository: Some("acme/app".into()),
        tag: None,
        digest: BEFORE.into(),
        media_type: "application/octet-stream".into(),
        size_bytes: 5,
        is_manifest: false,
        actor: None,
        request: RequestSource::new("0af7651916cd43dd", None, None, "POST", None),
    };
    let id = MessageId::generate().unwrap();
    let payload = notice(id, &mount, &origin(), &Facts::default()).unwrap();
    let body: serde_json::Value = serde_json::from_slice(&payload.body).unwrap();
    assert_eq!(body["events"][0]["id"], id.to_uuid());
    assert_eq!(
        body["events"][0]["target"].to_string(),
        format!(
            r#"{{"digest":"{BEFORE}","fromRepository":"acme/app","length":5,"mediaType":"application/octet-stream","repository":"acme/other","size":5,"url":"https://registry.example.com/v2/acme/other/blobs/{BEFORE}"}}"#
        )
    );
}

#[test]
fn bodies_are_bounded_and_references_go_first() {
    let reference = Reference { media_type: "a".repeat(200), digest: DIGEST.into(), size: 1 };
    let facts = Facts { references: vec![reference; 1000], ..Facts::default() };
    let pushed = event(Kind::ManifestPushed);
    let (_, body) = written(WebhookFormat::Distribution, &pushed, Audience::Operators, &facts);
    assert!(body.len() < 2000 && !body.contains("references"), "{} bytes", body.len());

    let long = Facts { full_description: "a".repeat(BODY_BYTES_MAX), ..Facts::default() };
    let id = MessageId::generate().unwrap();
    let message = Message { id, sequence: 1, event: &pushed, audience: Audience::Users };
    let error = payload(WebhookFormat::DockerHub, &message, &origin(), &long).unwrap_err();
    assert!(matches!(error, PayloadError::Long { .. }), "{error}");
}

#[test]
fn a_test_is_written_in_each_format_and_names_no_repository() {
    let test = Event { cause: Cause::by("ada"), ..about_nothing(Kind::WebhookTest, 0) };
    assert!(body(WebhookFormat::CloudEvents, &test).contains(r#""type":"registry.webhook.test.v1""#));
    assert!(body(WebhookFormat::DockerHub, &test).contains(r#""repo_name":"registry/webhook-test""#));
    assert!(body(WebhookFormat::Distribution, &test).contains(r#""action": "test""#));
}
