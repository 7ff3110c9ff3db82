use std::fmt::Debug;

use async_trait::async_trait;
use http::HeaderValue;

use crate::access::Access;
use crate::caller::Caller;
use crate::credentials::ParseCredentialsError;

/// Finds out who is asking.
#[async_trait]
pub trait Authenticator: Debug + Send + Sync + 'static {
    /// Who sent a request with this `Authorization` header, if it had one. Somebody who sent none is anonymous: whether that
    /// is enough is for the authoriser.
    ///
    /// # Errors
    /// The credentials are wrong or unreadable, or it cannot be found out now. Dropping the future leaves nothing behind.
    async fn authenticate(&self, authorization: Option<&HeaderValue>) -> Result<Caller, AuthenticationError>;

    /// What `WWW-Authenticate` says when credentials are needed for this access. `None` if none would help.
    fn challenge(&self, access: &Access) -> Option<HeaderValue>;
}

/// Why it is not known who is asking.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticationError {
    /// There is no such user, or the password is another one: which of the two is told to nobody.
    #[error("wrong credentials")]
    Invalid,
    /// The header cannot be read.
    #[error("unreadable credentials: {reason}")]
    Malformed {
        /// What is wrong with it; safe to be shown to the client.
        reason: ParseCredentialsError,
    },
    /// It cannot be found out now.
    #[error("credentials cannot be checked")]
    Unavailable {
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl From<ParseCredentialsError> for AuthenticationError {
    fn from(reason: ParseCredentialsError) -> AuthenticationError {
        AuthenticationError::Malformed { reason }
    }
}

/// Everybody is anonymous, whatever they send.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoAuthentication;

#[async_trait]
impl Authenticator for NoAuthentication {
    async fn authenticate(&self, _: Option<&HeaderValue>) -> Result<Caller, AuthenticationError> {
        Ok(Caller::Anonymous)
    }

    fn challenge(&self, _: &Access) -> Option<HeaderValue> {
        None
    }
}
