//! The bodies of answers. None of them holds more than a piece of what it sends.

use std::{
    collections::VecDeque,
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream::BoxStream};
use http_body::{Frame, SizeHint};

use crate::{
    budget::{OpenFile, Reservation},
    file_body::FileBody,
};

/// The most that is handed at once to a connection that copies it, or waits with it for the peer: small enough that a slow peer
/// takes it all before it is given up for slow.
const FRAME_BYTES_MAX: usize = 64 * 1024;

/// The most that is handed at once to a connection that sends files, so that what was handed over is not far from what was
/// sent.
const FILE_FRAME_BYTES_MAX: usize = 1024 * 1024;

/// The body of an answer.
pub struct Body {
    pieces: VecDeque<Piece>,
    /// What is left to send, if it is known.
    remaining_bytes: Option<u64>,
    /// Whether the kernel sends what lies in files.
    sends_files: bool,
    /// What was taken of the budget for as long as this is sent.
    memory: Option<Reservation>,
    _file: Option<OpenFile>,
}

/// A part of a body.
pub enum Piece {
    /// At hand.
    Bytes(Bytes),
    /// In a file.
    File(FileBody),
    /// From elsewhere. Ends by itself, or with an error that cuts the connection off, so that no client takes a part for the whole.
    Stream(BoxStream<'static, io::Result<Bytes>>),
}

impl Body {
    /// A body without bytes.
    pub fn empty() -> Body {
        Body::new(VecDeque::new(), Some(0))
    }

    /// A body that is at hand.
    pub fn full(bytes: Bytes) -> Body {
        let remaining_bytes = Some(bytes.len() as u64);
        Body::new(VecDeque::from([Piece::Bytes(bytes)]), remaining_bytes)
    }

    /// A body whose length is not known before its end.
    pub fn unsized_stream(stream: BoxStream<'static, io::Result<Bytes>>) -> Body {
        Body::new(VecDeque::from([Piece::Stream(stream)]), None)
    }

    fn new(pieces: VecDeque<Piece>, remaining_bytes: Option<u64>) -> Body {
        Body { pieces, remaining_bytes, sends_files: false, memory: None, _file: None }
    }

    /// Lets the kernel send what lies in files, for connections that send bytes as they are. A file is mapped
    /// when its turn comes; one that can not be mapped, since there are too many mappings already, is read.
    pub(crate) fn send_files(&mut self) {
        self.sends_files = true;
        if self.pieces.iter().all(|piece| !matches!(piece, Piece::Stream(_))) {
            // A mapping takes none; and if it can not be had, such a connection has one small buffer at a time.
            self.memory = None;
        }
    }

    /// Keeps what was taken of the budget until the body is gone.
    pub fn keep(&mut self, memory: Option<Reservation>, file: Option<OpenFile>) {
        self.memory = memory;
        self._file = file;
    }

    /// One piece after the other, `length_bytes` in all.
    pub fn pieces(pieces: impl Into<VecDeque<Piece>>, length_bytes: u64) -> Body {
        Body::new(pieces.into(), Some(length_bytes))
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("remaining_bytes", &self.remaining_bytes).finish_non_exhaustive()
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let sends_files = self.sends_files;
        let frame_bytes_max = if sends_files { FILE_FRAME_BYTES_MAX } else { FRAME_BYTES_MAX };
        loop {
            let Some(piece) = self.pieces.front_mut() else { return Poll::Ready(None) };
            if let (Piece::File(file), true) = (&mut *piece, sends_files)
                && let Some(mapped) = file.mapped()
            {
                *piece = Piece::Bytes(mapped);
            }
            let next = match piece {
                Piece::Bytes(bytes) if bytes.is_empty() => None,
                Piece::Bytes(bytes) => Some(Ok(bytes.split_to(bytes.len().min(frame_bytes_max)))),
                Piece::File(file) => ready!(Pin::new(file).poll_next(context)),
                Piece::Stream(stream) => ready!(stream.poll_next_unpin(context)),
            };
            match next {
                None => drop(self.pieces.pop_front()),
                Some(Err(error)) => {
                    self.pieces.clear();
                    return Poll::Ready(Some(Err(error)));
                }
                Some(Ok(bytes)) => {
                    let length_bytes = bytes.len() as u64;
                    if let Some(remaining_bytes) = &mut self.remaining_bytes {
                        *remaining_bytes = remaining_bytes.saturating_sub(length_bytes);
                    }
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.remaining_bytes == Some(0) || self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.remaining_bytes.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn pieces_follow_each_other() {
        let stream =
            futures_util::stream::iter([Ok(Bytes::from_static(b"cd")), Ok(Bytes::from_static(b"e"))]);
        let pieces = [Piece::Bytes(Bytes::from_static(b"ab")), Piece::Stream(stream.boxed())];
        let body = Body::pieces(VecDeque::from(pieces), 5);
        assert_eq!(http_body::Body::size_hint(&body).exact(), Some(5));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "abcde");
    }

    #[tokio::test]
    async fn an_error_ends_the_body() {
        let stream =
            futures_util::stream::iter([Err(io::Error::other("gone")), Ok(Bytes::from_static(b"x"))]);
        let mut body = Body::unsized_stream(stream.boxed());
        assert!(body.frame().await.unwrap().is_err());
        assert!(body.frame().await.is_none());
    }
}
