use registry_api::OriginError;
use registry_outbound::{OutboundError, UrlError};
use thiserror::Error;

/// Why a mirror can not be set up.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SetUpError {
    /// The name of an upstream can not begin the name of a repository.
    #[error("`{name}` can not be the first part of a repository's name")]
    Name {
        /// The name.
        name: String,
    },
    /// Two upstreams have one name.
    #[error("two upstreams are named {name}")]
    Twice {
        /// The name.
        name: String,
    },
    /// The upstream that is meant where a request names none is not there.
    #[error("there is no upstream {name}")]
    Absent {
        /// The name.
        name: String,
    },
}

/// Why an upstream gave nothing.
#[derive(Debug, Error)]
pub(crate) enum UpstreamError {
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    #[error("the upstream sends to a URL that can not be asked")]
    Url(#[from] UrlError),
    #[error("the upstream does not allow it")]
    Denied,
    #[error("the upstream takes no more requests for {retry_after_secs} s")]
    Limited { retry_after_secs: u64 },
    #[error("the upstream answered with status {status}")]
    Status { status: u16 },
    #[error("{0}")]
    Unusable(String),
    #[error("this mirror is offline")]
    Offline,
    #[error("nothing came for {secs} s")]
    Idle { secs: u64 },
    #[error("the credential helper failed: {0}")]
    Helper(String),
}

impl UpstreamError {
    /// Whether what is here may be served instead. Only a registry that answers "not there" is believed without that.
    pub(crate) fn into_origin(self, upstream: &str) -> OriginError {
        let upstream = upstream.to_owned();
        match self {
            UpstreamError::Denied => OriginError::Denied { upstream },
            UpstreamError::Limited { retry_after_secs } => {
                OriginError::Limited { upstream, retry_after_secs }
            }
            UpstreamError::Unusable(reason) => OriginError::Unusable { upstream, reason },
            other => OriginError::Unavailable { upstream, source: other.into() },
        }
    }
}
