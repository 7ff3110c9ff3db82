//! What proxies say of a request: where the client is, and how it called the registry.
//!
//! Any client can send these headers. For the URLs of an answer they count if they come from a peer that is close by, as proxies
//! usually are: what a client forges there comes back to that client alone. For the client's address, which limits, audits and
//! redirects go by, they count only as far as configured proxies vouch for them.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, header, uri::Authority};
use registry_types::Network;

const FORWARDED: HeaderName = header::FORWARDED;
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// The most proxies behind each other that are looked at.
const PROXIES_MAX: usize = 16;

/// The client's address: the peer's, or, while that is a trusted proxy, the one that the proxy got the request from. Reading
/// stops at what is no address. A peer without an address is on a Unix socket, which only what the file's mode lets in can
/// connect to, so it is trusted. IPv4 addresses are never written as IPv6 ones.
pub fn client(headers: &HeaderMap, peer: Option<IpAddr>, trusted: &[Network]) -> Option<IpAddr> {
    let is_trusted =
        |address: Option<IpAddr>| address.is_none_or(|ip| trusted.iter().any(|network| network.contains(ip)));
    let mut client = peer.map(|peer| peer.to_canonical());
    if !is_trusted(client) {
        return client;
    }
    // Proxies append, so what the nearest one says stands last.
    for text in hops(headers).into_iter().rev().take(PROXIES_MAX) {
        let Some(address) = address(text) else { break };
        client = Some(address);
        if !is_trusted(client) {
            break;
        }
    }
    client
}

/// Who sent the request to whom, the client first. `X-Forwarded-For` is what proxies write unasked, so it goes before
/// `Forwarded`, which they pass on from clients.
fn hops(headers: &HeaderMap) -> Vec<&str> {
    if headers.contains_key(FORWARDED_FOR) {
        return items(headers, &FORWARDED_FOR).collect();
    }
    if headers.contains_key(FORWARDED) {
        return items(headers, &FORWARDED).map(|element| field(element, "for").unwrap_or_default()).collect();
    }
    items(headers, &REAL_IP).collect()
}

/// `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:4711`.
fn address(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    let host = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => text.rsplit_once(':')?.0,
    };
    host.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// How the client called the registry, as far as a proxy says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outside {
    /// `http` or `https`.
    pub scheme: Option<&'static str>,
    /// `host` or `host:port`.
    pub host: Option<String>,
    /// The port, for a host that names none.
    pub port: Option<u16>,
}

impl Outside {
    /// From `Forwarded` (RFC 7239, first element), and for what it does not say `X-Forwarded-Proto`, `-Host` and `-Port` (first
    /// item); nothing, if the peer is neither close by nor trusted.
    pub fn of(headers: &HeaderMap, peer: Option<IpAddr>, trusted: &[Network]) -> Outside {
        let counts = peer.is_none_or(|peer| {
            is_close_by(peer.to_canonical()) || trusted.iter().any(|network| network.contains(peer))
        });
        if !counts {
            return Outside::default();
        }
        let first = |name: HeaderName| items(headers, &name).next();
        let element = first(FORWARDED).unwrap_or_default();
        let scheme_of = |text| ["http", "https"].into_iter().find(|known| text_is(text, known));
        let is_of_web = |port: &u16| matches!(port, 0 | 80 | 443);
        Outside {
            scheme: field(element, "proto")
                .and_then(scheme_of)
                .or_else(|| first(FORWARDED_PROTO).and_then(scheme_of)),
            host: field(element, "host")
                .and_then(valid_host)
                .or_else(|| first(FORWARDED_HOST).and_then(valid_host)),
            // The web's own ports are left away: a proxy behind another one names 80 where the client used https.
            port: first(FORWARDED_PORT).and_then(|port| port.parse().ok()).filter(|port| !is_of_web(port)),
        }
    }
}

/// Loopback, or a network that does not reach across the internet.
fn is_close_by(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            // Spec: RFC 6598, the space that carriers and clusters share.
            let is_shared = v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64;
            v4.is_loopback() || v4.is_private() || v4.is_link_local() || is_shared
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// A host that may stand in a URL of ours: a name or an address, perhaps with a port, and nothing before it.
pub fn valid_host(text: &str) -> Option<String> {
    let authority: Authority = text.parse().ok()?;
    let is_of_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte);
    let port_fits = authority.as_str().len() == authority.host().len() || authority.port_u16().is_some();
    let fits = !authority.host().is_empty() && port_fits && text.bytes().all(is_of_host);
    fits.then(|| authority.to_string())
}

/// The items of a header's values, which are one list.
fn items<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter().filter_map(|value: &HeaderValue| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

/// A field of an element of `Forwarded`, without its quotes.
fn field<'a>(element: &'a str, name: &str) -> Option<&'a str> {
    let pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
    let mut values = pairs.filter(|(key, _)| text_is(key.trim(), name)).map(|(_, value)| value);
    values.next().map(|value| value.trim().trim_matches('"'))
}

fn text_is(text: &str, known: &str) -> bool {
    text.eq_ignore_ascii_case(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let header = |(name, value): &(&str, &str)| {
            (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
        };
        let mut headers = HeaderMap::new();
        for (name, value) in pairs.iter().map(header) {
            headers.append(name, value);
        }
        headers
    }

    #[test]
    fn the_client_is_the_nearest_that_no_trusted_proxy_vouches_for_any_more() {
        let proxies: Vec<Network> = vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
        let (near, public) = (Some("10.0.0.1"), Some("192.0.2.9"));
        type Case<'a> = (Option<&'a str>, &'a [(&'a str, &'a str)], Option<&'a str>);
        let cases: [Case<'_>; 16] = [
            (near, &[], near),
            (near, &[("x-forwarded-for", "198.51.100.7")], Some("198.51.100.7")),
            // What the client wrote itself stands further left.
            (near, &[("x-forwarded-for", "127.0.0.1, 198.51.100.7")], Some("198.51.100.7")),
            (near, &[("x-forwarded-for", "6.6.6.6, 198.51.100.7, 10.0.0.2")], Some("198.51.100.7")),
            (
                near,
                &[("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "198.51.100.7")],
                Some("198.51.100.7"),
            ),
            (near, &[("x-forwarded-for", "6.6.6.6, nonsense")], near),
            (near, &[("x-forwarded-for", "198.51.100.7:1234")], Some("198.51.100.7")),
            (near, &[("x-forwarded-for", "[2001:470::1]:99")], Some("2001:470::1")),
            (near, &[("x-forwarded-for", "::ffff:198.51.100.7")], Some("198.51.100.7")),
            (near, &[("x-real-ip", "198.51.100.7")], Some("198.51.100.7")),
            (
                near,
                &[("forwarded", "for=6.6.6.6, for=\"198.51.100.7:80\";proto=https")],
                Some("198.51.100.7"),
            ),
            (
                near,
                &[("forwarded", "for=6.6.6.6"), ("x-forwarded-for", "198.51.100.7")],
                Some("198.51.100.7"),
            ),
            (public, &[("x-forwarded-for", "127.0.0.1")], public),
            (public, &[("forwarded", "for=127.0.0.1"), ("x-real-ip", "127.0.0.1")], public),
            (Some("127.0.0.1"), &[("x-forwarded-for", "198.51.100.7")], Some("127.0.0.1")),
            (None, &[("x-forwarded-for", "6.6.6.6, 198.51.100.7")], Some("198.51.100.7")),
        ];
        let ip = |text: Option<&str>| text.map(|text| text.parse::<IpAddr>().unwrap());
        for (peer, pairs, expected) in cases {
            assert_eq!(client(&headers(pairs), ip(peer), &proxies), ip(expected), "{peer:?} {pairs:?}");
        }
        assert_eq!(client(&HeaderMap::new(), ip(Some("::ffff:10.1.2.3")), &[]), ip(Some("10.1.2.3")));
        let endless = "10.0.0.2, ".repeat(1000) + "10.0.0.3";
        let found = client(&headers(&[("x-forwarded-for", &endless)]), ip(near), &proxies);
        assert_eq!(found, ip(Some("10.0.0.2")));
    }

    #[test]
    fn what_is_said_of_the_outside_counts_from_close_by() {
        let outside =
            |scheme, host: Option<&str>, port| Outside { scheme, host: host.map(str::to_owned), port };
        let said: &[(&str, &str)] = &[("x-forwarded-proto", "https"), ("x-forwarded-host", "hub.example")];
        let hub = || outside(Some("https"), Some("hub.example"), None);
        for (peer, counts) in [
            ("127.0.0.1", true),
            ("10.1.2.3", true),
            ("172.17.0.1", true),
            ("192.168.1.1", true),
            ("169.254.1.1", true),
            ("100.64.0.1", true),
            ("::1", true),
            ("fd00::1", true),
            ("fe80::1", true),
            ("::ffff:10.1.2.3", true),
            ("192.0.2.9", false),
            ("100.128.0.1", false),
            ("::ffff:192.0.2.9", false),
            ("2001:db8::1", false),
        ] {
            let expected = if counts { hub() } else { Outside::default() };
            assert_eq!(Outside::of(&headers(said), peer.parse().ok(), &[]), expected, "{peer}");
        }
        let trusted = ["192.0.2.0/24".parse().unwrap()];
        assert_eq!(Outside::of(&headers(said), "192.0.2.9".parse().ok(), &trusted), hub());
        assert_eq!(Outside::of(&headers(said), None, &[]), hub());
    }

    #[test]
    fn each_thing_is_taken_from_the_first_header_that_says_it() {
        type Case<'a> = (&'a [(&'a str, &'a str)], Option<&'static str>, Option<&'a str>, Option<u16>);
        let cases: [Case<'_>; 16] = [
            (
                &[("forwarded", "for=1.2.3.4;proto=HTTPS;host=\"a.example\", for=x")],
                Some("https"),
                Some("a.example"),
                None,
            ),
            (&[("forwarded", "for=1.2.3.4"), ("x-forwarded-proto", "https")], Some("https"), None, None),
            (
                &[("forwarded", "host=a.example"), ("x-forwarded-proto", "https")],
                Some("https"),
                Some("a.example"),
                None,
            ),
            (
                &[("forwarded", "proto=https"), ("x-forwarded-host", "b.example")],
                Some("https"),
                Some("b.example"),
                None,
            ),
            (
                &[("forwarded", "host=a.example"), ("x-forwarded-host", "b.example")],
                None,
                Some("a.example"),
                None,
            ),
            (
                &[("x-forwarded-host", "b.example, c.example"), ("x-forwarded-proto", "https,http")],
                Some("https"),
                Some("b.example"),
                None,
            ),
            (&[("x-forwarded-port", "8443")], None, None, Some(8443)),
            (&[("x-forwarded-port", "8443, 80")], None, None, Some(8443)),
            (&[("x-forwarded-port", "443")], None, None, None),
            (&[("x-forwarded-port", "99999")], None, None, None),
            (&[("x-forwarded-proto", "gopher")], None, None, None),
            (&[("x-forwarded-host", "user:pass@evil.example")], None, None, None),
            (&[("x-forwarded-host", "evil.example/path")], None, None, None),
            (&[("x-forwarded-host", "a.example:notaport")], None, None, None),
            (&[("x-forwarded-host", "[2001:db8::1]:5000")], None, Some("[2001:db8::1]:5000"), None),
            (
                &[("forwarded", "host=user@a.example"), ("x-forwarded-host", "b.example")],
                None,
                Some("b.example"),
                None,
            ),
        ];
        for (pairs, scheme, host, port) in cases {
            let expected = Outside { scheme, host: host.map(str::to_owned), port };
            assert_eq!(Outside::of(&headers(pairs), None, &[]), expected, "{pairs:?}");
        }
    }
}
