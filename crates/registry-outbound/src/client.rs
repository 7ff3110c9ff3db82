use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, Method, StatusCode, header};
use registry_types::{Allowed, Network};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::TcpStream;

use crate::{Destination, OutboundError, Refusal, guard::Guard, special};

/// How long a connection may take to come about, with TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an idle connection is kept: common servers keep them at least as long.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// How many idle connections are kept to one host by default.
const IDLE_MAX: usize = 8;

/// Headers that the client makes: what a caller gives of them is left out.
const MADE: [HeaderName; 4] =
    [header::HOST, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION];

/// Learns the addresses of a name.
#[async_trait]
pub trait Resolver: fmt::Debug + Send + Sync {
    /// All addresses of the name. None is an error, [`io::ErrorKind::NotFound`].
    ///
    /// # Errors
    /// If the name has none, or the resolver does not answer.
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// The resolver of the system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect())
    }
}

/// How connections are opened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OutboundOptions {
    /// The proxy that every request goes through: `http://proxy:3128`. Variables such as `HTTP_PROXY` are not looked at.
    pub proxy: Option<Destination>,
    /// What users may name although its address is not public.
    pub allowed: Vec<Allowed>,
    /// Addresses that no user may name: those of the registry, its database, its store.
    pub own: Vec<Network>,
    /// What learns the addresses of names.
    pub resolver: Arc<dyn Resolver>,
    /// How many connections are kept to a host for the next request. With none each request connects, resolves names and checks
    /// certificates again, as a health check has to. 8.
    pub idle_max: usize,
    /// What requests say of the program: `registry/1.2.3`.
    pub user_agent: String,
    /// Certificates, in PEM, of authorities that are trusted beside those of the system.
    pub roots: Vec<Vec<u8>>,
}

impl Default for OutboundOptions {
    fn default() -> OutboundOptions {
        OutboundOptions {
            proxy: None,
            allowed: Vec::new(),
            own: Vec::new(),
            resolver: Arc::new(SystemResolver),
            idle_max: IDLE_MAX,
            user_agent: concat!("registry/", env!("CARGO_PKG_VERSION")).to_owned(),
            roots: Vec::new(),
        }
    }
}

/// Opens every connection to others: for URLs of operators, which are not judged, and of users, which are.
#[derive(Clone, Debug)]
pub struct Outbound {
    operators: Client,
    users: Client,
}

impl Outbound {
    /// Reads the roots that the system trusts. Where it has none, each request to a URL of https fails with
    /// [`OutboundError::SetUp`].
    ///
    /// # Errors
    /// [`OutboundError::SetUp`], if a certificate or the proxy's URL can not be used.
    pub fn new(options: OutboundOptions) -> Result<Outbound, OutboundError> {
        // A program that embeds this may have chosen a provider for the process; that choice stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let guard = Guard {
            allowed: options.allowed.clone(),
            own: options.own.clone(),
            is_proxied: options.proxy.is_some(),
        };
        Ok(Outbound {
            operators: Client::new(&options, None)?,
            users: Client::new(&options, Some(Arc::new(guard)))?,
        })
    }

    /// For what operators configure.
    pub fn operators(&self) -> &Client {
        &self.operators
    }

    /// For what users enter: only public addresses, and those that the operator allows.
    pub fn users(&self) -> &Client {
        &self.users
    }
}

/// A request.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The method.
    pub method: Method,
    /// The URL.
    pub url: Destination,
    /// Headers. `Host`, `Content-Length`, `Transfer-Encoding` and `Connection` are made, and left out if they are here.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// How long all of it may take, until the last byte of the answer that is kept.
    pub within: Duration,
    /// How many bytes of the answer are kept. The connection is closed where more come.
    pub answer_bytes_max: usize,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status. A redirect is an answer as others: it is not followed.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The beginning of the body, as it came: nothing is unpacked.
    pub body: Bytes,
    /// Whether the body went on.
    pub is_cut: bool,
    /// Whether it came from an address of the public internet. False of one that only the operator's list opens to users, and of all
    /// that came through a proxy, which could have asked anything: what such a machine answers is not for users to read.
    pub is_public: bool,
}

/// An answer whose body is still to be read.
#[derive(Debug)]
pub struct Opened {
    /// The status. A redirect is an answer as others: it is not followed.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// As [`Answer::is_public`].
    pub is_public: bool,
    /// The body. Dropping it closes the connection, unless all of it was read.
    pub body: AnswerBody,
}

/// The body of an answer while it arrives.
#[derive(Debug)]
pub struct AnswerBody {
    response: reqwest::Response,
    host: String,
}

impl AnswerBody {
    /// The next bytes as they came; nothing at the end. How long to wait is the caller's matter.
    ///
    /// # Errors
    /// [`OutboundError::Answer`], also where the body ends before its length.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, OutboundError> {
        self.response.chunk().await.map_err(|error| failed(&self.host, error))
    }
}

/// Sends requests and opens connections.
#[derive(Clone, Debug)]
pub struct Client {
    /// Why there is none for https, where the system has no roots.
    https: Result<reqwest::Client, Arc<reqwest::Error>>,
    /// For `http:` in that case.
    http: Option<reqwest::Client>,
    resolver: Arc<dyn Resolver>,
    guard: Option<Arc<Guard>>,
    is_proxied: bool,
}

impl Client {
    fn new(options: &OutboundOptions, guard: Option<Arc<Guard>>) -> Result<Client, OutboundError> {
        let https = builder(options, guard.as_ref())?.build().map_err(Arc::new);
        let http = match &https {
            Ok(_) => None,
            // It is given no URL of https, so that it never meets a certificate.
            Err(_) => {
                let plain = builder(options, guard.as_ref())?.tls_danger_accept_invalid_certs(true).build();
                Some(plain.map_err(|error| OutboundError::SetUp(Arc::new(error)))?)
            }
        };
        let (resolver, is_proxied) = (options.resolver.clone(), options.proxy.is_some());
        Ok(Client { https, http, resolver, guard, is_proxied })
    }

    /// Whether what the URL itself says leads to what may be asked: its scheme, its port, and its host where that is an address. Addresses
    /// of a name are judged when it is asked.
    ///
    /// # Errors
    /// [`OutboundError::Refused`].
    pub fn judge(&self, url: &Destination) -> Result<(), OutboundError> {
        let Some(guard) = &self.guard else { return Ok(()) };
        guard.judge_url(url).map_err(|reason| refused(url.host(), reason))
    }

    fn client_for(&self, url: &Destination) -> Result<&reqwest::Client, OutboundError> {
        match (&self.https, &self.http) {
            (Ok(client), _) => Ok(client),
            (Err(_), Some(client)) if !url.is_https() => Ok(client),
            (Err(error), _) => Err(OutboundError::SetUp(error.clone())),
        }
    }

    /// Sends a request once, and reads the beginning of the answer.
    ///
    /// # Errors
    /// See [`OutboundError`].
    pub async fn send(&self, ask: Ask) -> Result<Answer, OutboundError> {
        let (host, limit) = (ask.url.host().to_owned(), ask.within);
        match tokio::time::timeout(limit, self.send_and_read(ask)).await {
            Ok(answer) => answer,
            Err(_) => Err(OutboundError::TimedOut { host, limit }),
        }
    }

    async fn send_and_read(&self, ask: Ask) -> Result<Answer, OutboundError> {
        let answer_bytes_max = ask.answer_bytes_max;
        let Opened { status, headers, is_public, body: mut answer } = self.ask(ask).await?;
        let (mut body, mut is_cut) = (BytesMut::new(), false);
        while let Some(chunk) = answer.chunk().await? {
            let room = answer_bytes_max - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() > room {
                is_cut = true;
                break;
            }
        }
        Ok(Answer { status, headers, body: body.freeze(), is_cut, is_public })
    }

    /// Sends a request once and gives the answer's body as it arrives. `within` is the time until the head is there; how long the body may
    /// take, and how many bytes of it are taken, is the caller's to limit.
    ///
    /// # Errors
    /// See [`OutboundError`].
    pub async fn open(&self, ask: Ask) -> Result<Opened, OutboundError> {
        let (host, limit) = (ask.url.host().to_owned(), ask.within);
        let timed_out = |_| OutboundError::TimedOut { host, limit };
        tokio::time::timeout(limit, self.ask(ask)).await.map_err(timed_out)?
    }

    async fn ask(&self, mut ask: Ask) -> Result<Opened, OutboundError> {
        let client = self.client_for(&ask.url)?;
        let host = ask.url.host().to_owned();
        self.judge(&ask.url)?;
        for made in MADE {
            ask.headers.remove(made);
        }
        let request = client.request(ask.method, ask.url.url().clone()).headers(ask.headers).body(ask.body);
        let mut response = request.send().await.map_err(|error| failed(&host, error))?;
        self.judge_peer(&host, response.remote_addr())?;
        let is_public =
            !self.is_proxied && response.remote_addr().is_some_and(|peer| special(peer.ip()).is_none());
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        Ok(Opened { status, headers, is_public, body: AnswerBody { response, host } })
    }

    /// Opens a connection for a protocol other than HTTP, to the first address that takes one.
    ///
    /// # Errors
    /// See [`OutboundError`]; no proxy is asked.
    #[expect(clippy::disallowed_methods, reason = "here connections are opened")]
    pub async fn connect(&self, host: &str, port: u16, within: Duration) -> Result<TcpStream, OutboundError> {
        let connect = async {
            if let Some(guard) = &self.guard {
                guard.judge_port(port).map_err(|reason| refused(host, reason))?;
            }
            let literal = host.parse().ok();
            let addresses = match literal {
                Some(address) => vec![address],
                None => resolve(&*self.resolver, host).await?,
            };
            if let Some(guard) = &self.guard {
                guard.judge_connection(host, literal, &addresses).map_err(|reason| refused(host, reason))?;
            }
            let addresses: Vec<_> =
                addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect();
            let connected = TcpStream::connect(&addresses[..]).await;
            let stream = connected
                .map_err(|source| OutboundError::Connect { host: host.to_owned(), source: source.into() })?;
            self.judge_peer(host, stream.peer_addr().ok())?;
            Ok(stream)
        };
        let timed_out = |_| OutboundError::TimedOut { host: host.to_owned(), limit: within };
        tokio::time::timeout(within, connect).await.map_err(timed_out)?
    }

    /// Looks at the address once more: an answer of a private machine is not handed on, by whichever way the connection came.
    fn judge_peer(&self, host: &str, peer: Option<SocketAddr>) -> Result<(), OutboundError> {
        let Some(guard) = self.guard.as_ref().filter(|guard| !guard.is_proxied) else { return Ok(()) };
        let peer = peer.map(|peer| peer.ip()).ok_or_else(|| refused(host, Refusal::Special))?;
        guard.judge_addresses(host, &[peer]).map_err(|reason| refused(host, reason))
    }
}

#[expect(clippy::disallowed_methods, reason = "here connections are opened")]
fn builder(
    options: &OutboundOptions,
    guard: Option<&Arc<Guard>>,
) -> Result<reqwest::ClientBuilder, OutboundError> {
    let set_up = |error: reqwest::Error| OutboundError::SetUp(Arc::new(error));
    // A proxy resolves names itself, and is the operator's: its own name is not judged.
    let judge = guard.filter(|guard| !guard.is_proxied).cloned();
    let resolver = Judging { resolver: options.resolver.clone(), guard: judge };
    let mut builder = reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(options.idle_max)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .tcp_nodelay(true)
        .user_agent(options.user_agent.as_str())
        .dns_resolver(Arc::new(resolver))
        .no_proxy();
    if let Some(proxy) = &options.proxy {
        builder = builder.proxy(reqwest::Proxy::all(proxy.url().clone()).map_err(set_up)?);
    }
    for pem in &options.roots {
        let roots = reqwest::Certificate::from_pem_bundle(pem).map_err(set_up)?;
        builder = builder.tls_certs_merge(roots);
    }
    Ok(builder)
}

async fn resolve(resolver: &dyn Resolver, host: &str) -> Result<Vec<IpAddr>, OutboundError> {
    let no_address = |source| OutboundError::NoAddress { host: host.to_owned(), source };
    match resolver.resolve(host).await.map_err(no_address)? {
        addresses if addresses.is_empty() => Err(no_address(io::ErrorKind::NotFound.into())),
        addresses => Ok(addresses),
    }
}

/// Hands on addresses that were judged, to the connection that is opened next.
struct Judging {
    resolver: Arc<dyn Resolver>,
    guard: Option<Arc<Guard>>,
}

impl Resolve for Judging {
    fn resolve(&self, name: Name) -> Resolving {
        let (resolver, guard) = (self.resolver.clone(), self.guard.clone());
        Box::pin(async move {
            let name = name.as_str();
            let addresses = resolve(&*resolver, name).await?;
            if let Some(guard) = guard {
                guard.judge_addresses(name, &addresses).map_err(|reason| refused(name, reason))?;
            }
            Ok(Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        })
    }
}

fn refused(host: &str, reason: Refusal) -> OutboundError {
    OutboundError::Refused { host: host.to_owned(), reason }
}

/// What the client says of a failure, without the address; a judgement comes out as it went in.
fn failed(host: &str, error: reqwest::Error) -> OutboundError {
    if let Some(judged) = judgement(&error) {
        return judged;
    }
    let (host, is_connect) = (host.to_owned(), error.is_connect());
    let source = error.without_url().into();
    match is_connect {
        true => OutboundError::Connect { host, source },
        false => OutboundError::Answer { host, source },
    }
}

fn judgement(error: &reqwest::Error) -> Option<OutboundError> {
    let first: &(dyn std::error::Error + 'static) = error;
    let mut causes = std::iter::successors(Some(first), |cause| cause.source());
    let ours = causes.find_map(|cause| cause.downcast_ref::<OutboundError>())?;
    Some(match ours {
        OutboundError::Refused { host, reason } => refused(host, *reason),
        OutboundError::NoAddress { host, source } => OutboundError::NoAddress {
            host: host.clone(),
            source: io::Error::new(source.kind(), source.to_string()),
        },
        _ => return None,
    })
}
