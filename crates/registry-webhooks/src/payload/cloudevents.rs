//! CloudEvents 1.0, JSON, structured mode.
//!
//! Source: CloudEvents 1.0.2, "JSON Event Format", "HTTP Protocol Binding"; extension "Sequence". No handshake (`OPTIONS`) is made.

use registry_events::{Event, Kind};
use registry_types::RequestSource;
use serde::Serialize;

use super::{Audience, Message, Origin, Payload, PayloadError, checked, rfc3339};

const CONTENT_TYPE: &str = "application/cloudevents+json";

#[derive(Serialize)]
struct Envelope<'a> {
    specversion: &'static str,
    id: String,
    source: &'a str,
    #[serde(rename = "type")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    time: String,
    datacontenttype: &'static str,
    /// Texts that are in the order of the numbers also as texts: the extension asks for that.
    sequence: String,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    repository: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest_before: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    media_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<Cause<'a>>,
}

#[derive(Serialize)]
struct Cause<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    method: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'a str>,
}

pub(super) fn write(message: &Message<'_>, origin: &Origin) -> Result<Payload, PayloadError> {
    let event = message.event;
    let envelope = Envelope {
        specversion: "1.0",
        id: message.id.to_string(),
        source: &origin.url,
        kind: format!("registry.{}.v1", event.kind),
        subject: subject(event),
        time: rfc3339(event.at_ms)?,
        datacontenttype: "application/json",
        sequence: format!("{:020}", message.sequence),
        data: data(event, message.audience),
    };
    checked(CONTENT_TYPE, serde_json::to_vec(&envelope)?)
}

/// `acme/app:1.0`, `acme/app@sha256:…`, `acme/app`.
fn subject(event: &Event) -> Option<String> {
    let name = event.name.as_deref()?;
    let is_of_tag =
        !matches!(event.kind, Kind::ManifestPushed | Kind::ManifestDeleted | Kind::ManifestRestored);
    Some(match (&event.tag, &event.digest) {
        (Some(tag), _) if is_of_tag => format!("{name}:{tag}"),
        (_, Some(digest)) => format!("{name}@{digest}"),
        _ => name.to_owned(),
    })
}

fn data(event: &Event, audience: Audience) -> Data<'_> {
    Data {
        kind: event.kind.as_str(),
        repository: event.name.as_deref(),
        tag: event.tag.as_deref(),
        digest: event.digest.as_deref(),
        digest_before: event.digest_before.as_deref(),
        media_type: event.media_type.as_deref(),
        size_bytes: event.size_bytes,
        actor: event.cause.actor(),
        request: event.cause.request.as_ref().map(|request| cause(request, audience)),
    }
}

fn cause(request: &RequestSource, audience: Audience) -> Cause<'_> {
    Cause {
        id: &request.id,
        address: request.address.as_deref().filter(|_| audience == Audience::Operators),
        host: request.host.as_deref(),
        method: &request.method,
        user_agent: request.user_agent.as_deref(),
    }
}
