//! The envelope of the Go registry's notifications, version 3: `application/vnd.docker.distribution.events.v2+json`, with one event.
//!
//! Source: distribution 3.0.0, `notifications/event.go`, `notifications/http.go`, and what that registry sends.

use registry_events::{Event, Kind};
use registry_types::RequestSource;
use serde::Serialize;

use super::{Audience, Facts, Message, Notice, Origin, Payload, PayloadError, Reference, checked, rfc3339};
use crate::{MessageId, filter::action};

/// Of what is deleted, the digest and the repository are told.
const DELETE: &str = "delete";

const CONTENT_TYPE: &str = "application/vnd.docker.distribution.events.v2+json";

#[derive(Serialize)]
struct Envelope<'a> {
    events: [Record<'a>; 1],
}

#[derive(Serialize)]
struct Record<'a> {
    id: String,
    timestamp: String,
    action: &'a str,
    target: Target<'a>,
    request: Call<'a>,
    actor: Actor<'a>,
    source: Source<'a>,
}

/// The first three are there also when they are empty.
#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct Target<'a> {
    media_type: &'a str,
    digest: &'a str,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    length: Option<u64>,
    #[serde(skip_serializing_if = "str::is_empty")]
    repository: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_repository: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    references: &'a [Reference],
}

/// `id`, `method` and `useragent` are there also when they are empty.
#[derive(Serialize, Default)]
struct Call<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    addr: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    method: &'a str,
    useragent: &'a str,
}

#[derive(Serialize)]
struct Actor<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

#[derive(Serialize)]
struct Source<'a> {
    addr: &'a str,
    #[serde(rename = "instanceID")]
    instance: &'a str,
}

pub(super) fn write(message: &Message<'_>, origin: &Origin, facts: &Facts) -> Result<Payload, PayloadError> {
    let event = message.event;
    let mut call = event.cause.request.as_ref().map(call).unwrap_or_default();
    if message.audience == Audience::Users {
        call.addr = None;
    }
    envelope(Record {
        id: message.id.to_uuid(),
        timestamp: rfc3339(event.at_ms)?,
        action: action(event.kind),
        target: target(event, origin, &facts.references),
        request: call,
        actor: Actor { name: event.cause.actor() },
        source: source(origin),
    })
}

pub(super) fn write_notice(
    id: MessageId,
    notice: &Notice,
    origin: &Origin,
    facts: &Facts,
) -> Result<Payload, PayloadError> {
    envelope(Record {
        id: id.to_uuid(),
        timestamp: rfc3339(notice.at_ms)?,
        action: notice.action,
        target: noticed(notice, origin, &facts.references),
        request: call(&notice.request),
        actor: Actor { name: notice.actor.as_deref() },
        source: source(origin),
    })
}

fn noticed<'a>(notice: &'a Notice, origin: &Origin, references: &'a [Reference]) -> Target<'a> {
    let (repository, digest) = (notice.repository.as_str(), notice.digest.as_str());
    if notice.action == DELETE {
        return Target { repository, digest, ..Target::default() };
    }
    let kind = if notice.is_manifest { "manifests" } else { "blobs" };
    Target {
        media_type: &notice.media_type,
        digest,
        size: notice.size_bytes,
        length: length(notice.size_bytes),
        repository,
        from_repository: notice.from_repository.as_deref(),
        url: Some(url(origin, repository, kind, digest)),
        tag: notice.tag.as_deref(),
        references,
    }
}

/// Without what the manifest refers to, if the body is too long with it.
fn envelope(record: Record<'_>) -> Result<Payload, PayloadError> {
    let mut envelope = Envelope { events: [record] };
    match checked(CONTENT_TYPE, indented(&envelope)?) {
        Err(PayloadError::Long { .. }) if !envelope.events[0].target.references.is_empty() => {
            envelope.events[0].target.references = &[];
            checked(CONTENT_TYPE, indented(&envelope)?)
        }
        checked => checked,
    }
}

/// By three spaces, as there.
fn indented(envelope: &Envelope<'_>) -> Result<Vec<u8>, serde_json::Error> {
    let mut body = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"   ");
    envelope.serialize(&mut serde_json::Serializer::with_formatter(&mut body, formatter))?;
    Ok(body)
}

fn target<'a>(event: &'a Event, origin: &Origin, references: &'a [Reference]) -> Target<'a> {
    let repository = event.name.as_deref().unwrap_or_default();
    let digest = event.digest.as_deref().unwrap_or_default();
    match event.kind {
        // Of a tag that is deleted, name and repository alone; of a manifest, digest and repository.
        Kind::TagDeleted => Target { repository, tag: event.tag.as_deref(), ..Target::default() },
        Kind::ManifestDeleted => Target { repository, digest, ..Target::default() },
        Kind::WebhookTest => Target::default(),
        _ => {
            let size = event.size_bytes.unwrap_or_default();
            Target {
                media_type: event.media_type.as_deref().unwrap_or_default(),
                digest,
                size,
                length: length(size),
                repository,
                from_repository: None,
                url: Some(url(origin, repository, "manifests", digest)),
                tag: event.tag.as_deref(),
                references,
            }
        }
    }
}

fn length(size: u64) -> Option<u64> {
    (size > 0).then_some(size)
}

fn url(origin: &Origin, repository: &str, kind: &str, digest: &str) -> String {
    format!("{}/v2/{repository}/{kind}/{digest}", origin.url)
}

fn call(request: &RequestSource) -> Call<'_> {
    Call {
        id: &request.id,
        addr: request.address.as_deref(),
        host: request.host.as_deref(),
        method: &request.method,
        useragent: request.user_agent.as_deref().unwrap_or_default(),
    }
}

fn source(origin: &Origin) -> Source<'_> {
    Source { addr: &origin.node, instance: &origin.instance }
}
