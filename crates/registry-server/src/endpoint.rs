//! What answers requests.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, Response, Uri, request::Parts, uri::PathAndQuery};
use parking_lot::Mutex;

use crate::{
    Body, Budget, Refused, ServerBody, Share,
    metrics::{InFlight, Metrics},
    rates::Rates,
    request_id::{RequestId, RequestIds},
};

/// Answers the requests below a path.
pub trait Endpoint: Send + Sync + fmt::Debug {
    /// Answers one request. Never fails: what goes wrong is an answer, too. The connection may be gone before the answer is
    /// there; then the future is dropped.
    fn respond<'a>(&'a self, request: Request<ServerBody>, context: &'a Context) -> BoxFuture<'a, Reply>;

    /// Answers a request that the server refuses, in the form that clients of this endpoint read. The status is
    /// [`Refused::status`], and [`Refused::headers`] are among the headers.
    fn refuse(&self, request: &Parts, refused: Refused) -> Response<Body>;
}

/// What a request came to.
#[derive(Debug)]
pub struct Reply {
    /// The answer.
    pub response: Response<Body>,
    /// Who gets it, for the access log.
    pub user: Option<String>,
    /// What the log gets to see of a failure of ours and the client does not: the error and its causes.
    pub cause: Option<String>,
}

impl From<Response<Body>> for Reply {
    fn from(response: Response<Body>) -> Reply {
        Reply { response, user: None, cause: None }
    }
}

/// The other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Peer {
    /// Its address; none on a Unix socket, which only what the file's mode lets in can connect to.
    pub address: Option<IpAddr>,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// The certificate that it showed and that was verified, as DER. Of a proxy it is the proxy's own.
    pub certificate: Option<Arc<[u8]>>,
}

impl Peer {
    /// A client, or a proxy, with this address; none on a Unix socket. The connection is not encrypted.
    pub fn at(address: Option<IpAddr>) -> Peer {
        Peer { address, tls: false, certificate: None }
    }

    /// A peer that nothing is known of. All of them are one as far as shares and limits go by addresses, and nothing that such a
    /// one says of the clients behind it counts.
    pub fn unknown() -> Peer {
        Peer::at(Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)))
    }

    /// Over an encrypted connection, with the certificate that it showed and that was verified.
    pub fn over_tls(self, certificate: Option<Arc<[u8]>>) -> Peer {
        Peer { tls: true, certificate, ..self }
    }
}

/// What an endpoint knows of a request beyond the request itself.
#[derive(Debug)]
pub struct Context {
    /// The other end of the connection.
    pub peer: Peer,
    /// The client's address, as far as trusted proxies tell it.
    pub client: Option<IpAddr>,
    /// What the answer may use of the node's budget.
    pub share: Share,
    /// The id under which the request stands in the logs.
    request_id: RequestId,
    /// What the site took off the path.
    prefix: Option<Arc<str>>,
    rates: Option<Arc<Rates>>,
    metrics: Arc<Metrics>,
    in_flight: Mutex<Option<InFlight>>,
}

impl Context {
    /// For a request of `client` that came from `peer`.
    pub(crate) fn new(
        peer: Peer,
        client: Option<IpAddr>,
        request_id: RequestId,
        share: Share,
        metrics: Arc<Metrics>,
    ) -> Context {
        let in_flight = Mutex::default();
        Context { peer, client, share, request_id, prefix: None, rates: None, metrics, in_flight }
    }

    /// The id under which the request stands in the logs, and which its answer says: up to 64 letters, digits, `-`, `_` and `.`.
    pub fn request_id(&self) -> &str {
        self.request_id.as_str()
    }

    /// Counts the request of its client by these limits.
    pub(crate) fn limited(self, rates: Option<Arc<Rates>>) -> Context {
        Context { rates, ..self }
    }

    /// Of a site that is below this prefix.
    pub(crate) fn below(self, prefix: Option<Arc<str>>) -> Context {
        Context { prefix, ..self }
    }

    /// What stood before the path of the request, such as `/registry`, and was taken off; empty for nothing. Paths in an answer
    /// begin with it.
    pub fn prefix(&self) -> &str {
        self.prefix.as_deref().unwrap_or_default()
    }

    /// For a request that comes from no connection, as in a test: its answer may use a connection's share of `budget`.
    pub fn without_connection(peer: Peer, budget: &Budget) -> Context {
        let (client, request_id) = (peer.address, RequestIds::default().of(&HeaderMap::new()));
        Context::new(peer, client, request_id, budget.client(), Arc::new(Metrics::new()))
    }

    /// Counts the request for its user, or for its client's address if no user is known: without credentials, or with wrong ones.
    /// An endpoint calls it once for each request, when it knows whose it is and before it does what the request asks for.
    ///
    /// # Errors
    /// [`Refused::TooMany`], if the operator limits how many a client may send and those are used up.
    pub fn admit(&self, user: Option<&str>) -> Result<(), Refused> {
        self.rates.as_ref().map_or(Ok(()), |rates| rates.take(self.client, user))
    }

    /// Names the kind of request under which it is counted. There must be few of them: a name is a label of metrics.
    pub fn set_route(&self, route: &'static str) {
        *self.in_flight.lock() = Some(self.metrics.begin(route));
    }

    /// The name under which the request is counted.
    pub fn route(&self) -> &'static str {
        self.in_flight.lock().as_ref().map_or(NO_ROUTE, |in_flight| in_flight.route)
    }

    /// The request as it is counted.
    pub(crate) fn into_in_flight(self) -> InFlight {
        let Context { metrics, in_flight, .. } = self;
        in_flight.into_inner().unwrap_or_else(|| metrics.begin(NO_ROUTE))
    }
}

/// Under which name requests are counted that no endpoint gave one.
const NO_ROUTE: &str = "none";

/// How much of a path is shown that no endpoint has.
const PATH_SHOWN_CHARS_MAX: usize = 128;

/// Which endpoint answers below which path.
#[derive(Clone, Debug)]
pub struct Site {
    /// The longest prefixes first.
    below: Vec<(String, Arc<dyn Endpoint>)>,
    rest: Arc<dyn Endpoint>,
    /// What stands before the paths of all endpoints.
    prefix: Option<Arc<str>>,
}

impl Site {
    /// A site of one endpoint.
    pub fn of(endpoint: Arc<dyn Endpoint>) -> Site {
        Site { below: Vec::new(), rest: endpoint, prefix: None }
    }

    /// Lets an endpoint answer what is at `prefix` or below it, such as `/api/v1`. Of several that fit, the one with the longest
    /// prefix answers. The endpoint gets the whole path.
    pub fn mount(mut self, prefix: &str, endpoint: Arc<dyn Endpoint>) -> Site {
        self.below.push((prefix.trim_end_matches('/').to_owned(), endpoint));
        self.below.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        self
    }

    /// Serves the site below a prefix of the path, such as `/registry`: it is taken off before an endpoint is looked for and gets
    /// the request. Clients ask for `/` alone to see whether the server is there, so it is served as it is.
    pub fn behind(mut self, prefix: &str) -> Site {
        let prefix = prefix.trim_end_matches('/');
        self.prefix = (!prefix.is_empty()).then(|| prefix.into());
        self
    }

    /// What stands before the paths of all endpoints.
    pub(crate) fn prefix(&self) -> Option<Arc<str>> {
        self.prefix.clone()
    }

    /// Takes the prefix off what was asked for.
    ///
    /// # Errors
    /// [`Refused::NoEndpoint`], for what does not begin with it.
    pub(crate) fn take_prefix_off(&self, uri: &mut Uri) -> Result<(), Refused> {
        let Some(prefix) = self.prefix.as_deref().filter(|_| uri.path() != "/") else { return Ok(()) };
        let below = uri.path_and_query().and_then(|path| path.as_str().strip_prefix(prefix));
        let below =
            below.filter(|path| path.starts_with('/')).and_then(|path| PathAndQuery::try_from(path).ok());
        let unknown =
            || Refused::NoEndpoint { path: uri.path().chars().take(PATH_SHOWN_CHARS_MAX).collect() };
        let below = below.ok_or_else(unknown)?;
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(below);
        *uri = Uri::from_parts(parts).map_err(|_| unknown())?;
        Ok(())
    }

    /// The endpoint of a path, from which the prefix was taken off.
    pub fn find(&self, path: &str) -> &dyn Endpoint {
        let is_below = |prefix: &str| {
            path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let found = self.below.iter().find(|(prefix, _)| is_below(prefix));
        found.map_or(&*self.rest, |(_, endpoint)| &**endpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Named(&'static str);

    impl fmt::Debug for Named {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Endpoint for Named {
        fn respond<'a>(&'a self, _: Request<ServerBody>, _: &'a Context) -> BoxFuture<'a, Reply> {
            Box::pin(async { Response::new(Body::empty()).into() })
        }

        fn refuse(&self, _: &Parts, refused: Refused) -> Response<Body> {
            refused.into_response()
        }
    }

    #[test]
    fn the_prefix_is_taken_off_and_what_lacks_it_has_no_endpoint() {
        let site = Site::of(Arc::new(Named("rest"))).behind("/registry/");
        for (asked, below) in [
            ("/", Some("/")),
            ("/registry/", Some("/")),
            ("/registry/v2/a?n=1&last=%2F", Some("/v2/a?n=1&last=%2F")),
            ("http://registry.example/registry/v2/", Some("http://registry.example/v2/")),
            ("/registry", None),
            ("/registryv2/", None),
            ("/v2/", None),
            ("*", None),
        ] {
            let mut uri: Uri = asked.parse().unwrap();
            let taken = site.take_prefix_off(&mut uri);
            assert_eq!(taken.ok().map(|()| uri), below.map(|below| below.parse().unwrap()), "{asked}");
        }
        let mut uri: Uri = "/v2/".parse().unwrap();
        assert!(Site::of(Arc::new(Named("rest"))).behind("/").take_prefix_off(&mut uri).is_ok());
        assert_eq!(uri, "/v2/");
    }

    #[test]
    fn the_longest_prefix_that_ends_at_a_slash_counts() {
        let named = |name| Arc::new(Named(name));
        let site = Site::of(named("rest"))
            .mount("/api", named("api"))
            .mount("/api/v1/", named("v1"))
            .mount("/-/", named("pages"));
        for (path, expected) in [
            ("/", "rest"),
            ("/v2/", "rest"),
            ("/api", "api"),
            ("/api/", "api"),
            ("/apis", "rest"),
            ("/api/v10", "api"),
            ("/api/v1", "v1"),
            ("/api/v1/x/y", "v1"),
            ("/-/assets", "pages"),
            ("/-x", "rest"),
            ("*", "rest"),
        ] {
            assert_eq!(format!("{:?}", site.find(path)), expected, "{path}");
        }
    }
}
