//! Telling systemd how far a service is, if it asked for it.
//!
//! Source: sd_notify(3).

use std::{
    env, io,
    os::{
        linux::net::SocketAddrExt,
        unix::ffi::OsStrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
};

/// Connections are taken.
pub(crate) const READY: &str = "READY=1";

/// No connection is taken any more.
pub(crate) const STOPPING: &str = "STOPPING=1";

/// Tells it. A service manager that does not listen is no failure.
pub(crate) fn tell(state: &str) {
    if let Some(socket) = env::var_os("NOTIFY_SOCKET")
        && let Err(error) = send(socket.as_bytes(), state)
    {
        tracing::debug!("could not tell systemd: {error}");
    }
}

fn send(socket: &[u8], state: &str) -> io::Result<()> {
    let address = match socket.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(socket))?,
    };
    let sender = UnixDatagram::unbound()?;
    sender.connect_addr(&address)?;
    sender.send(state.as_bytes()).map(drop)
}
