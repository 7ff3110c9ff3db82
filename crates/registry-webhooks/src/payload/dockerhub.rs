//! The body of Docker Hub's webhooks, for receivers that were made for them: one call for each tag that leads elsewhere now. Docker
//! Hub's names and order; beside those, `push_data.digest` and `push_data.media_type`.
//!
//! Source: Docker's documentation, "Webhooks", "Example webhook payload".

use registry_events::Kind;
use serde::Serialize;

use super::{Facts, Message, Origin, Payload, PayloadError, checked};

const CONTENT_TYPE: &str = "application/json";

/// What a test names, which is about no repository: Docker Hub's body has no place for a kind of event, so that a receiver would
/// take a real name for a push.
const TEST_REPOSITORY: &str = "registry/webhook-test";
const TEST_TAG: &str = "webhook-test";

#[derive(Serialize)]
struct Call<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    callback_url: Option<String>,
    push_data: PushData<'a>,
    repository: Repository<'a>,
}

#[derive(Serialize)]
struct PushData<'a> {
    pushed_at: i64,
    pusher: &'a str,
    tag: &'a str,
    /// Always empty there too.
    images: [&'static str; 0],
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    media_type: Option<&'a str>,
}

/// Stars and comments do not exist here: there are none of them.
#[derive(Serialize)]
struct Repository<'a> {
    comment_count: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    date_created: Option<i64>,
    description: &'a str,
    dockerfile: &'static str,
    full_description: &'a str,
    is_official: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_private: Option<bool>,
    is_trusted: bool,
    name: &'a str,
    namespace: &'a str,
    owner: &'a str,
    repo_name: &'a str,
    repo_url: String,
    star_count: u32,
    status: &'static str,
}

pub(super) fn write(message: &Message<'_>, origin: &Origin, facts: &Facts) -> Result<Payload, PayloadError> {
    let event = message.event;
    let is_test = event.kind == Kind::WebhookTest;
    let full_name = event.name.as_deref().unwrap_or(if is_test { TEST_REPOSITORY } else { "" });
    let (namespace, name) = full_name.rsplit_once('/').unwrap_or(("", full_name));
    let call = Call {
        callback_url: origin.callbacks.as_ref().map(|callbacks| format!("{callbacks}/{}", message.id)),
        push_data: PushData {
            pushed_at: event.at_ms.div_euclid(1000),
            pusher: event.cause.actor().unwrap_or_default(),
            tag: event.tag.as_deref().unwrap_or(if is_test { TEST_TAG } else { "" }),
            images: [],
            digest: event.digest.as_deref(),
            media_type: event.media_type.as_deref(),
        },
        repository: Repository {
            comment_count: 0,
            date_created: facts.created_at,
            description: &facts.description,
            dockerfile: "",
            full_description: &facts.full_description,
            is_official: false,
            is_private: facts.is_public.map(|is_public| !is_public),
            is_trusted: false,
            name,
            namespace,
            owner: namespace,
            repo_name: full_name,
            repo_url: format!("{}/{full_name}", origin.url),
            star_count: 0,
            status: "Active",
        },
    };
    checked(CONTENT_TYPE, serde_json::to_vec(&call)?)
}
