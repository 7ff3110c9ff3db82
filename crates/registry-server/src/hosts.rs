//! Under which hosts the registry is served, and which web pages may change something in it.
//!
//! A browser sends requests for every page that it shows. A page can have its own name lead to the registry's address, or ask the
//! registry from another site; for a registry without users, being reached is all that a request needs. The browser says in `Host`
//! which name it believes in, and in `Origin` and `Sec-Fetch-Site` whose page asks. Clients of registries send neither of the latter.

use std::{collections::HashSet, net::IpAddr};

use http::{HeaderMap, HeaderName, HeaderValue, Method, header, request::Parts, uri::Authority};
use parking_lot::Mutex;

use crate::Refused;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// How many hosts are named in the log: each once, and no more, since clients make them up.
const NAMED_MAX: usize = 64;

/// The hosts that the registry knows to be its own, and what becomes of requests for others.
#[derive(Debug)]
pub struct Hosts {
    /// In lower case, without ports.
    known: Vec<String>,
    /// Host and port of the configured external URL.
    external: Option<(String, Option<u16>)>,
    unknown: UnknownHosts,
    /// The origins of other sites whose pages may change something.
    allowed_origins: Vec<HeaderValue>,
    named: Mutex<HashSet<String>>,
}

/// What becomes of requests for a host that the server does not know to be its own: one that is no address, not `localhost`
/// or below it, and not configured. A web page can make such a name lead to the server, and do what its clients can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnknownHosts {
    /// They are answered.
    Serve,
    /// They are answered, and the log names the host once.
    #[default]
    Warn,
    /// They are refused, reads too.
    Refuse,
}

impl Default for Hosts {
    /// Every host is served.
    fn default() -> Hosts {
        Hosts::new(None, &[], &[], UnknownHosts::Serve)
    }
}

impl Hosts {
    /// The host of an external URL, if there is one, further hosts without ports, the origins whose pages may change something
    /// (`*` for all), and a rule for other hosts.
    pub fn new(
        external: Option<&str>,
        hosts: &[String],
        allowed_origins: &[HeaderValue],
        unknown: UnknownHosts,
    ) -> Hosts {
        let external = external.and_then(origin_of);
        let name = external.iter().map(|(host, _)| host.clone());
        let known = hosts.iter().map(|host| plain(host)).chain(name).collect();
        Hosts { known, external, unknown, allowed_origins: allowed_origins.to_vec(), named: Mutex::default() }
    }

    /// Refuses a request for a host that is not known, or notes it, as was chosen. A request without a host is none of a
    /// browser.
    pub(crate) fn check(&self, authority: Option<&Authority>, headers: &HeaderMap) -> Result<(), Refused> {
        if self.unknown == UnknownHosts::Serve {
            return Ok(());
        }
        let named = headers.get(header::HOST).and_then(|value| value.to_str().ok());
        let Some(text) = authority.map(Authority::as_str).or(named).filter(|text| !text.is_empty()) else {
            return Ok(());
        };
        let host = split(text).map_or_else(|| text.to_owned(), |(host, _)| host);
        if self.knows(&host) {
            return Ok(());
        }
        let host: String = host.chars().filter(|c| !c.is_control()).take(253).collect();
        if self.unknown == UnknownHosts::Refuse {
            return Err(Refused::HostUnknown { host });
        }
        self.note(host);
        Ok(())
    }

    /// Refuses a request that would change something and that a web page makes, unless the page is the registry's own or one
    /// of those that the configured `Access-Control-Allow-Origin` names.
    pub(crate) fn check_page(&self, parts: &Parts) -> Result<(), Refused> {
        if [Method::GET, Method::HEAD, Method::OPTIONS].contains(&parts.method) {
            return Ok(());
        }
        let site = parts.headers.get(SEC_FETCH_SITE).map(|value| value.as_bytes());
        let mut origins = parts.headers.get_all(header::ORIGIN).iter();
        let origin = origins.next().map(|value| value.to_str().unwrap_or_default());
        if site.is_none() && origin.is_none() {
            return Ok(());
        }
        let is_one = origins.next().is_none();
        let is_allowed = is_one && origin.is_some_and(|origin| self.allows(origin));
        if is_allowed || (is_one && self.is_own_page(site, origin, parts)) {
            return Ok(());
        }
        let origin = origin.unwrap_or("another site").chars().take(253).collect();
        Err(Refused::ForeignPage { origin })
    }

    /// Whether the operator lets pages of this origin ask.
    fn allows(&self, origin: &str) -> bool {
        let is_allowed =
            |value: &HeaderValue| value == "*" || value.as_bytes().eq_ignore_ascii_case(origin.as_bytes());
        self.allowed_origins.iter().any(is_allowed)
    }

    /// Whether a page is the registry's own, under a host that is known.
    fn is_own_page(&self, site: Option<&[u8]>, origin: Option<&str>, parts: &Parts) -> bool {
        let requested = parts.uri.authority().map(Authority::as_str);
        let named = || parts.headers.get(header::HOST).and_then(|value| value.to_str().ok());
        let requested = requested.or_else(named).and_then(split);
        // `none`: the user asked for it, not a page.
        if !site.is_none_or(|site| site == b"same-origin" || site == b"none") {
            return false;
        }
        let Some(origin) = origin else { return requested.is_some_and(|(host, _)| self.knows(&host)) };
        let Some((host, port)) = origin_of(origin) else { return false };
        // A proxy may have put another host into the request; the browser compared the page's with the one that it asked. Over
        // plain HTTP it does not say so: then a page counts whose host the operator has named.
        let is_same = self.known.contains(&host)
            || site == Some(b"same-origin")
            || self.external == Some((host.clone(), port))
            || requested.is_some_and(|(requested, requested_port)| {
                requested == host && (requested_port == port || (requested_port.is_none() && is_of_web(port)))
            });
        self.knows(&host) && is_same
    }

    /// Whether a host can not be the name of a stranger's page: an address, the machine itself, or one that is configured.
    fn knows(&self, host: &str) -> bool {
        let unbracketed = host.trim_start_matches('[').trim_end_matches(']');
        unbracketed.parse::<IpAddr>().is_ok()
            || host == "localhost"
            || host.ends_with(".localhost")
            || self.known.iter().any(|known| known == host)
    }

    /// Writes a line the first time that a host is asked for.
    fn note(&self, host: String) {
        let mut named = self.named.lock();
        if named.len() >= NAMED_MAX || named.contains(&host) {
            return;
        }
        tracing::warn!(
            "a request names the host `{host}`, which is not known to be this registry's. Web pages that make a name lead here \
             can do what any client can, since this address asks for no login. If the name is right, add it to `http.hosts`{}",
            if named.len() + 1 == NAMED_MAX { ". Further hosts are not named in the log" } else { "" }
        );
        named.insert(host);
    }
}

/// Host and port of a URL of the web.
fn origin_of(url: &str) -> Option<(String, Option<u16>)> {
    let (scheme, rest) = url.split_once("://")?;
    let default_port = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    split(rest).map(|(host, port)| (host, port.or(Some(default_port))))
}

fn is_of_web(port: Option<u16>) -> bool {
    matches!(port, Some(80 | 443))
}

/// `host`, `host:port`, perhaps with a path behind it: the host as [`plain`] has it, and the port.
fn split(text: &str) -> Option<(String, Option<u16>)> {
    let authority: Authority = text.split('/').next()?.parse().ok()?;
    let host = plain(authority.host());
    (!host.is_empty() && !authority.as_str().contains('@')).then(|| (host, authority.port_u16()))
}

/// In lower case, without the dot that may end a name.
fn plain(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests;
