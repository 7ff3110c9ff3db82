//! How the registry is called from outside: what `Location` headers begin with.

use http::{HeaderMap, header, uri::Authority};

use crate::settings::Settings;

/// What stands before `/v2/` in the URLs of an answer: nothing but the prefix for relative URLs, otherwise scheme and
/// host too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Links {
    base: String,
    prefix: String,
}

impl Links {
    /// From, in this order: the configured external URL, relative URLs if configured, `Forwarded` (RFC 7239, first
    /// element), `X-Forwarded-Proto` and `X-Forwarded-Host` (first item), the request itself. What a client forges
    /// there comes back to that client alone.
    pub(crate) fn new(
        settings: &Settings,
        headers: &HeaderMap,
        authority: Option<&Authority>,
        tls: bool,
    ) -> Links {
        let prefix = settings.prefix.trim_end_matches('/').to_owned();
        if let Some(external) = &settings.host {
            return Links { base: format!("{}{prefix}", external.trim_end_matches('/')), prefix };
        }
        if settings.relative_urls {
            return Links { base: prefix.clone(), prefix };
        }
        let (forwarded_scheme, forwarded_host) = forwarded(headers);
        let host = forwarded_host
            .or_else(|| text(headers, header::HOST.as_str()).and_then(valid_host))
            .or_else(|| authority.map(Authority::to_string));
        let scheme = forwarded_scheme.unwrap_or(if tls { "https" } else { "http" });
        Links {
            base: host.map_or_else(|| prefix.clone(), |host| format!("{scheme}://{host}{prefix}")),
            prefix,
        }
    }

    /// A URL below `/v2/`.
    pub(crate) fn url(&self, path: impl std::fmt::Display) -> String {
        format!("{}/v2/{path}", self.base)
    }

    /// A path below `/v2/`, for `Link` headers, which clients resolve against what they asked for.
    pub(crate) fn path(&self, path: impl std::fmt::Display) -> String {
        format!("{}/v2/{path}", self.prefix)
    }
}

fn forwarded(headers: &HeaderMap) -> (Option<&'static str>, Option<String>) {
    if let Some(element) = text(headers, "forwarded").and_then(|value| value.split(',').next()) {
        let field = |name: &str| {
            let pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
            let mut values = pairs.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
            values.next().map(|value| value.trim_matches('"'))
        };
        return (field("proto").and_then(scheme), field("host").and_then(valid_host));
    }
    let first = |name| text(headers, name).and_then(|value| value.split(',').next()).map(str::trim);
    (first("x-forwarded-proto").and_then(scheme), first("x-forwarded-host").and_then(valid_host))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn scheme(text: &str) -> Option<&'static str> {
    ["http", "https"].into_iter().find(|known| text.eq_ignore_ascii_case(known))
}

fn valid_host(text: &str) -> Option<String> {
    let authority: Authority = text.parse().ok()?;
    (!authority.as_str().contains('@')).then(|| authority.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn base(settings: Settings, pairs: &[(&str, &str)], tls: bool) -> String {
        let headers = pairs.iter().map(|(name, value)| {
            (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
        });
        Links::new(&settings, &headers.collect(), None, tls).base
    }

    #[test]
    fn the_first_that_says_something_counts() {
        let defaults = Settings::default;
        let host = ("host", "registry.example:5000");
        type Case<'a> = (Settings, &'a [(&'a str, &'a str)], bool, &'a str);
        let cases: [Case<'_>; 10] = [
            (defaults(), &[host], false, "http://registry.example:5000"),
            (defaults(), &[host], true, "https://registry.example:5000"),
            (defaults(), &[host, ("x-forwarded-proto", "https")], false, "https://registry.example:5000"),
            (
                defaults(),
                &[host, ("x-forwarded-proto", "https, http"), ("x-forwarded-host", "hub.example, b")],
                false,
                "https://hub.example",
            ),
            (
                defaults(),
                &[host, ("forwarded", "for=1.2.3.4;proto=https;host=\"hub.example\", for=x")],
                false,
                "https://hub.example",
            ),
            (defaults(), &[host, ("x-forwarded-proto", "gopher")], false, "http://registry.example:5000"),
            (defaults(), &[("host", "user@evil")], false, ""),
            (defaults(), &[], false, ""),
            (Settings { relative_urls: true, ..defaults() }, &[host], false, ""),
            (
                Settings { host: Some("https://out.example/".into()), prefix: "/reg/".into(), ..defaults() },
                &[host, ("x-forwarded-host", "hub.example")],
                false,
                "https://out.example/reg",
            ),
        ];
        for (settings, headers, tls, expected) in cases {
            assert_eq!(base(settings, headers, tls), expected, "{headers:?}");
        }
    }

    #[test]
    fn relative_urls_keep_the_prefix() {
        let settings = Settings { relative_urls: true, prefix: "/reg/".into(), ..Settings::default() };
        assert_eq!(
            Links::new(&settings, &HeaderMap::new(), None, false).url("a/blobs/x"),
            "/reg/v2/a/blobs/x"
        );
    }
}
