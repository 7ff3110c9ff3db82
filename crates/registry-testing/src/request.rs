//! One request and its answer.

use std::{fmt::Display, io};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header, uri::PathAndQuery};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use registry_core::types::{ErrorBody, ErrorCode, ErrorEntry};

use hyper::body::Incoming;

use crate::{
    Client, ClientError, DEADLINE,
    connection::{Body, Sender},
    within,
};

/// A request that is being put together. Nothing is sent before [`send`](Self::send) or [`expect`](Self::expect).
pub struct Request {
    client: Client,
    method: Method,
    path: PathAndQuery,
    headers: HeaderMap,
    body: Body,
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Response {
    /// Its status.
    pub status: StatusCode,
    /// The version of HTTP that it came by.
    pub version: Version,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body; empty for `HEAD`.
    pub body: Bytes,
    /// Method and path of the request, for messages.
    pub(crate) request: String,
}

/// An answer whose body has not been read.
pub struct Download {
    /// Its status.
    pub status: StatusCode,
    body: Incoming,
    /// HTTP/2 ends a connection that nobody can send requests on any more.
    _connection: Sender,
}

impl Request {
    pub(crate) fn new(client: Client, method: Method, path: &str) -> Request {
        let uri: Uri = path.parse().unwrap_or_else(|error| panic!("{path} is not a path: {error}"));
        let path = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        let headers = client.headers.clone();
        Request {
            client,
            method,
            path,
            headers,
            body: Full::default().map_err(|never| match never {}).boxed_unsync(),
        }
    }

    /// Adds a header.
    ///
    /// # Panics
    /// If the value can not stand in a header.
    pub fn header(mut self, name: impl AsRef<str>, value: impl Display) -> Request {
        let name: HeaderName = name.as_ref().parse().expect("the name is one of a header");
        let value = HeaderValue::from_str(&value.to_string()).expect("the value may stand in a header");
        self.headers.append(name, value);
        self
    }

    /// `Content-Type`.
    pub fn content_type(self, media_type: impl Display) -> Request {
        self.header(header::CONTENT_TYPE, media_type)
    }

    /// A body of a known length.
    pub fn body(mut self, bytes: impl Into<Bytes>) -> Request {
        self.body = Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync();
        self
    }

    /// A body of an unknown length (`Transfer-Encoding: chunked` in HTTP/1.1), a chunk for each piece. An error breaks
    /// the request off.
    pub fn stream(mut self, pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Request {
        self.body = StreamBody::new(pieces.map(|piece| piece.map(Frame::data))).boxed_unsync();
        self
    }

    /// A body of an unknown length, cut into chunks of so many bytes.
    pub fn chunked(self, bytes: &Bytes, chunk_bytes: usize) -> Request {
        let starts = (0..bytes.len()).step_by(chunk_bytes.max(1));
        let pieces: Vec<_> =
            starts.map(|start| Ok(bytes.slice(start..bytes.len().min(start + chunk_bytes)))).collect();
        self.stream(stream::iter(pieces))
    }

    /// Sends it and reads the answer.
    ///
    /// # Errors
    /// [`ClientError`] if there is no answer within [`DEADLINE`]. Whatever status there is counts as an answer.
    pub async fn send(self) -> Result<Response, ClientError> {
        let name = format!("{} {}", self.method, self.path);
        let timeout = ClientError::Timeout { request: name.clone() };
        tokio::time::timeout(DEADLINE, self.exchange(name)).await.map_err(|_| timeout)?
    }

    /// Sends it; the answer must have this status.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn want(self, status: u16) -> Result<Response, ClientError> {
        let response = self.send().await?;
        if response.status.as_u16() == status {
            return Ok(response);
        }
        let body = response.text();
        Err(ClientError::Status { request: response.request, status: response.status, body })
    }

    /// Sends it; the answer must have this status.
    ///
    /// # Panics
    /// If it has another, or there is none.
    #[track_caller]
    pub fn expect(self, status: u16) -> impl Future<Output = Response> {
        let caller = std::panic::Location::caller();
        async move {
            match self.want(status).await {
                Ok(response) => response,
                Err(error) => panic!("{caller}: wanted {status}, but {}", chain(&error)),
            }
        }
    }

    /// Sends it and reads the answer's head alone; the body comes as fast as it is asked for, which may be never.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn open(self) -> Result<Download, ClientError> {
        let request = format!("{} {}", self.method, self.path);
        let timeout = ClientError::Timeout { request };
        let (response, connection, client) =
            tokio::time::timeout(DEADLINE, self.head()).await.map_err(|_| timeout)??;
        client.idle.lock().extend(connection.shared());
        Ok(Download { status: response.status(), body: response.into_body(), _connection: connection })
    }

    async fn exchange(self, name: String) -> Result<Response, ClientError> {
        let (response, connection, client) = self.head().await?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(ClientError::Http)?.to_bytes();
        client.idle.lock().push(connection);
        Ok(Response {
            status: parts.status,
            version: parts.version,
            headers: parts.headers,
            body,
            request: name,
        })
    }

    async fn head(self) -> Result<(http::Response<Incoming>, Sender, Client), ClientError> {
        let mut connection = self.client.connection().await?;
        let target = &self.client.target;
        let mut request = http::Request::new(self.body);
        *request.method_mut() = self.method;
        *request.headers_mut() = self.headers;
        if connection.is_http2() {
            let scheme = if target.roots.is_some() { "https" } else { "http" };
            let uri = Uri::builder().scheme(scheme).authority(target.authority()).path_and_query(self.path);
            *request.uri_mut() = uri.build().expect("the parts are those of a URI");
        } else {
            *request.uri_mut() = self.path.into();
            let host =
                HeaderValue::from_str(&target.authority()).expect("an authority may stand in a header");
            request.headers_mut().entry(header::HOST).or_insert(host);
        }
        let response = connection.send(request).await.map_err(ClientError::Http)?;
        Ok((response, connection, self.client))
    }
}

impl Download {
    /// The next bytes, or none at the end.
    ///
    /// # Errors
    /// [`ClientError::Http`] if the server broke off.
    ///
    /// # Panics
    /// If nothing comes within [`DEADLINE`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            match within("the next bytes come", self.body.frame()).await {
                None => return Ok(None),
                Some(Err(error)) => return Err(ClientError::Http(error)),
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }
}

impl Response {
    /// A header, if it is there.
    pub fn header(&self, name: impl AsRef<str>) -> Option<&str> {
        self.headers.get(name.as_ref()).map(|value| value.to_str().expect("the header is text"))
    }

    /// A header that must be there.
    ///
    /// # Panics
    /// If it is not.
    pub fn must_have(&self, name: impl AsRef<str>) -> &str {
        let name = name.as_ref();
        self.header(name).unwrap_or_else(|| panic!("the answer to {} has no {name}: {self:?}", self.request))
    }

    /// Where the answer points to.
    ///
    /// # Panics
    /// If it does not.
    pub fn location(&self) -> &str {
        self.must_have(header::LOCATION)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it is not.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!("the answer to {} is not JSON ({error}): {}", self.request, self.text())
        })
    }

    /// The errors of an error's body, which must be JSON of the form that the spec asks for, and say so.
    ///
    /// # Panics
    /// If it is not, or has none.
    pub fn errors(&self) -> Vec<ErrorEntry> {
        assert_eq!(self.must_have(header::CONTENT_TYPE), "application/json", "{}", self.request);
        let body: ErrorBody = serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{}: not an error body ({error}): {}", self.request, self.text()));
        assert!(!body.errors.is_empty(), "{}: an error body without errors", self.request);
        body.errors
    }

    /// The code of the first error.
    ///
    /// # Panics
    /// If the body is no error.
    pub fn error_code(&self) -> ErrorCode {
        self.errors()[0].code
    }

    /// The path of a `Link` header's next page.
    pub fn next_page(&self) -> Option<String> {
        let link = self.header(header::LINK)?;
        let (path, parameters) = link.strip_prefix('<')?.split_once('>')?;
        assert_eq!(parameters, "; rel=\"next\"", "{}: {link}", self.request);
        Some(path.to_owned())
    }

    /// An error about this answer.
    pub(crate) fn wrong(&self, reason: impl Into<String>) -> ClientError {
        ClientError::Wrong { request: self.request.clone(), reason: reason.into() }
    }
}

/// `error: cause: cause`.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}
