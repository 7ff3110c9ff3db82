//! How the registry is called from outside: what the URLs of an answer begin with.

use std::net::IpAddr;

use http::{HeaderMap, header, uri::Authority};

use registry_server::forwarded::{Outside, valid_host};

use crate::settings::Settings;

/// What stands before `/v2/` in the URLs of an answer: nothing but a path for relative URLs, otherwise scheme and host too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Links {
    base: String,
    path: String,
}

/// What a request asks and whom, as far as it matters for the URLs of its answer.
pub(crate) struct Target<'a> {
    /// What stood before the path and was taken off.
    pub(crate) prefix: &'a str,
    pub(crate) headers: &'a HeaderMap,
    /// The host of the request's target, if it names one.
    pub(crate) authority: Option<&'a Authority>,
    /// The other end of the connection.
    pub(crate) peer: Option<IpAddr>,
    /// Whether the connection is encrypted.
    pub(crate) tls: bool,
}

impl Links {
    /// From, in this order: the configured external URL, relative URLs if configured, what a proxy says, the request itself.
    pub(crate) fn new(settings: &Settings, from: &Target<'_>) -> Links {
        if let Some(external) = &settings.host {
            return Links::below(external.trim_end_matches('/'), from.prefix);
        }
        let path = from.prefix.to_owned();
        if settings.relative_urls {
            return Links { base: path.clone(), path };
        }
        let default_scheme = if from.tls { "https" } else { "http" };
        match requested(settings, from, default_scheme) {
            Some(origin) => Links { base: format!("{origin}{path}"), path },
            None => Links { base: path.clone(), path },
        }
    }

    /// Scheme and host under which the client found the registry, for what stands beside it there: of the configured external
    /// URL, or as [`new`](Self::new) has them. Where no proxy says what the scheme is, it is `https`, as in the Go registry.
    pub(crate) fn origin(settings: &Settings, from: &Target<'_>) -> Option<String> {
        let Some(external) = &settings.host else { return requested(settings, from, "https") };
        let authority_at = external.find("://")? + 3;
        let path_at = external[authority_at..].find('/').map_or(external.len(), |at| authority_at + at);
        Some(external[..path_at].to_owned())
    }

    /// Below an external URL, whose path stands before the prefix unless it ends with it: a proxy takes it away or not.
    fn below(external: &str, prefix: &str) -> Links {
        let authority_at = external.find("://").map_or(0, |at| at + 3);
        let external_path =
            external[authority_at..].find('/').map_or("", |at| &external[authority_at + at..]);
        let prefix = if external_path.ends_with(prefix) { "" } else { prefix };
        Links { base: format!("{external}{prefix}"), path: format!("{external_path}{prefix}") }
    }

    /// A URL below `/v2/`.
    pub(crate) fn url(&self, path: impl std::fmt::Display) -> String {
        format!("{}/v2/{path}", self.base)
    }

    /// A path below `/v2/`, for `Link` headers, which clients resolve against what they asked for.
    pub(crate) fn path(&self, path: impl std::fmt::Display) -> String {
        format!("{}/v2/{path}", self.path)
    }

    /// The path of an endpoint, given that without prefix.
    pub(crate) fn moved(&self, endpoint: &str) -> String {
        format!("{}{endpoint}", self.path)
    }

    /// What clients call the registry: what stands before the name of a repository.
    pub(crate) fn name(&self) -> Option<&str> {
        let (_, rest) = self.base.split_once("://")?;
        rest.split('/').next()
    }
}

impl Target<'_> {
    /// The host that the request itself names, perhaps with a port: what a proxy in front was asked for is not looked at.
    pub(crate) fn host(&self) -> Option<String> {
        let named = self.headers.get(header::HOST).and_then(|value| value.to_str().ok());
        named.and_then(valid_host).or_else(|| valid_host(self.authority?.as_str()))
    }
}

/// Scheme and host, from what a proxy says or the request itself.
fn requested(settings: &Settings, from: &Target<'_>, default_scheme: &'static str) -> Option<String> {
    let outside = Outside::of(from.headers, from.peer, &settings.trusted_proxies);
    let mut host = outside.host.or_else(|| from.host())?;
    if let Some(port) = outside.port
        && !has_port(&host)
    {
        host = format!("{host}:{port}");
    }
    Some(format!("{}://{host}", outside.scheme.unwrap_or(default_scheme)))
}

fn has_port(host: &str) -> bool {
    host.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origin_is_https_unless_something_says_otherwise() {
        let origin = |host: Option<&str>, pairs: &[(&str, &str)]| {
            let settings = Settings { host: host.map(str::to_owned), ..Settings::default() };
            let headers = pairs.iter().map(|(name, value)| {
                (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
            });
            let (headers, peer) = (headers.collect(), "127.0.0.1".parse().ok());
            let target = Target { prefix: "", headers: &headers, authority: None, peer, tls: false };
            Links::origin(&settings, &target)
        };
        let host = ("host", "registry.example:5000");
        assert_eq!(origin(None, &[host]).unwrap(), "https://registry.example:5000");
        assert_eq!(
            origin(None, &[host, ("x-forwarded-proto", "http")]).unwrap(),
            "http://registry.example:5000"
        );
        assert_eq!(
            origin(Some("http://outside.example/registry/"), &[host]).unwrap(),
            "http://outside.example"
        );
        assert_eq!(origin(Some("https://outside.example"), &[]).unwrap(), "https://outside.example");
        assert_eq!(origin(None, &[]), None);
    }
    use http::{HeaderName, HeaderValue};

    fn links(settings: &Settings, pairs: &[(&str, &str)], peer: &str, tls: bool) -> Links {
        let headers = pairs.iter().map(|(name, value)| {
            (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
        });
        let headers = headers.collect();
        let prefix = settings.prefix.trim_end_matches('/');
        Links::new(
            settings,
            &Target { prefix, headers: &headers, authority: None, peer: peer.parse().ok(), tls },
        )
    }

    #[test]
    fn the_first_that_says_something_counts() {
        let host = ("host", "registry.example:5000");
        let bare = ("host", "registry.example");
        type Case<'a> = (&'a [(&'a str, &'a str)], bool, &'a str);
        let cases: [Case<'_>; 15] = [
            (&[host], false, "http://registry.example:5000"),
            (&[host], true, "https://registry.example:5000"),
            (&[host, ("x-forwarded-proto", "https")], false, "https://registry.example:5000"),
            (
                &[host, ("x-forwarded-proto", "https"), ("x-forwarded-host", "a.example, b")],
                false,
                "https://a.example",
            ),
            (
                &[host, ("forwarded", "for=1.2.3.4;proto=https;host=\"a.example\"")],
                false,
                "https://a.example",
            ),
            (
                &[host, ("forwarded", "for=1.2.3.4"), ("x-forwarded-proto", "https")],
                false,
                "https://registry.example:5000",
            ),
            (
                &[bare, ("x-forwarded-port", "8443"), ("x-forwarded-proto", "https")],
                false,
                "https://registry.example:8443",
            ),
            (&[host, ("x-forwarded-port", "8443")], false, "http://registry.example:5000"),
            (
                &[bare, ("x-forwarded-port", "443"), ("x-forwarded-proto", "https")],
                false,
                "https://registry.example",
            ),
            (&[("host", "[2001:db8::1]"), ("x-forwarded-port", "8443")], true, "https://[2001:db8::1]:8443"),
            (&[host, ("x-forwarded-proto", "gopher")], false, "http://registry.example:5000"),
            (&[host, ("x-forwarded-host", "user:pass@evil.example")], false, "http://registry.example:5000"),
            (&[("host", "user@evil")], false, ""),
            (&[("host", "user:pass@evil.example:80")], false, ""),
            (&[], false, ""),
        ];
        for (headers, tls, expected) in cases {
            let links = links(&Settings::default(), headers, "127.0.0.1", tls);
            assert_eq!(links.base, expected, "{headers:?}");
        }
        let public = [host, ("x-forwarded-host", "a.example"), ("x-forwarded-proto", "https")];
        assert_eq!(
            links(&Settings::default(), &public, "192.0.2.1", false).base,
            "http://registry.example:5000"
        );
    }

    #[test]
    fn a_host_of_the_target_has_no_user_either() {
        for (target, expected) in
            [("user:pass@evil.example", ""), ("registry.example", "http://registry.example")]
        {
            let (authority, headers) = (target.parse().unwrap(), HeaderMap::new());
            let from =
                Target { prefix: "", headers: &headers, authority: Some(&authority), peer: None, tls: false };
            assert_eq!(Links::new(&Settings::default(), &from).base, expected);
        }
    }

    #[test]
    fn the_path_of_the_external_url_is_in_every_url() {
        let cases = [
            ("https://x.example", "/", "https://x.example/v2/a", "/v2/a"),
            ("https://x.example/", "/", "https://x.example/v2/a", "/v2/a"),
            ("https://x.example/sub", "/", "https://x.example/sub/v2/a", "/sub/v2/a"),
            (
                "https://x.example:8443/sub/deep/",
                "/",
                "https://x.example:8443/sub/deep/v2/a",
                "/sub/deep/v2/a",
            ),
            ("https://x.example", "/pre/", "https://x.example/pre/v2/a", "/pre/v2/a"),
            ("https://x.example/sub", "/pre/", "https://x.example/sub/pre/v2/a", "/sub/pre/v2/a"),
            // Said twice, as the Go registry wants it.
            ("https://x.example/pre", "/pre/", "https://x.example/pre/v2/a", "/pre/v2/a"),
            ("https://x.example/sub/pre/", "/pre/", "https://x.example/sub/pre/v2/a", "/sub/pre/v2/a"),
        ];
        for (host, prefix, url, path) in cases {
            for relative_urls in [false, true] {
                let (host, prefix) = (Some(host.to_owned()), prefix.to_owned());
                let settings = Settings { host, prefix, relative_urls, ..Settings::default() };
                let links = links(&settings, &[("x-forwarded-host", "other.example")], "127.0.0.1", false);
                assert_eq!((links.url("a"), links.path("a")), (url.to_owned(), path.to_owned()));
                assert_eq!(links.moved("/v2/a"), path);
            }
        }
    }

    #[test]
    fn relative_urls_keep_the_prefix() {
        let settings = Settings { relative_urls: true, prefix: "/reg/".into(), ..Settings::default() };
        assert_eq!(links(&settings, &[], "127.0.0.1", false).url("a/blobs/x"), "/reg/v2/a/blobs/x");
    }
}
