use std::net::IpAddr;

use http::HeaderValue;

/// What a request shows of its sender.
///
/// More may come: it is made by [`Presented::new`] and the methods that follow it.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Presented<'a> {
    /// The `Authorization` header, if there is one.
    pub authorization: Option<&'a HeaderValue>,
    /// The client's address, as far as it is known: the other end of the connection, or what a proxy says that is trusted
    /// with it. `None` on a Unix socket.
    pub address: Option<IpAddr>,
    /// The other end of the connection: the client, or the proxy that it came through. `None` on a Unix socket.
    pub peer: Option<IpAddr>,
    /// The certificate that the other end of the connection showed and that was verified, as DER: the client's, or that of the
    /// proxy that it came through.
    pub certificate: Option<&'a [u8]>,
}

impl<'a> Presented<'a> {
    /// A request with this `Authorization` header, from an unknown address.
    pub fn new(authorization: Option<&'a HeaderValue>) -> Presented<'a> {
        Presented { authorization, ..Presented::default() }
    }

    /// From this address.
    pub fn from_address(self, address: Option<IpAddr>) -> Presented<'a> {
        Presented { address, ..self }
    }

    /// Over a connection with this peer, which showed this certificate.
    pub fn over(self, peer: Option<IpAddr>, certificate: Option<&'a [u8]>) -> Presented<'a> {
        Presented { peer, certificate, ..self }
    }
}
