//! One attempt.

use std::time::{Duration, Instant, SystemTime};

use http::{HeaderMap, HeaderValue, Method, header};
use registry_outbound::{Answer, Ask, Client, Outbound, OutboundError};

use crate::{
    Attempt, Audience, Definition, Meaning, MessageId, Payload, WebhookError, WebhookSecret, answer::judge,
    sign::sign, text::kept,
};

/// How much of an answer's body is kept, in bytes.
pub const ANSWER_BYTES_MAX: usize = 1024;

/// How much is kept of the headers that were sent, and of an error, in bytes.
const SHOWN_BYTES_MAX: usize = 2048;

/// What came of an attempt.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) attempt: Attempt,
    pub(crate) meaning: Meaning,
}

impl Sent {
    /// Nothing could be sent: a secret can not be opened, say.
    pub(crate) fn failed(error: &WebhookError) -> Sent {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let attempt = Attempt {
            number: 0,
            at_ms: i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX),
            latency_ms: 0,
            status: None,
            error: Some(kept(&with_causes(error), SHOWN_BYTES_MAX)),
            request_headers: String::new(),
            answer: None,
        };
        Sent { attempt, meaning: Meaning::Failed { retry_after: None } }
    }
}

/// Sends a message once. The receiver is asked wherever an operator configured it, and at public addresses where a user did.
pub(crate) async fn send(
    outbound: &Outbound,
    definition: &Definition,
    former: Option<&WebhookSecret>,
    id: MessageId,
    payload: &Payload,
) -> Sent {
    let client = match definition.audience {
        Audience::Operators => outbound.operators(),
        Audience::Users => outbound.users(),
    };
    let (now, began) = (SystemTime::now(), Instant::now());
    let since_1970 = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let made = made_headers(definition, former, id, payload, since_1970);
    let answer = ask(client, definition, &made, payload).await;
    let meaning = match &answer {
        Ok(answer) => judge(definition.accepts, answer.status, &answer.headers, now),
        Err(_) => Meaning::Failed { retry_after: None },
    };
    let attempt = Attempt {
        number: 0,
        at_ms: i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX),
        latency_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        status: answer.as_ref().ok().map(|answer| answer.status.as_u16()),
        error: error(&answer, meaning, definition.audience),
        request_headers: shown(&made, definition),
        answer: answer.ok().and_then(|answer| readable(&answer, definition.audience)),
    };
    Sent { attempt, meaning }
}

/// What each request has. A `Content-Type` that an operator configured takes the place of the format's.
fn made_headers(
    definition: &Definition,
    former: Option<&WebhookSecret>,
    id: MessageId,
    payload: &Payload,
    since_1970: Duration,
) -> HeaderMap {
    let secrets: Vec<&WebhookSecret> = definition.secret.iter().chain(former).collect();
    let at_seconds = i64::try_from(since_1970.as_secs()).unwrap_or(i64::MAX);
    let mut headers = sign(id, at_seconds, &payload.body, &secrets);
    if !definition.headers.as_map().contains_key(header::CONTENT_TYPE) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(payload.content_type));
    }
    headers
}

async fn ask(
    client: &Client,
    definition: &Definition,
    made: &HeaderMap,
    payload: &Payload,
) -> Result<Answer, OutboundError> {
    let mut headers = definition.headers.as_map().clone();
    headers.extend(made.iter().map(|(name, value)| (Some(name.clone()), value.clone())).collect::<Vec<_>>());
    let ask = Ask {
        method: Method::POST,
        url: definition.url.clone(),
        headers,
        body: payload.body.clone(),
        within: definition.timeout,
        answer_bytes_max: ANSWER_BYTES_MAX,
    };
    client.send(ask).await
}

/// Why an attempt failed. A user is told what is said of the URL, and not what a network says.
fn error(answer: &Result<Answer, OutboundError>, meaning: Meaning, audience: Audience) -> Option<String> {
    let error = match (answer, meaning) {
        (_, Meaning::Delivered) => return None,
        (Ok(_), Meaning::Gone) => "the receiver answered 410 Gone: it wants nothing more".to_owned(),
        (Ok(answer), Meaning::Failed { .. }) => refused(answer),
        (Err(error), _) if audience == Audience::Users => error.to_string(),
        (Err(error), _) => with_causes(error),
    };
    Some(kept(&error, SHOWN_BYTES_MAX))
}

fn refused(answer: &Answer) -> String {
    let said = format!("the receiver answered {}", answer.status);
    if answer.status.is_redirection() && answer.headers.contains_key(header::LOCATION) {
        return format!("{said}: it moved, and redirects are not followed; change the URL of the webhook");
    }
    said
}

fn with_causes(first: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(first), |cause| cause.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// The headers that were made, whole but for signatures, and the names of those that were added.
fn shown(made: &HeaderMap, definition: &Definition) -> String {
    let is_signature = |name: &str| name.ends_with("signature") || name.ends_with("signature-256");
    let made = made.iter().map(|(name, value)| match name.as_str() {
        name if is_signature(name) => format!("{name}: …"),
        name => format!("{name}: {}", value.to_str().unwrap_or("…")),
    });
    let added = definition.headers.as_map().keys().map(|name| format!("{name}: …"));
    kept(&made.chain(added).collect::<Vec<_>>().join("\n"), SHOWN_BYTES_MAX)
}

/// What a machine answered that only the operator opens to users is not for them to read.
fn readable(answer: &Answer, audience: Audience) -> Option<String> {
    if audience == Audience::Users && !answer.is_public {
        return None;
    }
    let text = kept(&String::from_utf8_lossy(&answer.body), ANSWER_BYTES_MAX);
    (!text.is_empty()).then_some(text)
}
