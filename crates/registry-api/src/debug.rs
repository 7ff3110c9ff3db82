//! The debug server: health and metrics, on an address of its own, without authentication.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;

use crate::{app::App, server::Listener};

/// Connections at once.
const CONNECTIONS_MAX: usize = 64;

const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// What the debug server shows.
#[derive(Clone, Debug)]
pub struct Debug {
    /// Whose health and metrics.
    pub app: Arc<App>,
    /// Where the metrics lie; none for no metrics.
    pub metrics_path: Option<String>,
}

/// Serves `/debug/health` and the metrics until the future is dropped.
pub async fn serve_debug(listener: Listener, debug: Debug) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let slot = slots.clone().acquire_owned().await.expect("the semaphore is never closed");
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let debug = debug.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let debug = debug.clone();
                async move { Ok::<_, Infallible>(debug.answer(&request).await) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                tracing::debug!("a connection to the debug server ended with an error: {error}");
            }
            drop(slot);
        });
    }
}

impl Debug {
    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        // Of an answer to HEAD, hyper sends the head alone.
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return text(StatusCode::NOT_FOUND, "text/plain", "404 page not found\n".to_owned());
        }
        match request.uri().path() {
            "/debug/health" => {
                let failures = self.app.health.look(&self.app).await;
                let status =
                    if failures.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                let json = serde_json::to_string(&failures).expect("texts are representable in JSON");
                text(status, "application/json", json)
            }
            path if Some(path) == self.metrics_path.as_deref() => {
                let format = "application/openmetrics-text; version=1.0.0; charset=utf-8";
                text(StatusCode::OK, format, self.app.metrics.render())
            }
            _ => text(StatusCode::NOT_FOUND, "text/plain", "404 page not found\n".to_owned()),
        }
    }
}

fn text(status: StatusCode, content_type: &'static str, text: String) -> Response<Full<Bytes>> {
    let response = Response::builder().status(status).header(http::header::CONTENT_TYPE, content_type);
    response.body(Full::new(Bytes::from(text))).expect("status and content type are constants")
}
