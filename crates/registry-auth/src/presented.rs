use std::net::IpAddr;

use http::HeaderValue;

/// What a request shows of its sender.
///
/// More will come, such as a client's certificate: made by [`Presented::new`] and the methods that follow it.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Presented<'a> {
    /// The `Authorization` header, if there is one.
    pub authorization: Option<&'a HeaderValue>,
    /// The client's address, as far as it is known: the other end of the connection, or what a proxy says that is trusted
    /// with it. `None` on a Unix socket.
    pub address: Option<IpAddr>,
}

impl<'a> Presented<'a> {
    /// A request with this `Authorization` header, from an unknown address.
    pub fn new(authorization: Option<&'a HeaderValue>) -> Presented<'a> {
        Presented { authorization, address: None }
    }

    /// From this address.
    pub fn from_address(self, address: Option<IpAddr>) -> Presented<'a> {
        Presented { address, ..self }
    }
}
