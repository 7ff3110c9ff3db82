//! A site inside an application that has a server of its own.

use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Extensions, Request, Response, Uri, uri::PathAndQuery};
use http_body::Body;

use crate::{Limits, Peer, Server, ServerBody, addresses::Sharing, observed::Observed, service::Service};

/// Finds the peer of a request beside it.
type PeerOf = dyn Fn(&Extensions) -> Option<Peer> + Send + Sync;

/// A server's site as a [`tower_service::Service`], over bodies of any kind: for a router of an application, whose server reads and
/// writes what is on the wire. The node's budget, hosts, health, metrics and access log count as they do for connections of its own;
/// connections, their limits and their TLS are the application's, and files are read and not sent by the kernel.
///
/// ```
/// # fn requires_service<S: tower_service::Service<http::Request<http_body_util::Full<bytes::Bytes>>>>(_: S) {}
/// # fn mount(server: std::sync::Arc<registry_server::Server>) {
/// use registry_server::Mounted;
///
/// // Where the application's router has taken `/registry` off the path.
/// let service = Mounted::new(server).nested("/registry");
/// # requires_service(service)
/// # }
/// ```
#[derive(Clone)]
pub struct Mounted {
    server: Arc<Server>,
    sharing: Arc<Sharing>,
    peer_of: Arc<PeerOf>,
    /// What the application's router took off the path.
    taken_off: Option<Arc<str>>,
}

impl fmt::Debug for Mounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mounted").field("taken_off", &self.taken_off).finish_non_exhaustive()
    }
}

impl Mounted {
    /// The site of a server. A request comes from the [`Peer`] among its extensions; without one from
    /// [one that nothing is known of](Peer::unknown).
    pub fn new(server: Arc<Server>) -> Mounted {
        let limits = Limits::default();
        let sharing = Arc::new(Sharing::new(&limits, limits.connections_max));
        Mounted {
            server,
            sharing,
            peer_of: Arc::new(|extensions| extensions.get().cloned()),
            taken_off: None,
        }
    }

    /// Has addresses share what the node holds, and proxies speak for them, as these limits say; by default as [`Limits::default`]
    /// does.
    pub fn limits(self, limits: &Limits) -> Mounted {
        Mounted { sharing: Arc::new(Sharing::new(limits, limits.connections_max)), ..self }
    }

    /// Finds the peer of a request in what the application's server put beside it, such as axum's `ConnectInfo`.
    pub fn peers(self, peer_of: impl Fn(&Extensions) -> Option<Peer> + Send + Sync + 'static) -> Mounted {
        Mounted { peer_of: Arc::new(peer_of), ..self }
    }

    /// Puts back what the application's router takes off the path, such as `/v2`: the site finds its endpoints by the whole path,
    /// and the URLs in its answers have it.
    pub fn nested(self, prefix: &str) -> Mounted {
        let prefix = prefix.trim_end_matches('/');
        Mounted { taken_off: (!prefix.is_empty()).then(|| prefix.into()), ..self }
    }

    /// The target as the client sent it.
    fn whole(&self, uri: Uri) -> Uri {
        let Some(prefix) = &self.taken_off else { return uri };
        let mut parts = uri.clone().into_parts();
        let below = parts.path_and_query.as_ref().map_or("/", PathAndQuery::as_str);
        // A target that can not be put together is left as it is, and has no endpoint.
        parts.path_and_query = PathAndQuery::try_from(format!("{prefix}{below}")).ok();
        Uri::from_parts(parts).unwrap_or(uri)
    }
}

impl<B> tower_service::Service<Request<B>> for Mounted
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Observed>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        parts.uri = self.whole(parts.uri);
        let (body, unread) = ServerBody::of_application(body);
        let peer = (self.peer_of)(&parts.extensions).unwrap_or_else(Peer::unknown);
        let service = Service::of_request(self.server.clone(), peer, self.sharing.clone());
        Box::pin(async move { Ok(service.respond(Request::from_parts(parts, body), unread).await) })
    }
}

#[cfg(test)]
mod tests;
