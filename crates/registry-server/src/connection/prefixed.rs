//! A connection of which something was read already, and of which is known whether all that was written was taken.

use std::{
    future::poll_fn,
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What an HTTP/2 client that did not negotiate begins with. Spec: RFC 9113, section 3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Reads `prefix` before what the stream has.
#[derive(Debug)]
pub(super) struct Prefixed<S> {
    prefix: Bytes,
    stream: S,
    has_unsent: Arc<AtomicBool>,
}

impl<S> Prefixed<S> {
    pub(super) fn new(stream: S) -> Self {
        Prefixed { prefix: Bytes::new(), stream, has_unsent: Arc::default() }
    }

    /// Puts back what was read and not used.
    pub(super) fn put_back(&mut self, bytes: Bytes) {
        // Copied: a few bytes, or none, must not keep the whole buffer that they are a part of.
        self.prefix = Bytes::from([&bytes[..], &self.prefix[..]].concat());
    }

    /// Whether something was written since the last flush that succeeded. Who writes here flushes once it has nothing
    /// more, so this tells from outside whether it has.
    pub(super) fn has_unsent(&self) -> Arc<AtomicBool> {
        self.has_unsent.clone()
    }
}

impl<S: AsyncRead + Unpin> Prefixed<S> {
    /// Waits until the peer sends something, holding no buffer meanwhile, and keeps it. `false` at the end of what it sends.
    /// What was put back counts as sent.
    pub(super) async fn wait(&mut self) -> io::Result<bool> {
        if !self.prefix.is_empty() {
            return Ok(true);
        }
        poll_fn(|context| self.poll_more(context, 1)).await
    }

    /// Waits for the first byte, and keeps it: whether it is a letter, with which a request of HTTP begins, and nothing of TLS.
    #[cfg(feature = "tls")]
    pub(super) async fn begins_with_a_letter(&mut self) -> io::Result<bool> {
        let has_begun = self.wait().await?;
        Ok(has_begun && self.prefix.first().is_some_and(u8::is_ascii_alphabetic))
    }

    /// Whether the peer begins as HTTP/2 does. Reads no more than it takes to know.
    pub(super) async fn is_http2(&mut self) -> io::Result<bool> {
        loop {
            let known = self.prefix.len().min(PREFACE.len());
            if self.prefix[..known] != PREFACE[..known] {
                return Ok(false);
            }
            let missing = PREFACE.len() - known;
            if missing == 0 {
                return Ok(true);
            }
            if !poll_fn(|context| self.poll_more(context, missing)).await? {
                return Ok(false);
            }
        }
    }

    /// Reads up to `limit` bytes more behind the prefix; `false` at the end of the stream.
    fn poll_more(&mut self, context: &mut Context<'_>, limit: usize) -> Poll<io::Result<bool>> {
        let mut space = [0; PREFACE.len()];
        let mut buffer = ReadBuf::new(&mut space[..limit.min(PREFACE.len())]);
        ready!(pin!(&mut self.stream).poll_read(context, &mut buffer))?;
        self.prefix = Bytes::from([&self.prefix[..], buffer.filled()].concat());
        Poll::Ready(Ok(!buffer.filled().is_empty()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.prefix.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let taken = self.prefix.len().min(buffer.remaining());
        buffer.put_slice(&self.prefix[..taken]);
        self.prefix.advance(taken);
        if self.prefix.is_empty() {
            // Lets go of the memory that it was a part of.
            self.prefix = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefixed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.has_unsent.store(true, Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.has_unsent.store(true, Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.has_unsent.store(false, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    async fn sniff(sent: &'static [u8]) -> (bool, Vec<u8>) {
        let stream = tokio_test_stream(sent);
        let mut stream = Prefixed::new(stream);
        let is_http2 = stream.is_http2().await.unwrap();
        let mut read = Vec::new();
        stream.read_to_end(&mut read).await.unwrap();
        (is_http2, read)
    }

    /// Gives a byte at a time.
    fn tokio_test_stream(sent: &'static [u8]) -> impl AsyncRead + Unpin {
        let (ours, mut theirs) = tokio::io::duplex(1);
        tokio::spawn(async move { tokio::io::AsyncWriteExt::write_all(&mut theirs, sent).await });
        ours
    }

    #[tokio::test]
    async fn the_preface_is_told_from_everything_else_and_nothing_is_lost() {
        let long = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nframes";
        assert_eq!(sniff(long).await, (true, long.to_vec()));
        for other in
            [&b"GET / HTTP/1.1\r\n"[..], b"PROPFIND / HTTP/1.1\r\n", b"PRI * HTTP/1.1\r\n\r\n", b"PR", b""]
        {
            assert_eq!(sniff(other).await, (false, other.to_vec()));
        }
    }

    #[tokio::test]
    async fn what_is_put_back_comes_first() {
        let mut stream = Prefixed::new(tokio_test_stream(b"cd"));
        assert!(stream.wait().await.unwrap());
        stream.put_back(Bytes::from_static(b"ab"));
        assert!(stream.wait().await.unwrap());
        let mut read = String::new();
        stream.read_to_string(&mut read).await.unwrap();
        assert_eq!(read, "abcd");
        assert!(!stream.wait().await.unwrap());
    }
}
