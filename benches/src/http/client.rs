//! One request after another on one connection that blocks.

use std::{
    io::{IoSlice, Read, Write},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustls::{ClientConnection, StreamOwned};

use super::{ACCEPT, Endpoint, Head, tls};

/// How long the connection may rest in the middle of an exchange.
const IO_TIMEOUT: Duration = Duration::from_secs(60);

/// How much is read at once.
const BUFFER_BYTES: usize = 256 << 10;

/// A body up to this goes out with the head in one call.
const JOINED_BYTES_MAX: usize = 32 << 10;

/// A connection.
pub(crate) struct Client {
    stream: Stream,
    host: String,
    buffer: Vec<u8>,
    /// What of `buffer` was received and not consumed.
    pending: std::ops::Range<usize>,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// An answer with its whole body.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The body, if the status is this one.
    pub(crate) fn expect(self, status: u16) -> Result<Response> {
        if self.head.status != status {
            let body = String::from_utf8_lossy(&self.body[..self.body.len().min(500)]).into_owned();
            bail!("answered {} instead of {status}: {body}", self.head.status);
        }
        Ok(self)
    }
}

impl Client {
    pub(crate) fn connect(endpoint: &Endpoint) -> Result<Client> {
        let socket = TcpStream::connect(endpoint.address)
            .with_context(|| format!("connect to {}", endpoint.address))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(IO_TIMEOUT))?;
        socket.set_write_timeout(Some(IO_TIMEOUT))?;
        let stream = match &endpoint.tls {
            None => Stream::Plain(socket),
            Some(config) => {
                let connection = ClientConnection::new(config.clone(), tls::server_name())?;
                Stream::Tls(Box::new(StreamOwned::new(connection, socket)))
            }
        };
        let host = endpoint.address.to_string();
        Ok(Client { stream, host, buffer: vec![0; BUFFER_BYTES], pending: 0..0 })
    }

    /// Sends a request and waits for its answer.
    pub(crate) fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response> {
        let exchange = || format!("{method} {path}");
        let mut head = self.head(method, path, headers, body.len() as u64);
        if body.len() <= JOINED_BYTES_MAX {
            head.extend_from_slice(body);
            self.stream.write_all(&head).with_context(exchange)?;
        } else {
            self.stream.write_both(&head, body).with_context(exchange)?;
        }
        let mut received = Vec::new();
        let head = self
            .receive(method == "HEAD", &mut |bytes| {
                received.extend_from_slice(bytes);
                Ok(())
            })
            .with_context(exchange)?;
        Ok(Response { head, body: received })
    }

    pub(crate) fn get(&mut self, path: &str) -> Result<Response> {
        self.request("GET", path, &[("accept", ACCEPT)], b"")
    }

    /// The head of a request whose body the caller sends with [`send`](Self::send), then calls [`receive`](Self::receive).
    pub(crate) fn begin(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        length: u64,
    ) -> Result<()> {
        let head = self.head(method, path, headers, length);
        self.send(&head)
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// Waits for an answer, and gives its body to `sink` piece by piece.
    pub(crate) fn receive(
        &mut self,
        is_bodiless: bool,
        sink: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<Head> {
        let head = loop {
            let parsed = Head::parse(&self.buffer[self.pending.clone()])?;
            match parsed {
                Some((head, length)) => {
                    self.pending.start += length;
                    break head;
                }
                None => self.fill()?,
            }
        };
        if is_bodiless {
            return Ok(head);
        }
        if head.is_chunked {
            while let length @ 1.. = self.chunk_length()? {
                self.copy(length, sink)?;
                self.line()?;
            }
            self.line()?;
        } else {
            self.copy(head.content_length.unwrap_or(0), sink)?;
        }
        Ok(head)
    }

    fn head(&self, method: &str, path: &str, headers: &[(&str, &str)], length: u64) -> Vec<u8> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.host);
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !matches!(method, "GET" | "HEAD") {
            head.push_str(&format!("content-length: {length}\r\n"));
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    fn copy(&mut self, length: u64, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut left = length;
        while left > 0 {
            if self.pending.is_empty() {
                self.fill()?;
            }
            let there = usize::try_from(left).unwrap_or(usize::MAX).min(self.pending.len());
            sink(&self.buffer[self.pending.start..self.pending.start + there])?;
            self.pending.start += there;
            left -= there as u64;
        }
        Ok(())
    }

    fn chunk_length(&mut self) -> Result<u64> {
        let line = self.line()?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        u64::from_str_radix(digits, 16).with_context(|| format!("`{line}` begins no chunk"))
    }

    /// A line without its end.
    fn line(&mut self) -> Result<String> {
        loop {
            let pending = &self.buffer[self.pending.clone()];
            if let Some(length) = pending.windows(2).position(|end| end == b"\r\n") {
                let line = String::from_utf8_lossy(&pending[..length]).into_owned();
                self.pending.start += length + 2;
                return Ok(line);
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> Result<()> {
        if self.pending.start > 0 {
            self.buffer.copy_within(self.pending.clone(), 0);
            self.pending = 0..self.pending.len();
        }
        let received = self.stream.read(&mut self.buffer[self.pending.end..])?;
        if received == 0 {
            bail!("the connection was closed");
        }
        self.pending.end += received;
        Ok(())
    }
}

impl Stream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.read(buffer),
            Stream::Tls(stream) => stream.read(buffer),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.write_all(bytes),
            Stream::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }

    /// A head and the beginning of its body in one call.
    fn write_both(&mut self, head: &[u8], body: &[u8]) -> std::io::Result<()> {
        let Stream::Plain(socket) = self else {
            self.write_all(head)?;
            return self.write_all(body);
        };
        let written = socket.write_vectored(&[IoSlice::new(head), IoSlice::new(body)])?;
        match written.checked_sub(head.len()) {
            Some(of_body) => socket.write_all(&body[of_body..]),
            None => socket.write_all(&head[written..]).and_then(|()| socket.write_all(body)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Answers every request with the same bytes, in pieces of this size.
    fn server(answer: &'static [u8], piece: usize) -> Endpoint {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut buffer = [0; 4096];
            while socket.read(&mut buffer).is_ok_and(|read| read > 0) {
                answer.chunks(piece).for_each(|piece| socket.write_all(piece).unwrap());
            }
        });
        Endpoint { address, tls: None }
    }

    #[test]
    fn bodies_are_read_to_their_end_and_no_further() {
        let fixed = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        let chunked =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x\r\nlo\r\n0\r\n\r\n";
        for answer in [&fixed[..], &chunked[..]] {
            for piece in [1, 7, 1000] {
                let mut client = Client::connect(&server(answer, piece)).unwrap();
                for _ in 0..2 {
                    assert_eq!(client.get("/").unwrap().expect(200).unwrap().body, b"hello");
                }
            }
        }
    }

    #[test]
    fn another_status_is_an_error_that_shows_the_body() {
        let answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone";
        let mut client = Client::connect(&server(answer, 1000)).unwrap();
        let error = client.get("/x").unwrap().expect(200).unwrap_err().to_string();
        assert!(error.contains("404") && error.contains("gone"), "{error}");
    }
}
