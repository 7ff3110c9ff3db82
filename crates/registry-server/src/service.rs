//! The way of a request: from its head to the endpoint, and with the answer back to the connection.

use std::{net::IpAddr, sync::Arc, time::Instant};

use http::{HeaderMap, HeaderValue, Method, Request, Response, header, request::Parts};
use registry_types::{Network, RateLimits};
use tracing::Instrument;

use crate::{
    AccessLog, Body, Budget, Context, Health, Hosts, Metrics, Peer, Refused, Reply, Reservation, ServerBody,
    Share, Site,
    access_log::Entry,
    addresses::{Holder, Sharing},
    budget::{CountedConnection, Window},
    forwarded,
    observed::Observed,
    rates::Rates,
    receive::Unread,
    request_id::{RequestIds, X_REQUEST_ID},
};

/// What all connections of a node share.
#[derive(Debug)]
pub struct Server {
    /// What answers.
    pub site: Site,
    /// What peers can make this node hold at once.
    pub budget: Budget,
    /// Under which hosts it is served.
    pub hosts: Hosts,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Whether requests are served at all.
    pub health: Arc<Health>,
    /// Where each request is noted.
    pub access_log: AccessLog,
    /// The proxies whose word counts for a client's address.
    pub trusted_proxies: Vec<Network>,
    /// How many requests a client may send.
    pub(crate) rates: Option<Arc<Rates>>,
    /// The ids of requests that bring none.
    pub(crate) request_ids: RequestIds,
    /// When the log last said that a client's certificate was refused.
    #[cfg(feature = "tls")]
    pub(crate) warned: crate::connection::Warned,
}

impl Server {
    /// Serves a site under every host, with a budget of the default size, without an access log.
    pub fn new(site: Site) -> Server {
        let budget = Budget::default();
        let metrics = Metrics::new().with_budget(&budget);
        Server {
            site,
            budget,
            hosts: Hosts::default(),
            metrics: Arc::new(metrics),
            health: Arc::default(),
            access_log: AccessLog::off(),
            trusted_proxies: Vec::new(),
            rates: None,
            request_ids: RequestIds::default(),
            #[cfg(feature = "tls")]
            warned: crate::connection::Warned::default(),
        }
    }

    /// Limits how many requests a client may send. Endpoints ask by [`Context::admit`].
    pub fn limit_rates(&mut self, limits: RateLimits) {
        self.rates = Rates::new(limits, self.budget.refusals().clone()).map(Arc::new);
    }

    /// What an address holds of the budget, if it has a share.
    fn holder(&self, sharing: &Sharing, address: Option<IpAddr>) -> Option<Arc<Holder>> {
        let address = address?;
        sharing.connections_of(address).map(|connections| self.budget.holder(address, connections))
    }

    /// Why a request is refused before its endpoint is asked.
    fn refusal(&self, request: &Parts) -> Result<(), Refused> {
        self.hosts.check(request.uri.authority(), &request.headers)?;
        self.hosts.check_page(request)?;
        if !self.health.is_serving() {
            return Err(Refused::Unhealthy);
        }
        if has_ambiguous_host(request) {
            return Err(Refused::Host);
        }
        if has_ambiguous_body(request) { Err(Refused::TransferEncoding) } else { Ok(()) }
    }
}

/// The server as one connection sees it.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    server: Arc<Server>,
    peer: Peer,
    share: Share,
    /// What the peer's address holds, if it has a share.
    holder: Option<Arc<Holder>>,
    sharing: Arc<Sharing>,
    /// Whether answers are sent by a connection of ours, which knows the files in them.
    sends_files: bool,
}

impl Service {
    /// For one connection, which shares the budget with others in this way.
    pub(crate) fn new(server: Arc<Server>, peer: Peer, sharing: Arc<Sharing>) -> Service {
        let holder = server.holder(&sharing, peer.address);
        let share = server.budget.share(holder.clone());
        let sends_files = !peer.tls;
        Service { server, peer, share, holder, sharing, sends_files }
    }

    /// For one request, which an application's server has read.
    pub(crate) fn of_request(server: Arc<Server>, peer: Peer, sharing: Arc<Sharing>) -> Service {
        Service { sends_files: false, ..Service::new(server, peer, sharing) }
    }

    /// With the certificate that the peer showed.
    #[cfg(feature = "tls")]
    pub(crate) fn with_certificate(mut self, certificate: Option<Arc<[u8]>>) -> Service {
        self.peer.certificate = certificate;
        self
    }

    /// Counts the connection, unless its address holds as many as it may.
    pub(crate) fn count(&self) -> Option<CountedConnection> {
        self.server.budget.connection(self.holder.clone(), self.sharing.connections_max())
    }

    /// The other end.
    #[cfg(feature = "tls")]
    pub(crate) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// When the log last said that a client's certificate was refused.
    #[cfg(feature = "tls")]
    pub(crate) fn warned(&self) -> &crate::connection::Warned {
        &self.server.warned
    }

    /// What the peer may send on an HTTP/2 connection before it is read.
    pub(crate) fn window(&self) -> Window {
        self.share.window()
    }

    /// The share of a request: the connection's, or, if a proxy names its client, that of the client.
    fn share_of(&self, client: Option<IpAddr>) -> Share {
        if client == self.peer.address.map(|address| address.to_canonical()) {
            return self.share.clone();
        }
        self.share.on_behalf_of(self.server.holder(&self.sharing, client))
    }

    /// Answers one request. Dropping the future abandons it.
    pub(crate) async fn respond(&self, request: Request<ServerBody>, unread: Unread) -> Response<Observed> {
        let Service { server, peer, .. } = self;
        let started = Instant::now();
        let request_id = server.request_ids.of(request.headers());
        let client = forwarded::client(request.headers(), peer.address, &server.trusted_proxies);
        let mut entry = Entry::begin(&request, client, request_id);
        let (parts, body) = request.into_parts();
        let (request_id, share) = (entry.request_id.clone(), self.share_of(client));
        let context = Context::new(peer.clone(), client, request_id, share, server.metrics.clone());
        let context = context.below(server.site.prefix()).limited(server.rates.clone());
        let span = tracing::info_span!("request", request.id = entry.request_id.as_str());
        let (version, method) = (parts.version, parts.method.clone());
        let waits_to_send = parts.headers.contains_key(header::EXPECT);

        let answer = self.answer(Request::from_parts(parts, body), &context, &entry).instrument(span);
        let Reply { mut response, user, .. } = answer.await;
        unread.settle(version, waits_to_send, response.headers_mut()).await;
        if method == Method::HEAD {
            *response.body_mut() = Body::empty();
        }
        if self.sends_files && version < http::Version::HTTP_2 {
            response.body_mut().send_files();
        }
        response.headers_mut().insert(X_REQUEST_ID, entry.request_id.header());
        entry.set_outcome(user, response.status());
        let in_flight = context.into_in_flight();
        response.map(|body| Observed::new(body, server.clone(), entry, in_flight, started))
    }

    /// The endpoint's answer, or its words for what the server refuses.
    async fn answer(&self, request: Request<ServerBody>, context: &Context, entry: &Entry) -> Reply {
        let (mut parts, body) = request.into_parts();
        let site = &self.server.site;
        let is_served = site.take_prefix_off(&mut parts.uri);
        let endpoint = site.find(parts.uri.path());
        // The memory of the head counts for as long as it is kept: while a login or a body is waited for.
        let admitted = self.server.refusal(&parts).and(is_served);
        let admitted = admitted.and_then(|()| head_memory(&context.share, &parts.headers));
        let _head = match admitted {
            Ok(head) => head,
            Err(refused) => return endpoint.refuse(&parts, refused).into(),
        };
        let reply = endpoint.respond(Request::from_parts(parts, body), context).await;
        if let Some(cause) = &reply.cause {
            tracing::error!(http.route = context.route(), "{} failed: {cause}", entry.request_line());
        }
        reply
    }
}

/// Memory for the head of a request, unless it is as small as almost all are.
fn head_memory(share: &Share, headers: &HeaderMap) -> Result<Option<Reservation>, Refused> {
    const SMALL_BYTES: usize = 4096;

    let bytes = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    (bytes > SMALL_BYTES).then(|| share.memory(bytes)).transpose()
}

/// Spec: RFC 9112, section 3.2: a request of HTTP/1.1 names its host once. An empty name is one that something in front may
/// read otherwise.
fn has_ambiguous_host(request: &Parts) -> bool {
    let mut hosts = request.headers.get_all(header::HOST).iter();
    let is_named = hosts.next().is_some_and(|host| !host.is_empty());
    request.version == http::Version::HTTP_11 && (!is_named || hosts.next().is_some())
}

/// Spec: RFC 9112, section 6.1: a body is chunked once, and what is chunked has no other coding here. Hyper takes a coding
/// that is repeated.
fn has_ambiguous_body(request: &Parts) -> bool {
    let mut codings = request.headers.get_all(header::TRANSFER_ENCODING).iter();
    let is_chunked = |value: &HeaderValue| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
    codings.next().is_some_and(|coding| !is_chunked(coding)) || codings.next().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_a_request_counts_unless_it_is_small() {
        let budget = Budget::new(1 << 20, 1);
        let shares: Vec<_> = (0..100).map(|_| budget.client()).collect();
        let head = |bytes| {
            let value = HeaderValue::from_str(&"x".repeat(bytes)).unwrap();
            HeaderMap::from_iter([(header::AUTHORIZATION, value)])
        };
        assert!(head_memory(&shares[0], &head(2000)).unwrap().is_none());
        let large = head(60_000);
        let held: Vec<_> = shares.iter().map_while(|share| head_memory(share, &large).ok()).collect();
        assert!((10..18).contains(&held.len()), "{}", held.len());
        assert_eq!(budget.memory_bytes(), held.len() * 60_013);
        assert!(head_memory(&shares[0], &head(2000)).is_ok());
    }
}
