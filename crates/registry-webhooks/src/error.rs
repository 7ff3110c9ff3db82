use registry_database::{Error, Fault};
use registry_outbound::OutboundError;
use registry_secrets::{CheckError, OpenError, SealError};
use registry_types::ParseWebhookFormatError;
use thiserror::Error as ThisError;

use crate::{DefinitionError, NoRandomness, WEBHOOKS_MAX, WebhookName};

/// Why something was not done with a webhook.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum WebhookError {
    /// There is none of this name.
    #[error("there is no webhook {0}")]
    Unknown(WebhookName),
    /// There is one of this name already.
    #[error("there is a webhook {0} already")]
    Exists(WebhookName),
    /// The configuration defines it, and changes it.
    #[error("the webhook {0} is defined by the configuration, and is changed there")]
    Configured(WebhookName),
    /// There are as many as there may be.
    #[error("there are {WEBHOOKS_MAX} webhooks, and can not be more")]
    Many,
    /// What was entered can not be a webhook.
    #[error(transparent)]
    Definition(#[from] DefinitionError),
    /// Nothing would ever be sent to its URL.
    #[error(
        "{0}. A webhook that is added leads to the public internet by https:; `outbound.allow` opens other hosts, and one that the \
         configuration has under `webhooks` may lead anywhere"
    )]
    Refused(OutboundError),
    /// There is no such message, or not any more.
    #[error("there is no message {0} to this webhook, or it was long ago")]
    UnknownDelivery(String),
    /// The message waits to be sent already.
    #[error("the message {0} waits to be sent already")]
    Waits(String),
    /// Too much waits for the receiver to send it something by hand.
    #[error("{0} messages wait for this webhook: more are sent by hand when it has caught up")]
    Busy(u64),
    /// A secret can not be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A secret can not be opened.
    #[error("a secret of the webhook can not be used")]
    Open(#[from] OpenError),
    /// The keys are not those of the database.
    #[error(transparent)]
    Keys(#[from] CheckError),
    /// The system gives no random bytes.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// The database holds what can not be there.
    #[error(transparent)]
    Stored(#[from] StoredError),
    /// The tables can not be made or looked for.
    #[error(transparent)]
    Tables(#[from] registry_database::OpenError),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] Error),
}

/// What a row holds that was never written there.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum StoredError {
    /// An unknown state.
    #[error("a webhook or a message is in state {0}, which this program does not know")]
    State(i64),
    /// An unknown format.
    #[error(transparent)]
    Format(ParseWebhookFormatError),
    /// A secret that is no text.
    #[error("a secret of a webhook is no text")]
    Text,
    /// Headers that are none.
    #[error("the headers of a webhook can not be read")]
    Headers(#[source] serde_json::Error),
}

impl WebhookError {
    /// What a step refused comes out as it went in.
    pub(crate) fn of(error: Error) -> WebhookError {
        match error {
            Error::Refused(cause) => match cause.downcast::<WebhookError>() {
                Ok(error) => *error,
                Err(cause) => WebhookError::Database(Error::Refused(cause)),
            },
            error => WebhookError::Database(error),
        }
    }
}

impl From<WebhookError> for Fault {
    fn from(error: WebhookError) -> Fault {
        Fault::refused(error)
    }
}
