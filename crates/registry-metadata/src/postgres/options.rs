//! Where the database is, and how much of it this process takes.

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use tokio_postgres::{Config, config::SslMode};

use crate::OpenError;

/// How to reach a PostgreSQL database.
#[derive(Clone)]
pub struct PostgresOptions {
    pub(super) config: Config,
    pub(super) tls: TlsOptions,
    /// How many connections, and how long a request waits for one.
    pub pool: PoolOptions,
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
pub(super) enum Verification {
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
pub(super) struct TlsOptions {
    pub(super) verification: Verification,
    /// The roots to trust, in PEM; none for the system's.
    pub(super) roots: Option<PathBuf>,
    /// A certificate and a key to show, in PEM.
    pub(super) client: Option<(PathBuf, PathBuf)>,
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
    /// by commas, and `target_session_attrs=read-write` finds the one that can be written to. `sslmode` is `disable`,
    /// `prefer` (if nothing is said), `require`, `verify-ca` or `verify-full`, and means what it means elsewhere.
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
        let (mode, tls) = parameters.understand()?;
        config.ssl_mode(mode);
        if config.get_application_name().is_none() {
            config.application_name("registry");
        }
        Ok(PostgresOptions { config, tls, pool: PoolOptions::default() })
    }
}

impl PostgresOptions {
    /// With another pool.
    pub fn with_pool(self, pool: PoolOptions) -> PostgresOptions {
        PostgresOptions { pool, ..self }
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

fn host(host: &tokio_postgres::config::Host) -> String {
    match host {
        tokio_postgres::config::Host::Tcp(name) => name.clone(),
        #[cfg(unix)]
        tokio_postgres::config::Host::Unix(path) => path.display().to_string(),
    }
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
    fn understand(self) -> Result<(SslMode, TlsOptions), OpenError> {
        // `system` is libpq's word for the system's roots.
        let roots = self.root.filter(|root| root != "system").map(PathBuf::from);
        let (mode, verification) = match self.mode.as_deref() {
            Some("disable") => (SslMode::Disable, Verification::None),
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
        let client = match (self.certificate, self.key) {
            (Some(certificate), Some(key)) => Some((certificate.into(), key.into())),
            (None, None) => None,
            _ => return Err(invalid("sslcert and sslkey go together")),
        };
        Ok((mode, TlsOptions { verification, roots, client }))
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
            ("", SslMode::Prefer, Verification::None),
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
