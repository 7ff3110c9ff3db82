use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use http::HeaderValue;

use crate::access::Access;
use crate::caller::Caller;
use crate::credentials::ParseCredentialsError;
use crate::presented::Presented;

/// Finds out who is asking.
#[async_trait]
pub trait Authenticator: Debug + Send + Sync + 'static {
    /// The caller that a request's credentials name. A request without credentials is anonymous: whether that is enough is for the
    /// authoriser.
    ///
    /// # Errors
    /// The credentials are wrong or unreadable, too many were tried, or it cannot be found out now. Dropping the future
    /// leaves nothing behind.
    async fn authenticate(&self, presented: Presented<'_>) -> Result<Caller, AuthenticationError>;

    /// What `WWW-Authenticate` says when a request is refused. `None` if no credentials would help.
    fn challenge(&self, refused: &Refused<'_>) -> Option<HeaderValue>;

    /// Whether what it decides by is older than what it was told to decide by, such as a file that cannot be read any more.
    /// Looks, if that is due. By default it never is.
    async fn stale(&self) -> Option<Stale> {
        None
    }
}

/// A request that is refused, as far as it matters for what is asked of the client.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Refused<'a> {
    /// What the request needs.
    pub access: &'a Access,
    /// Why it is refused.
    pub why: Why,
    /// The scheme and host under which the client found the registry, such as `https://registry.example`, as far as that is
    /// known.
    pub origin: Option<&'a str>,
}

impl<'a> Refused<'a> {
    /// A request that needs this, refused for this reason.
    pub fn new(access: &'a Access, why: Why) -> Refused<'a> {
        Refused { access, why, origin: None }
    }

    /// Of a client that found the registry under this scheme and host.
    pub fn under(self, origin: Option<&'a str>) -> Refused<'a> {
        Refused { origin, ..self }
    }
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It has no credentials.
    NoCredentials,
    /// Its credentials are not accepted.
    InvalidCredentials,
    /// Its token is accepted, and does not name what the request needs. Another token may.
    InsufficientScope,
}

/// What an authenticator decides by is not what it was told to decide by.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stale {
    /// For how long.
    pub age: Duration,
    /// Whether only a part is affected: what could be read is in force.
    pub is_partial: bool,
    /// Why, for an operator.
    pub reason: String,
}

/// Why it is not known who is asking.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticationError {
    /// There is no such user, or the password is another one: clients are not told which.
    #[error("wrong credentials")]
    Invalid,
    /// The token is not accepted. Why, is in the log.
    #[error("the token is not accepted")]
    InvalidToken,
    /// The header cannot be read.
    #[error("unreadable credentials: {reason}")]
    Malformed {
        /// What is wrong with it; safe to be shown to the client.
        reason: ParseCredentialsError,
    },
    /// Too many wrong ones were tried, or are waiting to be checked. These were not looked at, or so it must seem.
    #[error("too many logins")]
    Slowed {
        /// When to come again.
        retry_after: Duration,
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
    async fn authenticate(&self, _: Presented<'_>) -> Result<Caller, AuthenticationError> {
        Ok(Caller::anonymous())
    }

    fn challenge(&self, _: &Refused<'_>) -> Option<HeaderValue> {
        None
    }
}
