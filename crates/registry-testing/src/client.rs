//! An HTTP client that shows everything.

use std::{io, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use parking_lot::Mutex;

use crate::{
    Request,
    connection::{Protocol, Sender, Target, identity, roots},
};

/// Sends one request at a time and gives back what came, headers and bytes. Follows no redirects, repeats nothing, and
/// keeps connections open for the next request. Clones share their connections.
#[derive(Clone)]
pub struct Client {
    pub(crate) target: Arc<Target>,
    pub(crate) headers: HeaderMap,
    pub(crate) idle: Arc<Mutex<Vec<Sender>>>,
}

/// Why there is no answer, or not the one that was to be.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection.
    #[error("can not connect")]
    Connect(#[source] io::Error),
    /// The TLS handshake failed.
    #[error("no TLS connection")]
    Tls(#[source] io::Error),
    /// The connection broke, or what came was not HTTP.
    #[error("the exchange broke off")]
    Http(#[source] hyper::Error),
    /// Nothing for too long.
    #[error("no answer to {request} in time")]
    Timeout {
        /// Method and path.
        request: String,
    },
    /// An answer with another status than it should have.
    #[error("{request} was answered with {status}: {body}")]
    Status {
        /// Method and path.
        request: String,
        /// What came.
        status: StatusCode,
        /// The answer's body, as text.
        body: String,
    },
    /// An answer that is wrong in another way.
    #[error("{request}: {reason}")]
    Wrong {
        /// Method and path.
        request: String,
        /// What is wrong.
        reason: String,
    },
}

impl ClientError {
    /// The status of an answer that should have had another one.
    pub fn status(&self) -> Option<u16> {
        match self {
            ClientError::Status { status, .. } => Some(status.as_u16()),
            _ => None,
        }
    }

    /// Whether the server was not there, or went away in the middle: what a killed server looks like.
    pub fn is_disconnect(&self) -> bool {
        matches!(self, ClientError::Connect(_) | ClientError::Tls(_) | ClientError::Http(_))
    }
}

impl Client {
    /// For a registry at `http://host:port` or `https://host:port`; speaks HTTP/1.1. Nothing is connected yet.
    pub fn new(url: &str) -> Client {
        Client::to(Target::of(url))
    }

    /// The same with another version of HTTP, on connections of its own.
    pub fn speaking(self, protocol: Protocol) -> Client {
        let headers = self.headers;
        Client { headers, ..Client::to(Target { protocol, ..(*self.target).clone() }) }
    }

    /// The same, trusting the certificates of a PEM text, and no others; on connections of its own.
    pub fn trusting(self, pem: &[u8]) -> Client {
        let (headers, roots) = (self.headers, Some(Arc::new(roots(pem))));
        Client { headers, ..Client::to(Target { roots, ..(*self.target).clone() }) }
    }

    /// The same, showing a certificate to a server that asks for one; on connections of its own.
    pub fn presenting(self, certificate_pem: &[u8], key_pem: &[u8]) -> Client {
        let identity = Some(Arc::new(identity(certificate_pem, key_pem)));
        let headers = self.headers;
        Client { headers, ..Client::to(Target { identity, ..(*self.target).clone() }) }
    }

    /// The same, on connections of its own.
    pub fn reconnected(&self) -> Client {
        Client { headers: self.headers.clone(), ..Client::to((*self.target).clone()) }
    }

    /// The same, with a user's name and password on every request.
    pub fn login(self, user: &str, password: &str) -> Client {
        let credentials = STANDARD.encode(format!("{user}:{password}"));
        self.header(header::AUTHORIZATION, &format!("Basic {credentials}"))
    }

    /// The same, with a header on every request.
    ///
    /// # Panics
    /// If the value can not stand in a header.
    pub fn header(mut self, name: HeaderName, value: &str) -> Client {
        self.headers.insert(name, HeaderValue::from_str(value).expect("the value may stand in a header"));
        self
    }

    /// A request to a path, or to a URL of this registry, as `Location` headers have it.
    pub fn request(&self, method: Method, path: &str) -> Request {
        Request::new(self.clone(), method, path)
    }

    /// `GET`.
    pub fn get(&self, path: &str) -> Request {
        self.request(Method::GET, path)
    }

    /// `HEAD`.
    pub fn head(&self, path: &str) -> Request {
        self.request(Method::HEAD, path)
    }

    /// `POST`.
    pub fn post(&self, path: &str) -> Request {
        self.request(Method::POST, path)
    }

    /// `PUT`.
    pub fn put(&self, path: &str) -> Request {
        self.request(Method::PUT, path)
    }

    /// `PATCH`.
    pub fn patch(&self, path: &str) -> Request {
        self.request(Method::PATCH, path)
    }

    /// `DELETE`.
    pub fn delete(&self, path: &str) -> Request {
        self.request(Method::DELETE, path)
    }

    fn to(target: Target) -> Client {
        Client { target: Arc::new(target), headers: HeaderMap::new(), idle: Arc::default() }
    }

    /// A connection that is open already, or a new one.
    pub(crate) async fn connection(&self) -> Result<Sender, ClientError> {
        loop {
            let Some(mut sender) = self.idle.lock().pop() else { return self.target.connect().await };
            if sender.is_ready().await {
                return Ok(sender);
            }
        }
    }
}
