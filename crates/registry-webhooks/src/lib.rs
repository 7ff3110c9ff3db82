#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod answer;
mod backoff;
mod definition;
#[cfg(test)]
mod event;
mod filter;
mod headers;
mod id;
mod payload;
mod secret;
mod sign;

pub use answer::{Accepts, Meaning, judge};
pub use backoff::{ATTEMPTS_MAX, ATTEMPTS_WITHIN, Backoff};
pub use definition::{
    Definition, DefinitionError, Draft, Endpoint, NAME_BYTES_MAX, ParseWebhookNameError, TIMEOUT,
    TIMEOUT_MAX, TIMEOUT_MIN, WebhookName,
};
pub use filter::{FILTERS_MAX, Filter, FilterError, PATTERN_BYTES_MAX, PATTERN_COMPILED_BYTES_MAX};
pub use headers::{HEADERS_BYTES_MAX, HEADERS_MAX, Headers, HeadersError, Of};
pub use id::{MessageId, NoRandomness, ParseMessageIdError};
pub use payload::{
    Audience, BODY_BYTES_MAX, Facts, Message, Notice, Origin, Payload, PayloadError, Reference, notice,
    payload,
};
pub use registry_events::{Event, Kind};
pub use secret::{ParseSecretError, SECRET_BYTES_MAX, SECRET_BYTES_MIN, SECRET_PREFIX, WebhookSecret};
pub use sign::{HUB_SIGNATURE_HEADER, ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, sign};
