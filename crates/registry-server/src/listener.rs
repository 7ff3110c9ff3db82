//! Where connections come from.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs},
    os::unix::fs::FileTypeExt,
    path::Path,
    pin::Pin,
    task::{Context, Poll},
};

use registry_sendfile::SendFile;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream},
};

/// A listening socket.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixListener),
}

impl Listener {
    /// Listens on a TCP address. Port 0 takes any free one, which [`Listener::address`] tells.
    pub async fn tcp(address: &str) -> io::Result<Listener> {
        TcpListener::bind(address).await.map(Listener::Tcp)
    }

    /// Listens on a TCP port of all addresses, IPv4 and IPv6 whatever the system's default is; of IPv4 alone, where there is
    /// no IPv6.
    pub async fn tcp_everywhere(port: u16) -> io::Result<Listener> {
        Bound::everywhere(port)?.listen()
    }

    /// Listens on a Unix socket. A socket that a dead process left behind is removed first; one that answers is not.
    pub fn unix(path: &Path) -> io::Result<Listener> {
        let is_socket = std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
        let is_dead = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
        if is_socket && std::os::unix::net::UnixStream::connect(path).is_err_and(is_dead) {
            std::fs::remove_file(path)?;
        }
        UnixListener::bind(path).map(Listener::Unix)
    }

    /// The address as it is to be logged: `127.0.0.1:5000`, or a path.
    pub fn address(&self) -> io::Result<String> {
        Ok(match self {
            Listener::Tcp(listener) => listener.local_addr()?.to_string(),
            Listener::Unix(listener) => {
                let address = listener.local_addr()?;
                address.as_pathname().unwrap_or(Path::new("unnamed socket")).display().to_string()
            }
        })
    }

    /// The TCP address.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        match self {
            Listener::Tcp(listener) => listener.local_addr().ok(),
            Listener::Unix(_) => None,
        }
    }

    pub(crate) async fn accept(&self) -> io::Result<(Stream, Option<IpAddr>)> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                // An answer's last part must not wait for an acknowledgement of the part before.
                stream.set_nodelay(true)?;
                // On a socket of both families, IPv4 addresses come as part of IPv6's.
                Ok((Stream::Tcp(SendFile::new(stream)), Some(address.ip().to_canonical())))
            }
            Listener::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Stream::Unix(SendFile::new(stream)), None))
            }
        }
    }
}

/// A TCP address that is taken, and on which no connections come yet: a port below 1024 can be taken by a process that gives
/// up the right to it before it serves.
#[derive(Debug)]
pub struct Bound(TcpSocket);

impl Bound {
    /// Takes the first address that a host and port stand for and that can be taken. Looks a name up on this thread.
    pub fn at(address: &str) -> io::Result<Bound> {
        let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in address.to_socket_addrs()? {
            match Bound::bind(address, None) {
                Ok(bound) => return Ok(bound),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// Takes a port of all addresses, IPv4 and IPv6 whatever the system's default is; of IPv4 alone, where there is no IPv6.
    pub fn everywhere(port: u16) -> io::Result<Bound> {
        match Bound::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)), Some(false)) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
            Err(_) => Bound::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)), None),
            bound => bound,
        }
    }

    /// Takes connections from now on. Must be called in a runtime.
    pub fn listen(self) -> io::Result<Listener> {
        /// How many connections may wait to be accepted.
        const WAITING_MAX: u32 = 1024;

        self.0.listen(WAITING_MAX).map(Listener::Tcp)
    }

    fn bind(address: SocketAddr, is_v6_only: Option<bool>) -> io::Result<Bound> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(is_v6_only) = is_v6_only {
            rustix::net::sockopt::set_ipv6_v6only(&socket, is_v6_only)?;
        }
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(Bound(socket))
    }
}

/// A connection.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(SendFile<TcpStream>),
    Unix(SendFile<UnixStream>),
}

macro_rules! delegate {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Tcp($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
            Stream::Unix($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        delegate!(self, stream => stream.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, stream => stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => stream.poll_shutdown(cx))
    }
}
