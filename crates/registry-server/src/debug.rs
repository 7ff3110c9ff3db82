//! The debug server: health and metrics, on an address of its own, without authentication.

use std::{collections::BTreeMap, convert::Infallible, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{HttpService, service_fn},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    sync::Semaphore,
    time::{sleep, timeout},
};

use crate::{Health, Hosts, Listener, Metrics, Vitals, connection::Stalling};

/// Connections at once.
const CONNECTIONS_MAX: usize = 64;

const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a peer may take nothing of an answer, and how long the last one of a connection may take.
const STALL_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may last: a program that asks every minute makes a new one now and then.
const CONNECTION_LIMIT: Duration = Duration::from_secs(300);

/// What the debug server shows.
#[derive(Clone, Debug)]
pub struct Debug {
    /// What the checks say that run now and then.
    pub health: Arc<Health>,
    /// What is asked how it is.
    pub vitals: Arc<dyn Vitals>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where the metrics lie; none for no metrics.
    pub metrics_path: Option<String>,
    /// Under which hosts it is served, as for a server without users.
    pub hosts: Arc<Hosts>,
    /// Whether others than this machine reach it. Then health names what fails, and why it does is in the log alone.
    pub is_beyond_loopback: bool,
}

/// Serves `/debug/health`, `/debug/ready` and the metrics until the future is dropped.
pub async fn serve_debug(listener: Listener, debug: Debug) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let slot = slots.clone().acquire_owned().await.expect("the semaphore is never closed");
        let Ok((stream, _)) = listener.accept().await else {
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let debug = debug.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let debug = debug.clone();
                async move { Ok::<_, Infallible>(debug.answer(&request).await) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .title_case_headers(true)
                .serve_connection(TokioIo::new(Stalling::new(stream, STALL_TIMEOUT)), service);
            if let Err(error) = for_a_while(connection).await {
                tracing::debug!("a connection to the debug server ended with an error: {error}");
            }
            drop(slot);
        });
    }
}

/// Serves a connection until it has had its time: a peer that takes a byte now and then does not keep its slot.
async fn for_a_while<S, I>(connection: http1::Connection<I, S>) -> hyper::Result<()>
where
    S: HttpService<Incoming, ResBody = Full<Bytes>>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
{
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = sleep(CONNECTION_LIMIT) => connection.as_mut().graceful_shutdown(),
    }
    timeout(STALL_TIMEOUT, connection).await.unwrap_or(Ok(()))
}

impl Debug {
    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if let Err(refusal) = self.hosts.check(request.uri().authority(), request.headers()) {
            return text(StatusCode::MISDIRECTED_REQUEST, "text/plain", format!("{refusal}\n"));
        }
        // Of an answer to HEAD, hyper sends the head alone.
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return text(StatusCode::NOT_FOUND, "text/plain", "404 page not found\n".to_owned());
        }
        match request.uri().path() {
            "/debug/health" => self.health(BTreeMap::new()).await,
            "/debug/ready" => self.health(self.leaving()).await,
            path if Some(path) == self.metrics_path.as_deref() => {
                self.vitals.refresh().await;
                let format = "application/openmetrics-text; version=1.0.0; charset=utf-8";
                text(StatusCode::OK, format, self.metrics.render())
            }
            _ => text(StatusCode::NOT_FOUND, "text/plain", "404 page not found\n".to_owned()),
        }
    }

    /// What fails, `more` among it, and what is only a warning.
    async fn health(&self, more: BTreeMap<String, String>) -> Response<Full<Bytes>> {
        let mut failures = self.health.failures_now(&*self.vitals).await;
        let mut warnings = self.vitals.warnings().await;
        if self.is_beyond_loopback {
            failures.values_mut().for_each(|reason| *reason = "fails; the log says why".to_owned());
            warnings.values_mut().for_each(|reason| *reason = "warning; the log says why".to_owned());
        }
        failures.extend(more);
        let status = if failures.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        warnings.append(&mut failures);
        let json = serde_json::to_string(&warnings).expect("texts are representable in JSON");
        text(status, "application/json", json)
    }

    /// Why the server should get no new request although it is well. That is no failure: a program that restarts what fails must not
    /// end the requests that still run.
    fn leaving(&self) -> BTreeMap<String, String> {
        let reason = "the server stops: it takes no new connections".to_owned();
        self.health.is_leaving().then(|| ("stopping".to_owned(), reason)).into_iter().collect()
    }
}

fn text(status: StatusCode, content_type: &'static str, text: String) -> Response<Full<Bytes>> {
    let response = Response::builder()
        .status(status)
        .header(http::header::CONTENT_TYPE, content_type)
        .header(http::header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    response.body(Full::new(Bytes::from(text))).expect("status and content type are constants")
}
