//! Whether the server can serve: checks that run now and then, and one that runs when asked.

use std::{
    collections::BTreeMap,
    fmt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Request, Uri, header};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::{
    net::TcpStream,
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::chain;

/// What a server serves, asked whether it is well.
#[async_trait]
pub trait Vitals: Send + Sync + fmt::Debug {
    /// Whether what every request needs answers. The check [`CheckKind::Storage`] asks for it, so it should take no longer than
    /// seconds.
    ///
    /// # Errors
    /// Why not, for the log.
    async fn check(&self) -> Result<(), String>;

    /// What fails now: name and reason.
    async fn failures(&self) -> BTreeMap<String, String>;

    /// What an operator should look at while requests are served: name and reason.
    async fn warnings(&self) -> BTreeMap<String, String>;

    /// Brings those metrics up to date that are looked up when they are asked for.
    async fn refresh(&self);
}

/// Something that is checked now and then. While it fails, every request is answered with 503, as in the Go registry.
#[derive(Clone, Debug)]
pub struct Check {
    /// What is checked.
    pub kind: CheckKind,
    /// How often.
    pub interval: Duration,
    /// How many failures in a row count as one; 0 as 1.
    pub threshold: u32,
}

/// What is checked.
#[derive(Clone, Debug)]
pub enum CheckKind {
    /// What is served answers: [`Vitals::check`].
    Storage,
    /// A file is absent: operators create it to take a node out of service.
    FileAbsent(PathBuf),
    /// `HEAD` of an `http:` URL is answered with the status, within the time.
    Http {
        /// The URL.
        uri: Uri,
        /// What is sent with the request.
        headers: HeaderMap,
        /// What is expected.
        status: u16,
        /// How long it may take.
        timeout: Duration,
    },
    /// A connection to `host:port` can be made within the time.
    Tcp {
        /// Where to.
        address: String,
        /// How long it may take.
        timeout: Duration,
    },
}

/// What the last round of checks came to.
#[derive(Debug, Default)]
pub struct Health {
    is_failing: AtomicBool,
    failures: Mutex<BTreeMap<String, String>>,
}

impl Health {
    /// Whether requests are served. Always, unless checks are run.
    pub fn is_serving(&self) -> bool {
        !self.is_failing.load(Ordering::Relaxed)
    }

    /// What fails: name and reason, from the checks that run now and then and from a look now.
    pub async fn look(&self, vitals: &dyn Vitals) -> BTreeMap<String, String> {
        let mut failures = self.failures.lock().clone();
        failures.extend(vitals.failures().await);
        failures
    }

    /// Runs a check until the future is dropped.
    pub async fn run(&self, check: Check, vitals: Arc<dyn Vitals>) {
        let name = check.kind.name();
        let mut failed_in_a_row = 0;
        loop {
            sleep(check.interval).await;
            let result = check.kind.run(&*vitals).await;
            failed_in_a_row = if result.is_ok() { 0 } else { failed_in_a_row + 1 };
            match result {
                Err(reason) if failed_in_a_row >= check.threshold.max(1) => self.note(&name, Some(reason)),
                Err(_) => {}
                Ok(()) => self.note(&name, None),
            }
        }
    }

    fn note(&self, name: &str, failure: Option<String>) {
        let mut failures = self.failures.lock();
        match failure {
            Some(reason) => {
                if failures.insert(name.to_owned(), reason.clone()).is_none() {
                    tracing::error!("health check {name} fails, requests are refused: {reason}");
                }
            }
            None => {
                if failures.remove(name).is_some() {
                    tracing::info!("health check {name} succeeds again");
                }
            }
        }
        self.is_failing.store(!failures.is_empty(), Ordering::Relaxed);
    }
}

impl CheckKind {
    fn name(&self) -> String {
        match self {
            CheckKind::Storage => "storage".to_owned(),
            CheckKind::FileAbsent(path) => path.display().to_string(),
            CheckKind::Http { uri, .. } => uri.to_string(),
            CheckKind::Tcp { address, .. } => address.clone(),
        }
    }

    async fn run(&self, vitals: &dyn Vitals) -> Result<(), String> {
        match self {
            CheckKind::Storage => vitals.check().await,
            CheckKind::FileAbsent(path) if path.exists() => Err("the file exists".to_owned()),
            CheckKind::FileAbsent(_) => Ok(()),
            CheckKind::Http { uri, headers, status, timeout: limit } => {
                match timeout(*limit, status_of(uri, headers)).await {
                    Ok(Ok(got)) if got == *status => Ok(()),
                    Ok(Ok(got)) => Err(format!("the status is {got}, not {status}")),
                    Ok(Err(error)) => Err(chain(&*error)),
                    Err(_) => Err(format!("no answer within {limit:?}")),
                }
            }
            CheckKind::Tcp { address, timeout: limit } => {
                match timeout(*limit, TcpStream::connect(address)).await {
                    Ok(Ok(_)) => Ok(()),
                    Ok(Err(error)) => Err(error.to_string()),
                    Err(_) => Err(format!("no connection within {limit:?}")),
                }
            }
        }
    }
}

async fn status_of(uri: &Uri, headers: &HeaderMap) -> Result<u16, Box<dyn std::error::Error + Send + Sync>> {
    let authority = uri.authority().ok_or("the URL has no host")?;
    let stream = TcpStream::connect((authority.host(), authority.port_u16().unwrap_or(80))).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = AbortOnDrop(tokio::spawn(connection));
    let mut request = Request::head(uri.path_and_query().map_or("/", |path| path.as_str()))
        .header(header::HOST, authority.as_str())
        .body(Empty::<Bytes>::new())?;
    request.headers_mut().extend(headers.clone());
    let status = sender.send_request(request).await?.status().as_u16();
    drop(connection);
    Ok(status)
}

/// A task that ends with whoever needs it.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
