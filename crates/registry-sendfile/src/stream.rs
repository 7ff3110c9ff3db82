//! A connection that sends mapped files by `sendfile`.

use std::{
    fs::File,
    io::{self, IoSlice},
    os::{fd::AsFd, unix::fs::FileExt},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::{TcpStream, UnixStream},
    task::JoinHandle,
};

use crate::mapping::{Part, part_of};

/// The most that one call sends: long enough that calls do not count, short enough that other connections get their turn.
const SEND_BYTES_MAX: usize = 1024 * 1024;

/// The most that is fetched from the disk before it is sent.
const FETCH_BYTES: usize = 512 * 1024;

/// A socket of tokio's.
pub trait Socket: AsyncRead + AsyncWrite + AsFd + Unpin {
    /// Completes when the socket can be written to.
    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Calls `write`; if that would have had to wait, notes that the socket can not be written to.
    fn try_write(&self, write: impl FnOnce() -> io::Result<usize>) -> io::Result<usize>;
}

macro_rules! socket {
    ($($type:ty),*) => {
        $(impl Socket for $type {
            fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.poll_write_ready(context)
            }

            fn try_write(&self, write: impl FnOnce() -> io::Result<usize>) -> io::Result<usize> {
                self.try_io(Interest::WRITABLE, write)
            }
        })*
    };
}

socket!(TcpStream, UnixStream);

/// Writes to a socket; what [`map`](crate::map) gave goes out by `sendfile`.
#[derive(Debug)]
pub struct SendFile<S> {
    socket: S,
    /// Bytes on their way from the disk: `sendfile` would wait for them on a thread that others need.
    fetching: Option<JoinHandle<io::Result<()>>>,
}

impl<S: Socket> SendFile<S> {
    /// Around a socket.
    pub fn new(socket: S) -> SendFile<S> {
        SendFile { socket, fetching: None }
    }

    /// Sends the beginning of a part, as much as fits.
    fn poll_send(&mut self, context: &mut Context<'_>, part: &Part) -> Poll<io::Result<usize>> {
        loop {
            if let Some(fetching) = &mut self.fetching {
                let fetched = ready!(Pin::new(fetching).poll(context));
                self.fetching = None;
                fetched.map_err(io::Error::other)??;
            }
            ready!(self.socket.poll_writable(context))?;
            let length = part.length.min(SEND_BYTES_MAX);
            if !is_cached(&part.file, part.offset, length) {
                self.fetching = Some(fetch(part));
                continue;
            }
            let send = || {
                let mut offset = part.offset;
                Ok(rustix::fs::sendfile(self.socket.as_fd(), &part.file, Some(&mut offset), length)?)
            };
            match self.socket.try_write(send) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                sent => return Poll::Ready(sent),
            }
        }
    }

    /// Writes what comes before a part of a file, and tells the kernel that more follows, so that a short head and the
    /// file's beginning share a packet.
    fn poll_write_before(
        &mut self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.socket.poll_writable(context))?;
            let send = || {
                let mut control = rustix::net::SendAncillaryBuffer::default();
                let flags = rustix::net::SendFlags::MORE | rustix::net::SendFlags::NOSIGNAL;
                Ok(rustix::net::sendmsg(self.socket.as_fd(), slices, &mut control, flags)?)
            };
            match self.socket.try_write(send) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                sent => return Poll::Ready(sent),
            }
        }
    }
}

/// Whether the beginning and the end of what is to be sent are in the page cache. What lies between may have to be read
/// after all, by a kernel that reads ahead.
fn is_cached(file: &File, offset: u64, length: usize) -> bool {
    let mut byte = [0];
    let mut probe = |offset| {
        let mut slices = [io::IoSliceMut::new(&mut byte)];
        // A system that can not tell is taken to have them.
        rustix::io::preadv2(file, &mut slices, offset, rustix::io::ReadWriteFlags::NOWAIT)
            != Err(rustix::io::Errno::AGAIN)
    };
    probe(offset) && probe(offset + length as u64 - 1)
}

/// Reads the beginning of a part, on a thread made for waiting, to have it in the page cache.
fn fetch(part: &Part) -> JoinHandle<io::Result<()>> {
    let (file, offset, length): (Arc<File>, u64, usize) = (part.file.clone(), part.offset, part.length);
    tokio::task::spawn_blocking(move || {
        let mut scratch = vec![0; 64 * 1024];
        let mut done = 0;
        // To the end of what one call sends, so that the look there finds it.
        let wanted = length.min(SEND_BYTES_MAX.max(FETCH_BYTES));
        while done < wanted {
            match file.read_at(&mut scratch, offset + done as u64)? {
                0 => break,
                read => done += read,
            }
        }
        Ok(())
    })
}

impl<S: Socket> AsyncRead for SendFile<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl<S: Socket> AsyncWrite for SendFile<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match part_of(bytes) {
            Some(part) => self.poll_send(context, &part),
            None => Pin::new(&mut self.socket).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        /// Shorter slices are copied faster than they are looked up.
        const PART_BYTES_MIN: usize = 512;

        let part = |slice: &IoSlice<'_>| (slice.len() >= PART_BYTES_MIN).then(|| part_of(slice)).flatten();
        let found = slices.iter().enumerate().find_map(|(index, slice)| Some((index, part(slice)?)));
        match found {
            Some((0, part)) => self.poll_send(context, &part),
            Some((before, _)) => self.poll_write_before(context, &slices[..before]),
            None => Pin::new(&mut self.socket).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test plays the client")]
mod tests {
    use super::*;
    use std::io::Write;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    fn immutable(file: &tempfile::NamedTempFile) -> crate::Immutable {
        crate::Immutable::promise(Arc::new(File::open(file.path()).unwrap())).unwrap()
    }

    #[tokio::test]
    async fn heads_and_files_arrive_in_order() {
        let text: Vec<u8> = (0..5_000_000u32).map(|n| (n % 251) as u8).collect();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&text).unwrap();
        let mapped = crate::map(&immutable(&file), 10..4_999_990).unwrap();

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let writer = tokio::spawn(async move {
            let mut server = SendFile::new(server);
            let mut slices = [IoSlice::new(b"head "), IoSlice::new(&mapped), IoSlice::new(b" tail")];
            let mut slices = &mut slices[..];
            while !slices.is_empty() {
                let written = server.write_vectored(slices).await.unwrap();
                IoSlice::advance_slices(&mut slices, written);
            }
            server.shutdown().await.unwrap();
        });
        let mut received = Vec::new();
        client.read_to_end(&mut received).await.unwrap();
        writer.await.unwrap();
        assert!(received.starts_with(b"head ") && received.ends_with(b" tail"));
        assert_eq!(&received[5..received.len() - 5], &text[10..4_999_990]);
    }

    #[tokio::test]
    async fn a_file_that_was_cut_short_is_an_error() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&[7; 10_000]).unwrap();
        let mapped = crate::map(&immutable(&file), 0..10_000).unwrap();
        file.as_file().set_len(0).unwrap();

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let error = SendFile::new(server).write_all(&mapped).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
