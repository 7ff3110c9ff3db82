//! What receivers are sent.

mod cloudevents;
mod distribution;
mod dockerhub;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use registry_events::Event;
use registry_types::{RequestSource, WebhookFormat};
use serde::Serialize;
use thiserror::Error;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::MessageId;

/// The longest body of a message.
pub const BODY_BYTES_MAX: usize = 256 * 1024;

/// The registry as receivers know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its URL without a slash at the end: `https://registry.example.com`.
    pub url: String,
    /// This node: host name and port.
    pub node: String,
    /// This process: a UUID.
    pub instance: String,
    /// Below which a receiver of Docker Hub's format may report back, without a slash at the end; none where nothing answers there.
    pub callbacks: Option<String>,
}

/// Whose receiver it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// An operator's: it is told of everything.
    Operators,
    /// A user's: it is not told which address a client has.
    Users,
}

/// A message to one receiver.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Its id.
    pub id: MessageId,
    /// Which it is of those about its repository to this receiver: from 1, without gaps.
    pub sequence: u64,
    /// What it tells.
    pub event: &'a Event,
    /// Whose the receiver is.
    pub audience: Audience,
}

/// What some formats say beside an event: looked up when a message is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// When the repository was made, in seconds since 1970.
    pub created_at: Option<i64>,
    /// Whether every client may pull from it.
    pub is_public: Option<bool>,
    /// One line about it.
    pub description: String,
    /// Many lines about it.
    pub full_description: String,
    /// What the manifest refers to, where the receiver wants it.
    pub references: Vec<Reference>,
}

/// What a manifest refers to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reference {
    /// The media type.
    #[serde(rename = "mediaType")]
    pub media_type: String,
    /// The digest.
    pub digest: String,
    /// How large it is, in bytes.
    pub size: u64,
}

/// What clients do that is no event of the database: they pull, mount, push blobs and delete blobs. The Go registry's format has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// `pull`, `mount`, `push`, `delete`.
    pub action: &'static str,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// In which repository.
    pub repository: String,
    /// From which one a blob was mounted.
    pub from_repository: Option<String>,
    /// The tag by which a manifest was asked for.
    pub tag: Option<String>,
    /// The blob or manifest.
    pub digest: String,
    /// Its media type; `application/octet-stream` for blobs.
    pub media_type: String,
    /// Its size.
    pub size_bytes: u64,
    /// Whether it is a manifest.
    pub is_manifest: bool,
    /// Which user.
    pub actor: Option<String>,
    /// By which request.
    pub request: RequestSource,
}

/// What is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// The `Content-Type`.
    pub content_type: &'static str,
    /// The body.
    pub body: Bytes,
}

/// Why nothing can be sent.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// Too long.
    #[error("the message has {bytes} bytes, and at most {BODY_BYTES_MAX} are sent")]
    Long {
        /// How many.
        bytes: usize,
    },
    /// A time that no calendar has.
    #[error("there is no time {0} ms after 1970")]
    Time(i64),
    /// It can not be written as JSON.
    #[error("the message can not be written as JSON")]
    Json(#[from] serde_json::Error),
}

/// Writes a message in a format.
///
/// # Errors
/// [`PayloadError`].
pub fn payload(
    format: WebhookFormat,
    message: &Message<'_>,
    origin: &Origin,
    facts: &Facts,
) -> Result<Payload, PayloadError> {
    match format {
        WebhookFormat::CloudEvents => cloudevents::write(message, origin),
        WebhookFormat::DockerHub => dockerhub::write(message, origin, facts),
        WebhookFormat::Distribution => distribution::write(message, origin, facts),
    }
}

/// Writes a notice in the Go registry's format.
///
/// # Errors
/// [`PayloadError`].
pub fn notice(
    id: MessageId,
    notice: &Notice,
    origin: &Origin,
    facts: &Facts,
) -> Result<Payload, PayloadError> {
    distribution::write_notice(id, notice, origin, facts)
}

fn checked(content_type: &'static str, body: Vec<u8>) -> Result<Payload, PayloadError> {
    match body.len() {
        0..=BODY_BYTES_MAX => Ok(Payload { content_type, body: body.into() }),
        bytes => Err(PayloadError::Long { bytes }),
    }
}

/// `2026-11-30T23:30:03.592Z`.
fn rfc3339(at_ms: i64) -> Result<String, PayloadError> {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at_ms) * 1_000_000);
    time.ok().and_then(|time| time.format(&Rfc3339).ok()).ok_or(PayloadError::Time(at_ms))
}
