use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use http::{HeaderValue, Method, header::HeaderName};
use object_store::{
    BackoffConfig, ClientOptions, RetryConfig,
    client::{HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService},
};

use super::requests::Requests;
use crate::StorageError;

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a store may be silent: until an answer begins, which is when a part was received whole, and between two pieces
/// of one. There is no limit on the whole, which would cut large blobs.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Connections are kept as long as common servers keep them at least.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(20);

const RETRIES_MAX: usize = 5;

/// After so long no further attempt is begun. Together with [`IDLE_TIMEOUT`] a call ends well within the time for which a
/// request owns its upload.
const RETRY_TIMEOUT: Duration = Duration::from_secs(30);

/// Attempts come at growing distances, at random within them so that many nodes do not come at once.
pub(super) fn retries() -> RetryConfig {
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(5),
        base: 2.0,
    };
    RetryConfig { backoff, max_retries: RETRIES_MAX, retry_timeout: RETRY_TIMEOUT }
}

/// What makes the completion of a multipart upload fail if there is an object already. The stores know it; the library
/// that speaks to them does not ask for it.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(
    not(all(feature = "s3", feature = "gcs", feature = "azure")),
    allow(dead_code, reason = "each kind of store has one of them")
)]
pub(super) enum CompleteIfAbsent {
    /// `If-None-Match: *`
    IfNoneMatch,
    /// `x-goog-if-generation-match: 0`
    IfGenerationMatch,
    /// The request's signature covers its conditions, so that none can be added.
    Unsupported,
}

/// The HTTP client of a store.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    client: reqwest::Client,
    complete: CompleteIfAbsent,
    requests: Arc<Requests>,
}

impl Connector {
    #[expect(
        clippy::disallowed_methods,
        reason = "object stores are an operator's, and their client is this one"
    )]
    pub(super) fn new(
        complete: CompleteIfAbsent,
        user_agent: Option<&str>,
        skip_verify: bool,
        requests: Arc<Requests>,
    ) -> Result<Connector, StorageError> {
        // Whoever embeds this may have chosen a provider for the process; the choice stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(IDLE_TIMEOUT)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            // One connection for each transfer is faster than many over one, and survives a broken one.
            .http1_only()
            .tcp_nodelay(true)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(user_agent.unwrap_or(concat!("registry/", env!("CARGO_PKG_VERSION"))));
        if skip_verify {
            builder = builder.danger_accept_invalid_certs(true);
        }
        let client = builder.build().map_err(|source| StorageError::Backend {
            operation: "set up the client of an object store",
            source: source.into(),
        })?;
        Ok(Connector { client, complete, requests })
    }

    fn condition(&self, request: &HttpRequest) -> Option<(HeaderName, HeaderValue)> {
        let query = request.uri().query().unwrap_or_default();
        let is_complete = request.method() == Method::POST && query.contains("uploadId=");
        match self.complete {
            CompleteIfAbsent::IfNoneMatch if is_complete => {
                Some((http::header::IF_NONE_MATCH, HeaderValue::from_static("*")))
            }
            CompleteIfAbsent::IfGenerationMatch if is_complete => {
                Some((HeaderName::from_static("x-goog-if-generation-match"), HeaderValue::from_static("0")))
            }
            _ => None,
        }
    }
}

impl HttpConnector for Connector {
    /// The options are those that a builder of the library would set; ours are set already.
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Connector {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if let Some((name, value)) = self.condition(&request) {
            request.headers_mut().insert(name, value);
        }
        self.requests.count(request.method());
        HttpService::call(&self.client, request).await
    }
}
