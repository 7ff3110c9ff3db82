use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use registry_types::{MANIFEST_BYTES_MAX, Network, RateLimit, RateLimits, Secret};

use crate::address::TcpAddress;
use crate::field::{Field, quoted};
use crate::tls::{SelfSigned, Tls};

/// How the registry is reached. Key `http`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// What is listened on. Keys `addr` and `net`.
    pub listen: Listen,
    /// What every path begins with, both slashes included; `/` for nothing.
    pub prefix: String,
    /// The URL under which clients reach the registry, without a slash at its end, if it is to be said in answers.
    pub host: Option<String>,
    /// Whether `Location` headers hold a path alone. Key `relativeurls`.
    pub relative_urls: bool,
    /// How long running requests may go on after the process was asked to stop; 10 seconds by default, zero for not at
    /// all. Key `draintimeout`.
    pub drain_timeout: Duration,
    /// What every answer says in addition: names in lower case, each once, with their values.
    pub headers: Vec<(String, Vec<String>)>,
    /// Accepted and not needed.
    pub secret: Option<Secret>,
    /// `None` for plain HTTP.
    pub tls: Option<Tls>,
    /// Whether plain HTTP on any address is wanted.
    pub insecure: bool,
    /// The server for health and metrics, if there is to be one.
    pub debug: Option<DebugServer>,
    /// Whether HTTP/2 is offered over TLS. Key `http2.disabled`, negated.
    pub http2: bool,
    /// Whether HTTP/2 is understood without TLS, which costs nobody else anything. Key `h2c.enabled`.
    pub h2c: bool,
    /// What a peer may take.
    pub limits: Limits,
    /// Names under which clients may reach the registry, beside that of `host`: each in lower case, without a port. Key
    /// `hosts`.
    pub hosts: Vec<String>,
    /// The proxies whose forwarded headers count for limits, audit and redirects. Key `trustedproxies`.
    pub trusted_proxies: Vec<Network>,
    /// How many requests a client may send; as many as it likes by default. Key `ratelimits`.
    pub rate_limits: RateLimits,
}

/// What is listened on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A TCP address; `127.0.0.1:5000` by default.
    Tcp(TcpAddress),
    /// A socket at this path.
    Unix(PathBuf),
}

/// The server for health and metrics: plain HTTP, without authentication. Key `http.debug`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DebugServer {
    /// What it listens on.
    pub address: TcpAddress,
    /// The path of the metrics, if they are wanted. Keys `prometheus.enabled` and `prometheus.path`.
    pub metrics_path: Option<String>,
}

/// What a peer may take. Key `http.limits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest head of a request; 64 KiB by default. Key `headerbytes`.
    pub header_bytes: usize,
    /// How long the head of a request, and a TLS handshake, may take; 30 seconds by default. Key `headertimeout`.
    pub header_timeout: Duration,
    /// How long a connection may rest between requests; 2 minutes by default. Key `idletimeout`.
    pub idle_timeout: Duration,
    /// How long a body may pause; 1 minute by default. Key `bodyidletimeout`.
    pub body_idle_timeout: Duration,
    /// How many connections are served at once; 10,000 by default.
    pub connections: usize,
    /// The largest manifest; [`MANIFEST_BYTES_MAX`] by default, which is also the most. Key `manifestbytes`.
    pub manifest_bytes: usize,
    /// The memory that answers and gathered bodies share; 48 MiB by default. Key `memory`.
    pub memory_bytes: usize,
    /// The largest blob; without a limit, if the key is absent. Key `blobbytes`.
    pub blob_bytes: Option<u64>,
    /// What clients are told that the chunks of an upload should have at least; 0, the default, tells them nothing. Key
    /// `chunkminbytes`.
    pub chunk_bytes_min: u64,
    /// How many connections one address may hold, also a loopback or private one; by default public addresses have a share
    /// of `connections` and others no bound of their own. Key `peraddress`.
    pub per_address: Option<usize>,
}

impl Http {
    /// `data` is the folder for data, where a certificate is kept that the registry makes.
    pub(crate) fn read(http: &Field<'_>, data: Option<&Path>) -> Http {
        let listen = listen(http);
        let host = host(&http.get("host"));
        Http {
            prefix: prefix(&http.get("prefix")),
            relative_urls: http.get("relativeurls").flag(false),
            drain_timeout: http.get("draintimeout").duration(Duration::from_secs(10), Duration::ZERO),
            headers: headers(&http.get("headers")),
            secret: http.get("secret").text().map(Secret::new),
            tls: Tls::read(
                &http.get("tls"),
                SelfSigned::usual(&listen, host.as_deref(), data),
                host.as_deref(),
            ),
            insecure: http.get("insecure").flag(false),
            debug: debug_server(&http.get("debug")),
            http2: !http.get("http2").get("disabled").flag(false),
            h2c: http.get("h2c").get("enabled").flag(true),
            limits: Limits::read(&http.get("limits")),
            hosts: hosts(&http.get("hosts")),
            trusted_proxies: networks(&http.get("trustedproxies")),
            rate_limits: rate_limits(&http.get("ratelimits")),
            listen,
            host,
        }
    }
}

fn listen(http: &Field<'_>) -> Listen {
    let is_unix = http.get("net").choice(&[("tcp", false), ("unix", true)]).unwrap_or(false);
    let addr = http.get("addr");
    if is_unix {
        let path = addr.required_path("the path of a socket, as http.net is unix");
        return Listen::Unix(path.unwrap_or_default());
    }
    let default = || TcpAddress { host: "127.0.0.1".to_owned(), port: 5000 };
    Listen::Tcp(address(&addr).unwrap_or_else(default))
}

pub(crate) fn address(field: &Field<'_>) -> Option<TcpAddress> {
    let expected = "host:port, such as 127.0.0.1:5000, or :5000 for all addresses of the machine";
    field.parse(expected, TcpAddress::parse)
}

fn prefix(field: &Field<'_>) -> String {
    let is_of_path = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    // Slashes at its ends are added where they are left out.
    let parse = |text: &str| {
        let (from, to) = (usize::from(text.starts_with('/')), usize::from(text.ends_with('/')));
        let inner = text.get(from..text.len() - to).unwrap_or_default();
        let is_part = |part: &str| !matches!(part, "" | "." | "..");
        let is_root = inner.is_empty() && text.len() == 1;
        let fits = text.bytes().all(is_of_path) && (is_root || inner.split('/').all(is_part));
        fits.then(|| if is_root { "/".to_owned() } else { format!("/{inner}/") })
    };
    let expected = "a path such as /images/, of letters, digits, and - . _ ~";
    field.parse(expected, parse).unwrap_or_else(|| "/".to_owned())
}

fn host(field: &Field<'_>) -> Option<String> {
    web_url(field, "a URL such as https://registry.example.com")
}

/// A URL as [`is_web_url`] wants it, without a slash at its end.
pub(crate) fn web_url(field: &Field<'_>, expected: &str) -> Option<String> {
    field.parse(expected, |text| is_web_url(text).then(|| text.trim_end_matches('/').to_owned()))
}

fn hosts(field: &Field<'_>) -> Vec<String> {
    let expected = "the name of a host without a port, such as registry.example.com";
    let parse = |text: &str| {
        let address = TcpAddress::parse(&format!("{text}:443"))?;
        (!address.host.is_empty()).then(|| address.host.to_ascii_lowercase())
    };
    field.items().iter().filter_map(|item| item.parse(expected, parse)).collect()
}

fn networks(field: &Field<'_>) -> Vec<Network> {
    let expected = "a network such as 10.0.0.0/8";
    field.items().iter().filter_map(|item| item.parse(expected, |text| text.parse().ok())).collect()
}

/// Whether it is `http://` or `https://`, a host with perhaps a port, perhaps a path, and nothing else.
pub(crate) fn is_web_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let Some(rest) = rest else { return false };
    let authority = rest.split('/').next().unwrap_or_default();
    let has_port = !authority.ends_with(']') && authority.contains(':');
    let with_port = if has_port { authority.to_owned() } else { format!("{authority}:443") };
    let is_authority = TcpAddress::parse(&with_port).is_some_and(|address| !address.host.is_empty());
    is_authority && rest.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#@\"<>\\^`{|}".contains(&byte))
}

/// The host of a URL that [`is_web_url`].
pub(crate) fn host_of(url: &str) -> Option<String> {
    let authority = url.split_once("://")?.1.split('/').next()?;
    let address = TcpAddress::parse(authority).or_else(|| TcpAddress::parse(&format!("{authority}:443")))?;
    Some(address.host)
}

pub(crate) fn headers(field: &Field<'_>) -> Vec<(String, Vec<String>)> {
    let mut headers: Vec<(String, Vec<String>)> = Vec::new();
    for (name, values) in field.entries() {
        if name.is_empty() || !name.bytes().all(is_of_token) {
            values.problem(format!("{} is not the name of a header", quoted(name)), "letters, digits and -");
            continue;
        }
        let name = name.to_ascii_lowercase();
        if headers.iter().any(|(other, _)| *other == name) {
            values.problem("given twice", "each header once, in whatever case");
        }
        let value = |item: &Field<'_>| item.parse("the value of a header, in one line", header_value);
        headers.push((name, values.items().iter().filter_map(value).collect()));
    }
    headers
}

/// Spec: RFC 9110, section 5.6.2.
fn is_of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn header_value(text: &str) -> Option<String> {
    let fits = |letter: char| letter == '\t' || (' '..='~').contains(&letter);
    text.chars().all(fits).then(|| text.trim().to_owned())
}

fn debug_server(debug: &Field<'_>) -> Option<DebugServer> {
    let prometheus = debug.get("prometheus");
    let path = metrics_path(&prometheus.get("path"));
    let metrics = prometheus.get("enabled").flag(false).then_some(path);
    let addr = debug.get("addr");
    if !addr.is_set() {
        if metrics.is_some() {
            prometheus.remark("has no effect without http.debug.addr");
        }
        return None;
    }
    Some(DebugServer { address: address(&addr)?, metrics_path: metrics })
}

fn metrics_path(field: &Field<'_>) -> String {
    let parse = |text: &str| {
        let fits =
            text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic() && b != b'?' && b != b'#');
        fits.then(|| text.to_owned())
    };
    field.parse("a path that begins with a slash", parse).unwrap_or_else(|| "/metrics".to_owned())
}

fn rate_limits(limits: &Field<'_>) -> RateLimits {
    RateLimits { address: rate_limit(&limits.get("address")), user: rate_limit(&limits.get("user")) }
}

/// Without `burst`, as many at once as in the whole time.
fn rate_limit(limit: &Field<'_>) -> Option<RateLimit> {
    const REQUESTS_MAX: u64 = 1_000_000;
    if !limit.is_set() {
        return None;
    }
    let count = |field: &Field<'_>, default| {
        let count = field.integer(default, 1..=REQUESTS_MAX);
        u32::try_from(count).ok().and_then(NonZeroU32::new)
    };
    let (requests, burst) = (limit.get("requests"), limit.get("burst"));
    let per = limit.get("per").duration(Duration::from_secs(1), Duration::from_secs(1));
    let named = requests.required("how many requests a client may send in the time `per`");
    let requests = count(&requests, 1)?;
    let burst = count(&burst, u64::from(requests.get()))?;
    named.map(|_| RateLimit { requests, per, burst })
}

impl Limits {
    fn read(limits: &Field<'_>) -> Limits {
        const SECOND: Duration = Duration::from_secs(1);
        let size = |name: &str, default: usize, least: u64, most: usize| {
            let bytes = limits.get(name).size(default as u64, least..=most as u64);
            usize::try_from(bytes).unwrap_or(most)
        };
        let connections = limits.get("connections").integer(10_000, 1..=1_000_000);
        let (peraddress, blobbytes) = (limits.get("peraddress"), limits.get("blobbytes"));
        let per_address = peraddress
            .is_set()
            .then(|| usize::try_from(peraddress.integer(0, 1..=1_000_000)).unwrap_or(usize::MAX));
        Limits {
            header_bytes: size("headerbytes", 64 << 10, 8 << 10, 1 << 20),
            header_timeout: limits.get("headertimeout").duration(30 * SECOND, SECOND),
            idle_timeout: limits.get("idletimeout").duration(120 * SECOND, SECOND),
            body_idle_timeout: limits.get("bodyidletimeout").duration(60 * SECOND, SECOND),
            connections: usize::try_from(connections).unwrap_or(usize::MAX),
            manifest_bytes: size("manifestbytes", MANIFEST_BYTES_MAX, 1 << 10, MANIFEST_BYTES_MAX),
            memory_bytes: size("memory", 48 << 20, 16 << 20, 1 << 40),
            blob_bytes: blobbytes.is_set().then(|| blobbytes.size(0, 1..=i64::MAX as u64)),
            chunk_bytes_min: size("chunkminbytes", 0, 0, 1 << 30) as u64,
            per_address,
        }
    }
}
