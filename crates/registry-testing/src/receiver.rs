//! A receiver of events, which behaves well or badly as a test wants it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::sleep,
};

/// The longest body that is kept.
const BODY_BYTES_MAX: usize = 1 << 20;

/// How long a receiver that hangs hangs: longer than any attempt may take.
const HANG: Duration = Duration::from_secs(600);

/// How a receiver answers.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// With a status, headers and a body.
    Answer {
        /// The status.
        status: u16,
        /// The headers.
        headers: Vec<(&'static str, String)>,
        /// The body.
        body: Bytes,
    },
    /// With 204, after a time.
    Slow(Duration),
    /// Never.
    Hang,
    /// By closing the connection: it has taken the call and does not say so.
    Close,
}

impl Behaviour {
    /// With 204.
    pub fn good() -> Behaviour {
        Behaviour::status(204)
    }

    /// With a status alone.
    pub fn status(status: u16) -> Behaviour {
        Behaviour::with_header(status, &[])
    }

    /// With a status and headers.
    pub fn with_header(status: u16, headers: &[(&'static str, &str)]) -> Behaviour {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Behaviour::Answer { status, headers, body: Bytes::new() }
    }
}

/// A request that a receiver got.
#[derive(Clone, Debug)]
pub struct Received {
    /// The method.
    pub method: Method,
    /// The path, with what comes after it.
    pub path: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// When it was whole.
    pub at: Instant,
    /// The status that it was answered with; none if it was not.
    pub status: Option<u16>,
}

impl Received {
    /// A header's text; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body.
    ///
    /// # Panics
    /// If it is no JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a call's body is JSON")
    }
}

/// A receiver of events on a free port of this machine.
#[derive(Debug)]
pub struct Receiver {
    url: String,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    behaviour: Mutex<Behaviour>,
    received: Mutex<Vec<Received>>,
}

impl Receiver {
    /// Begins to listen.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn start(behaviour: Behaviour) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let url = format!("http://{}/hook", listener.local_addr().expect("it has an address"));
        let shared = Arc::new(Shared { behaviour: Mutex::new(behaviour), received: Mutex::default() });
        let serving = tokio::spawn(serve(listener, shared.clone()));
        Receiver { url, shared, serving }
    }

    /// Where it is told of events.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How it answers from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        *self.shared.behaviour.lock() = behaviour;
    }

    /// What it got so far, in the order of arrival.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().clone()
    }

    /// How many requests it got so far.
    pub fn count(&self) -> usize {
        self.shared.received.lock().len()
    }

    /// Forgets what it got.
    pub fn clear(&self) {
        self.shared.received.lock().clear();
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(connection(stream, shared.clone()));
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(|request| answer(request, &shared));
    // A client that goes away is not this server's concern.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// Closes the connection without an answer.
#[derive(Debug)]
struct Closed;

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("closed without an answer")
    }
}

impl std::error::Error for Closed {}

async fn answer(request: Request<Incoming>, shared: &Shared) -> Result<Response<Full<Bytes>>, Closed> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, BODY_BYTES_MAX).collect().await.map_err(|_| Closed)?.to_bytes();
    let behaviour = shared.behaviour.lock().clone();
    let status = match &behaviour {
        Behaviour::Answer { status, .. } => Some(*status),
        Behaviour::Slow(_) => Some(204),
        Behaviour::Hang | Behaviour::Close => None,
    };
    let path = head.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let received =
        Received { method: head.method, path, headers: head.headers, body, at: Instant::now(), status };
    shared.received.lock().push(received);
    match behaviour {
        Behaviour::Answer { status, headers, body } => Ok(response(status, &headers, body)),
        Behaviour::Slow(time) => {
            sleep(time).await;
            Ok(response(204, &[], Bytes::new()))
        }
        Behaviour::Hang => {
            sleep(HANG).await;
            Err(Closed)
        }
        Behaviour::Close => Err(Closed),
    }
}

fn response(status: u16, headers: &[(&'static str, String)], body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = StatusCode::from_u16(status).expect("a test names a status");
    for (name, value) in headers {
        response.headers_mut().append(*name, HeaderValue::from_str(value).expect("a test names a header"));
    }
    response
}
