//! Bytes to a socket and back, without a library in between that would not let anybody misbehave.

use std::io;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream, lookup_host},
};

use crate::within;

/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How much is read at once.
const READ_BYTES: usize = 64 * 1024;

/// A connection on which a test decides every byte.
#[derive(Debug)]
pub struct RawConnection {
    stream: TcpStream,
    /// Received and not yet looked at.
    buffer: Vec<u8>,
}

/// An answer of HTTP/1.1.
#[derive(Clone, Debug)]
pub struct RawResponse {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, out of its chunks.
    pub body: Vec<u8>,
}

impl RawConnection {
    /// Connects to `host:port`.
    ///
    /// # Errors
    /// The system's.
    pub async fn open(address: &str) -> io::Result<RawConnection> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(RawConnection { stream, buffer: Vec::new() })
    }

    /// Connects with the smallest receive buffer that the system allows, so that a sender soon has to wait.
    ///
    /// # Errors
    /// The system's.
    pub async fn open_narrow(address: &str) -> io::Result<RawConnection> {
        let address =
            lookup_host(address).await?.next().ok_or_else(|| io::Error::other("no such address"))?;
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_recv_buffer_size(4096)?;
        Ok(RawConnection { stream: socket.connect(address).await?, buffer: Vec::new() })
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// The system's: the server may have closed the connection, which is often what a test wants to see.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        within("the server takes what is sent", self.stream.write_all(bytes.as_ref())).await
    }

    /// Says that nothing more will be sent. The answer can still be read.
    ///
    /// # Errors
    /// The system's.
    pub async fn finish_sending(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// Closes the connection with a reset, as a crashed client's system does.
    ///
    /// # Errors
    /// The system's.
    pub fn reset(self) -> io::Result<()> {
        self.stream.set_zero_linger()
    }

    /// The next answer, or none if the connection ends first.
    ///
    /// # Panics
    /// If there is neither in time, or what comes is not HTTP.
    pub async fn answer(&mut self) -> Option<RawResponse> {
        self.answer_to(true).await
    }

    /// The next answer, which has no body whatever its headers say: that of a `HEAD`.
    ///
    /// # Panics
    /// As [`answer`](Self::answer).
    pub async fn answer_to_head(&mut self) -> Option<RawResponse> {
        self.answer_to(false).await
    }

    /// What has come and was not looked at yet, or the next bytes that come; nothing at the connection's end.
    ///
    /// # Panics
    /// If nothing comes in time.
    pub async fn some(&mut self) -> Vec<u8> {
        if self.buffer.is_empty() {
            self.receive().await;
        }
        std::mem::take(&mut self.buffer)
    }

    /// Everything that still comes until the server closes the connection.
    ///
    /// # Panics
    /// If it does not in time.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.receive().await {}
        std::mem::take(&mut self.buffer)
    }

    async fn answer_to(&mut self, has_body: bool) -> Option<RawResponse> {
        let head = self.take_through(b"\r\n\r\n").await?;
        let (status, headers) = parse_head(&String::from_utf8_lossy(&head));
        if status.is_informational() {
            return Box::pin(self.answer_to(has_body)).await;
        }
        let text = |name: &str| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let body = if !has_body || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
            Vec::new()
        } else if text("transfer-encoding") == Some("chunked") {
            self.take_chunks().await
        } else {
            let length_bytes = text("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
            self.take(length_bytes).await?
        };
        Some(RawResponse { status, headers, body })
    }

    async fn take_chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let line = self.take_through(b"\r\n").await.expect("a chunk has a size");
            let line = String::from_utf8_lossy(&line);
            let size = usize::from_str_radix(line.trim(), 16).expect("a chunk's size is a number");
            let chunk = self.take(size + 2).await.expect("a chunk is whole");
            if size == 0 {
                return body;
            }
            body.extend_from_slice(&chunk[..size]);
        }
    }

    async fn take_through(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(position) = self.buffer.windows(end.len()).position(|window| window == end) {
                return self.take(position + end.len()).await;
            }
            if !self.receive().await {
                return None;
            }
        }
    }

    async fn take(&mut self, length_bytes: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < length_bytes {
            if !self.receive().await {
                return None;
            }
        }
        let rest = self.buffer.split_off(length_bytes);
        Some(std::mem::replace(&mut self.buffer, rest))
    }

    /// Reads some more; false at the end of the connection, whichever way it ends.
    async fn receive(&mut self) -> bool {
        assert!(self.buffer.len() < ANSWER_BYTES_MAX, "an answer has more than {ANSWER_BYTES_MAX} bytes");
        self.buffer.reserve(READ_BYTES);
        let read = within("the server answers or closes", self.stream.read_buf(&mut self.buffer)).await;
        matches!(read, Ok(received_bytes) if received_bytes > 0)
    }
}

impl RawResponse {
    /// Whether the server said that it will close the connection.
    pub fn is_last(&self) -> bool {
        self.headers.get("connection").is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"))
    }
}

fn parse_head(head: &str) -> (StatusCode, HeaderMap) {
    let mut lines = head.split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let status = status_line.strip_prefix("HTTP/1.1 ").or_else(|| status_line.strip_prefix("HTTP/1.0 "));
    let status = status.and_then(|rest| rest.get(..3)?.parse().ok());
    let status = status.unwrap_or_else(|| panic!("not an answer of HTTP: {status_line:?}"));
    let mut headers = HeaderMap::new();
    for line in lines.filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("not a header: {line:?}"));
        let name: HeaderName = name.parse().expect("a header's name");
        headers.append(name, HeaderValue::from_str(value.trim()).expect("a header's value"));
    }
    (status, headers)
}
