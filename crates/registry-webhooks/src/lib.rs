#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod answer;
mod backoff;
mod callback;
mod configure;
mod definition;
mod deliver;
mod delivery;
mod error;
mod event;
mod filter;
mod headers;
mod id;
mod known;
mod lookup;
mod messages;
mod notices;
mod numbers;
mod payload;
mod resting;
mod run;
mod schema;
mod secret;
mod send;
mod sign;
mod sql;
mod steps;
mod stored;
mod text;
mod webhooks;

pub use answer::{Accepts, Meaning, judge};
pub use backoff::{ATTEMPTS_MAX, ATTEMPTS_WITHIN, Backoff};
pub use callback::{CALLBACK_BODY_BYTES_MAX, ParseCallbackError};
pub use definition::{
    Definition, DefinitionError, Draft, Endpoint, NAME_BYTES_MAX, ParseWebhookNameError, TIMEOUT,
    TIMEOUT_MAX, TIMEOUT_MIN, WebhookName,
};
pub use delivery::{Attempt, Callback, Delivery, DeliveryState};
pub use error::{StoredError, WebhookError};
pub use filter::{FILTERS_MAX, Filter, FilterError, PATTERN_BYTES_MAX, PATTERN_COMPILED_BYTES_MAX};
pub use headers::{HEADERS_BYTES_MAX, HEADERS_MAX, Headers, HeadersError, Of};
pub use id::{MessageId, NoRandomness, ParseMessageIdError};
pub use lookup::{LookUp, NothingKnown, Wanted};
pub use messages::HISTORY_PAGE_MAX;
pub use notices::NOTICES_WAITING_MAX;
pub use numbers::{Numbers, WebhookNumbers};
pub use payload::{
    Audience, BODY_BYTES_MAX, Facts, Message, Notice, Origin, Payload, PayloadError, Reference, notice,
    payload,
};
pub use registry_events::{Event, Kind};
pub use registry_jobs::Jobs;
pub use run::{HISTORY_AGE_MAX, HISTORY_KEPT_MAX, WAITING_AGE_MAX};
pub use schema::SCHEMA;
pub use secret::{ParseSecretError, SECRET_BYTES_MAX, SECRET_BYTES_MIN, SECRET_PREFIX, WebhookSecret};
pub use send::ANSWER_BYTES_MAX;
pub use sign::{HUB_SIGNATURE_HEADER, ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, sign};
pub use stored::{State, Webhook, WebhookId};
pub use webhooks::{FORMER_SECRET_KEPT, FORMER_SECRET_KEPT_MAX, Options, WEBHOOKS_MAX, Webhooks};

/// The columns that are sealed, for [`Secrets::rotate`](registry_secrets::Secrets::rotate).
pub const SEALED: &[registry_secrets::Sealable] = &[
    registry_secrets::sealable!("webhooks", "webhooks", "secret"),
    registry_secrets::sealable!("webhooks", "webhooks", "former_secret"),
    registry_secrets::sealable!("webhooks", "webhooks", "headers"),
];

#[cfg(test)]
mod tests;
