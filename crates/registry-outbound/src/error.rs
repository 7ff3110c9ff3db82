use std::{io, sync::Arc, time::Duration};

use thiserror::Error;

/// Why no answer came. The text names the host as the URL does, and never an address that a name led to: a text may be shown
/// to the person that entered the URL, and what addresses a private network has is nothing for that person.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OutboundError {
    /// The URL is not one that can be asked.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The URL leads to what an operator has not opened to users.
    #[error("{host} is refused: {reason}")]
    Refused {
        /// The host, as the URL names it.
        host: String,
        /// Why.
        reason: Refusal,
    },
    /// The host's name has no address, or none could be learned.
    #[error("{host} has no address: {source}")]
    NoAddress {
        /// The host, as the URL names it.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// No connection, or no TLS.
    #[error("can not connect to {host}")]
    Connect {
        /// The host, as the URL names it.
        host: String,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The time is over.
    #[error("no answer from {host} within {limit:?}")]
    TimedOut {
        /// The host, as the URL names it.
        host: String,
        /// The time.
        limit: Duration,
    },
    /// The connection broke, or what came is no HTTP.
    #[error("{host} gave no answer that can be read")]
    Answer {
        /// The host, as the URL names it.
        host: String,
        /// What was wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The client could not be made: the proxy's URL, or the roots that the system trusts.
    #[error("can not set up connections to others")]
    SetUp(#[source] Arc<dyn std::error::Error + Send + Sync>),
}

/// Why a URL that a user entered is not asked.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The address, or one of those that the name has, is not public.
    #[error("its address is not one of the public internet")]
    Special,
    /// It is an address of the registry itself, of its database or its store.
    #[error("its address belongs to this registry")]
    Own,
    /// Plain HTTP, where the operator's list does not name the host.
    #[error("the URL does not begin with https://")]
    Plain,
    /// A port at which other protocols are spoken.
    #[error("port {0} is none for HTTP; 80, 443, and from 1024 are")]
    Port(u16),
    /// A proxy resolves the name, and the operator's list does not have it.
    #[error("it is not on the list of hosts that may be asked through the proxy")]
    NotListed,
}

/// Why a text is no URL that can be asked.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum UrlError {
    /// It is too long.
    #[error("a URL has at most {max} bytes, and this one has {bytes}")]
    Long {
        /// The length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// It is no URL.
    #[error("{0:?} is no URL")]
    Syntax(String),
    /// Another scheme.
    #[error("a URL begins with https:// or http://, and not with {0}:")]
    Scheme(String),
    /// User and password, which would stand in logs.
    #[error("a URL has no user and no password")]
    Credentials,
    /// A fragment, which no server sees.
    #[error("a URL has no part after #")]
    Fragment,
}
