//! What the server refuses before an endpoint is asked, or while the body of its request arrives.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use crate::Body;

/// When to come again after a 503: what is scarce for a moment is often there again by then.
const RETRY_AFTER_SECS: HeaderValue = HeaderValue::from_static("1");

/// Why a request is refused, or its body given up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A check fails.
    #[error("the registry is not healthy; /debug/health on the debug address says why")]
    Unhealthy,
    /// `Host` is absent, empty, or there more than once.
    #[error("a request names its host exactly once, and not by an empty name")]
    Host,
    /// What is asked for lies outside of what is served.
    #[error("no endpoint has the path `{path}`")]
    NoEndpoint {
        /// The path as sent, cut to a readable length.
        path: String,
    },
    /// The host is not one of this server's.
    #[error(
        "`{host}` is not known to be a host of this registry: add the name to `http.hosts` in its configuration, or set \
         REGISTRY_HTTP_HOSTS={host}"
    )]
    HostUnknown {
        /// The name, without port.
        host: String,
    },
    /// A web page of another site asks to change something.
    #[error(
        "a web page of {origin} may change nothing here: it is not a page of this registry under a host that is known \
         (`http.hosts`), nor one that `Access-Control-Allow-Origin` in `http.headers` names"
    )]
    ForeignPage {
        /// Where the page is from.
        origin: String,
    },
    /// `Transfer-Encoding` is something else than `chunked`, once.
    #[error("the only transfer coding that is taken is `chunked`, once")]
    TransferEncoding,
    /// The body ended before its end.
    #[error("the request's body broke off: {reason}")]
    BodyBroken {
        /// What the connection says.
        reason: String,
    },
    /// The body paused for too long.
    #[error("no byte of the body came for {idle_secs} s")]
    BodyIdle {
        /// For how long, in seconds.
        idle_secs: u64,
    },
    /// The body comes too slowly.
    #[error("a body brings at least {bytes} bytes in {secs} s")]
    BodySlow {
        /// How much would have to come.
        bytes: u64,
        /// In how many seconds.
        secs: u64,
    },
    /// The client sent as many requests as it may.
    #[error("more than {requests} requests in {per:?}; come again in {retry_after_secs} s")]
    TooMany {
        /// How many it may send.
        requests: u32,
        /// In which time.
        per: Duration,
        /// In how many seconds it may send the next one.
        retry_after_secs: u64,
    },
    /// Something that peers share is used up.
    #[error("the registry has no {resource} left right now")]
    Busy {
        /// What it is.
        resource: &'static str,
    },
}

impl Refused {
    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Refused::Unhealthy | Refused::Busy { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Refused::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            // Spec: RFC 9110, section 15.5.20: this server has nothing to say for that host.
            Refused::HostUnknown { .. } => StatusCode::MISDIRECTED_REQUEST,
            Refused::NoEndpoint { .. } => StatusCode::NOT_FOUND,
            Refused::ForeignPage { .. } => StatusCode::FORBIDDEN,
            Refused::Host | Refused::TransferEncoding | Refused::BodyBroken { .. } => StatusCode::BAD_REQUEST,
            Refused::BodyIdle { .. } | Refused::BodySlow { .. } => StatusCode::REQUEST_TIMEOUT,
        }
    }

    /// Headers that the answer needs, whatever its body is.
    pub fn headers(&self) -> HeaderMap {
        let header = match self {
            Refused::Unhealthy | Refused::Busy { .. } => Some((header::RETRY_AFTER, RETRY_AFTER_SECS)),
            Refused::TooMany { retry_after_secs, .. } => {
                Some((header::RETRY_AFTER, (*retry_after_secs).into()))
            }
            // Where the body ends is not known, or will not be waited for.
            Refused::TransferEncoding | Refused::BodyIdle { .. } | Refused::BodySlow { .. } => {
                Some((header::CONNECTION, HeaderValue::from_static("close")))
            }
            Refused::Host
            | Refused::NoEndpoint { .. }
            | Refused::HostUnknown { .. }
            | Refused::ForeignPage { .. }
            | Refused::BodyBroken { .. } => None,
        };
        header.into_iter().collect()
    }

    /// An answer of plain text, for endpoints that have no form of their own.
    pub fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::full(format!("{self}\n").into()));
        *response.status_mut() = self.status();
        *response.headers_mut() = self.headers();
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, text);
        response
    }
}
