//! Where the database is, and how much of it this process takes.

use std::{fmt, net::IpAddr, path::PathBuf, str::FromStr, time::Duration};

use tokio_postgres::{
    Config,
    config::{Host, SslMode, SslNegotiation},
};

use crate::OpenError;

/// How to reach a PostgreSQL database.
#[derive(Clone)]
pub struct PostgresOptions {
    pub(crate) config: Config,
    pub(crate) tls: TlsOptions,
    /// How many connections, and how long a request waits for one.
    pub pool: PoolOptions,
    /// What others could do on the way to the server.
    warning: Option<String>,
}

/// How many connections a process has, and how long a request waits for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolOptions {
    /// The most connections at once. 16. All nodes together must stay below the server's `max_connections`.
    pub size: usize,
    /// The most requests that wait for a connection; more are refused at once. 1024.
    pub waiting_max: usize,
    /// How long a request waits for a connection, connecting included. One second: a client that is told to come again
    /// is served better than one that is kept waiting.
    pub wait: Duration,
}

impl Default for PoolOptions {
    fn default() -> Self {
        PoolOptions { size: 16, waiting_max: 1024, wait: Duration::from_secs(1) }
    }
}

/// What is asked of the server's certificate. The names are libpq's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Verification {
    /// `prefer`, and `require` without a root: encrypted, and nobody knows by whom.
    #[default]
    None,
    /// `verify-ca`, and `require` with a root: somebody whom the root vouches for.
    Authority,
    /// `verify-full`: the host whose name is in the URL.
    Full,
}

/// What the URL says of TLS beyond whether it is used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TlsOptions {
    pub(crate) verification: Verification,
    /// The roots to trust, in PEM; none for the system's.
    pub(crate) roots: Option<PathBuf>,
    /// A certificate and a key to show, in PEM.
    pub(crate) client: Option<(PathBuf, PathBuf)>,
    /// What holds if nothing vouches for the server, which is beyond loopback; none elsewhere.
    pub(crate) beyond_loopback: Option<Beyond>,
}

/// How to speak to a server beyond loopback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Beyond {
    /// Whether it is asked for TLS, or expects it from the first byte on (`sslnegotiation=direct`).
    pub(crate) asks_for_tls: bool,
    /// Whether it may also be without TLS.
    pub(crate) may_be_plain: bool,
    /// Whether nothing vouches for it, so that it gets no password in clear text, nor its MD5 hash.
    pub(crate) is_anybody: bool,
}

/// What in the query of the URL is ours to understand and not the client library's.
#[derive(Default)]
struct TlsParameters {
    mode: Option<String>,
    root: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
}

impl FromStr for PostgresOptions {
    type Err = OpenError;

    /// `postgres://user:password@host:5432/database?sslmode=verify-full&sslrootcert=/ca.pem`; several hosts are separated
    /// by commas, and `target_session_attrs=read-write` finds the one that can be written to.
    ///
    /// `sslmode` is `disable`, `prefer`, `require`, `verify-ca` or `verify-full`, and means what it means elsewhere. If nothing
    /// is said it is `prefer` on loopback and on Unix sockets, and `verify-full` elsewhere. There, `prefer` and `require` do
    /// not answer a server that asks for the password in clear text or as an MD5 hash; `disable` does.
    fn from_str(url: &str) -> Result<PostgresOptions, OpenError> {
        if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(invalid("it does not begin with postgres:// or postgresql://"));
        }
        let (rest, parameters) = take_tls_parameters(url)?;
        // The library's message does not repeat the URL, in which there is a password.
        let mut config: Config = rest.parse().map_err(|error: tokio_postgres::Error| {
            let reason =
                std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            OpenError::InvalidUrl { reason }
        })?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(invalid("it names no host"));
        }
        let is_local = is_local(&config);
        let warning = (!is_local).then(|| parameters.warning()).flatten();
        let (mode, tls) = parameters.understand(is_local)?;
        config.ssl_mode(mode);
        if config.get_application_name().is_none() {
            config.application_name("registry");
        }
        let mut options = PostgresOptions { config, tls, pool: PoolOptions::default(), warning: None };
        options.warning = warning.map(|warning| format!("the database {}: {warning}", options.place()));
        options.negotiate();
        Ok(options)
    }
}

impl PostgresOptions {
    /// With another pool.
    pub fn with_pool(self, pool: PoolOptions) -> PostgresOptions {
        PostgresOptions { pool, ..self }
    }

    /// What others on the network could do with the connection, in a sentence, if that is more than to end it.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// Has [`Tls`](super::tls::Tls) ask the server for TLS, which then sees all that the server says: the client library
    /// gives it the connection at once if it is told that the server expects TLS from the first byte on.
    fn negotiate(&mut self) {
        if let Some(beyond) = &mut self.tls.beyond_loopback {
            beyond.asks_for_tls = self.config.get_ssl_negotiation() == SslNegotiation::Postgres;
            self.config.ssl_negotiation(SslNegotiation::Direct);
        }
    }

    /// Where the database is, for messages: hosts and name, without user and password.
    pub fn place(&self) -> String {
        let hosts: Vec<String> = self.config.get_hosts().iter().map(host).collect();
        format!("{}/{}", hosts.join(","), self.config.get_dbname().unwrap_or_default())
    }
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("place", &self.place())
            .field("tls", &self.tls)
            .field("pool", &self.pool)
            .finish_non_exhaustive()
    }
}

fn host(host: &Host) -> String {
    match host {
        Host::Tcp(name) => name.clone(),
        #[cfg(unix)]
        Host::Unix(path) => path.display().to_string(),
    }
}

/// Whether nothing of what is said leaves the machine, whichever host is taken. Names but `localhost` may lead anywhere.
fn is_local(config: &Config) -> bool {
    let is_loopback = |address: &IpAddr| address.to_canonical().is_loopback();
    if !config.get_hostaddrs().is_empty() {
        return config.get_hostaddrs().iter().all(is_loopback);
    }
    config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => {
            let address = name.trim_start_matches('[').trim_end_matches(']').parse().ok();
            name.eq_ignore_ascii_case("localhost") || address.as_ref().is_some_and(is_loopback)
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    })
}

/// The URL without what it says of TLS, and that.
fn take_tls_parameters(url: &str) -> Result<(String, TlsParameters), OpenError> {
    let mut parameters = TlsParameters::default();
    let Some((place, query)) = url.split_once('?') else { return Ok((url.to_owned(), parameters)) };
    let mut others = Vec::new();
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let field = match name {
            "sslmode" => &mut parameters.mode,
            "sslrootcert" => &mut parameters.root,
            "sslcert" => &mut parameters.certificate,
            "sslkey" => &mut parameters.key,
            _ => {
                others.push(pair);
                continue;
            }
        };
        *field = Some(decoded(value).ok_or_else(|| invalid("a value in its query is not percent-encoded"))?);
    }
    let query = others.join("&");
    Ok((if query.is_empty() { place.to_owned() } else { format!("{place}?{query}") }, parameters))
}

impl TlsParameters {
    /// What is risked beyond loopback.
    fn warning(&self) -> Option<&'static str> {
        match self.mode.as_deref() {
            Some("disable") => Some(
                "sslmode=disable sends what is said to it, and its password if it asks for that, to whatever answers",
            ),
            Some("prefer") => Some(
                "sslmode=prefer speaks in clear text if that is all that answers: others on the way can read and change it",
            ),
            Some("require") if self.root.is_none() => Some(
                "sslmode=require without sslrootcert encrypts to whatever answers: others on the way can read and change it",
            ),
            _ => None,
        }
    }

    fn understand(self, is_local: bool) -> Result<(SslMode, TlsOptions), OpenError> {
        // `system` is libpq's word for the system's roots.
        let roots = self.root.filter(|root| root != "system").map(PathBuf::from);
        let (mode, verification) = match self.mode.as_deref() {
            Some("disable") => (SslMode::Disable, Verification::None),
            None if !is_local => (SslMode::Require, Verification::Full),
            Some("prefer") if !is_local => (SslMode::Require, Verification::None),
            None | Some("prefer") => (SslMode::Prefer, Verification::None),
            Some("require") if roots.is_none() => (SslMode::Require, Verification::None),
            Some("require" | "verify-ca") => (SslMode::Require, Verification::Authority),
            Some("verify-full") => (SslMode::Require, Verification::Full),
            Some(_) => {
                return Err(invalid(
                    "sslmode is none of disable, prefer, require, verify-ca and verify-full",
                ));
            }
        };
        let beyond_loopback = (!is_local && mode != SslMode::Disable).then_some(Beyond {
            asks_for_tls: true,
            may_be_plain: self.mode.as_deref() == Some("prefer"),
            is_anybody: verification == Verification::None,
        });
        let client = match (self.certificate, self.key) {
            (Some(certificate), Some(key)) => Some((certificate.into(), key.into())),
            (None, None) => None,
            _ => return Err(invalid("sslcert and sslkey go together")),
        };
        Ok((mode, TlsOptions { verification, roots, client, beyond_loopback }))
    }
}

fn invalid(reason: &str) -> OpenError {
    OpenError::InvalidUrl { reason: reason.to_owned() }
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> PostgresOptions {
        url.parse().unwrap()
    }

    #[test]
    fn modes_mean_what_they_mean_elsewhere() {
        for (query, mode, verification) in [
            ("", SslMode::Require, Verification::Full),
            ("?sslmode=prefer", SslMode::Require, Verification::None),
            ("?sslmode=disable", SslMode::Disable, Verification::None),
            ("?sslmode=require", SslMode::Require, Verification::None),
            ("?sslmode=require&sslrootcert=/ca.pem", SslMode::Require, Verification::Authority),
            ("?sslmode=verify-ca", SslMode::Require, Verification::Authority),
            ("?connect_timeout=3&sslmode=verify-full", SslMode::Require, Verification::Full),
        ] {
            let options = parse(&format!("postgres://u@h/d{query}"));
            assert_eq!(
                (options.config.get_ssl_mode(), options.tls.verification),
                (mode, verification),
                "{query}"
            );
        }
        let options = parse("postgresql://u@h/d?sslrootcert=%2Fa%20b.pem&sslcert=/c&sslkey=/k");
        assert_eq!(options.tls.roots, Some("/a b.pem".into()));
        assert_eq!(options.tls.client, Some(("/c".into(), "/k".into())));
        assert_eq!(parse("postgres://h/d?sslrootcert=system").tls.roots, None);
    }

    #[test]
    fn beyond_loopback_a_server_must_show_who_it_is_unless_the_url_says_otherwise() {
        for (host, is_local) in [
            ("localhost", true),
            ("LOCALHOST", true),
            ("127.0.0.1", true),
            ("127.3.2.1:5433", true),
            ("[::1]", true),
            ("[::ffff:127.0.0.1]", true),
            ("%2Frun%2Fpostgresql", true),
            ("localhost,127.0.0.1", true),
            ("localhost,db", false),
            ("db", false),
            ("localhost.example.com", false),
            ("0.0.0.0", false),
            ("10.0.0.1", false),
            ("[fd00::1]", false),
        ] {
            let options = parse(&format!("postgres://u@{host}/d"));
            let expected = if is_local { SslMode::Prefer } else { SslMode::Require };
            assert_eq!(options.config.get_ssl_mode(), expected, "{host}");
            let verified = options.tls.verification == Verification::Full;
            assert_eq!(verified, !is_local, "{host}");
            assert_eq!(options.warning(), None, "{host}");
            for (mode, is_warned) in [
                ("disable", true),
                ("prefer", true),
                ("require", true),
                ("verify-ca", false),
                ("verify-full", false),
            ] {
                let options = parse(&format!("postgres://u@{host}/d?sslmode={mode}"));
                assert_eq!(options.warning().is_some(), is_warned && !is_local, "{host} {mode}");
            }
        }
        let there = |query: &str| parse(&format!("postgres://u@db/d?{query}")).tls.beyond_loopback;
        let beyond = |may_be_plain, is_anybody| Some(Beyond { asks_for_tls: true, may_be_plain, is_anybody });
        assert_eq!(there(""), beyond(false, false));
        assert_eq!(there("sslmode=prefer"), beyond(true, true));
        assert_eq!(there("sslmode=require"), beyond(false, true));
        assert_eq!(there("sslmode=require&sslrootcert=/ca.pem"), beyond(false, false));
        assert_eq!(there("sslmode=disable"), None);
        // The address is what is connected to, whatever the name is.
        assert!(parse("postgres://u@db/d?hostaddr=127.0.0.1").tls.beyond_loopback.is_none());
        assert!(parse("postgres://u@localhost/d?hostaddr=10.0.0.1").tls.beyond_loopback.is_some());
    }

    #[test]
    fn the_password_is_never_shown() {
        let options = parse("postgres://user:hunter2@one:1,two:2/names?sslmode=disable");
        assert_eq!(options.place(), "one,two/names");
        assert!(!format!("{options:?}").contains("hunter2"));
        for broken in
            ["postgres://user:hunter2@h:port/d", "mysql://user:hunter2@h/d", "postgres://u:hunter2@h/d?x=y"]
        {
            let error = broken.parse::<PostgresOptions>().unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[test]
    fn what_can_not_be_meant_is_refused() {
        for url in [
            "host=h user=u",
            "postgres://h/d?sslmode=sometimes",
            "postgres://h/d?sslcert=/c",
            "postgres://h/d?sslrootcert=%2",
            "postgres:///d",
        ] {
            assert!(matches!(url.parse::<PostgresOptions>(), Err(OpenError::InvalidUrl { .. })), "{url}");
        }
    }
}
