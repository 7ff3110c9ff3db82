use std::{fmt, net::IpAddr, str::FromStr};

use reqwest::Url;

use crate::UrlError;

/// The longest URL, in bytes.
pub const URL_BYTES_MAX: usize = 2048;

/// What a text in an error shows of a URL.
const SHOWN_CHARS: usize = 64;

/// A URL that can be asked: `https` or `http`, a host, no credentials, no fragment, at most [`URL_BYTES_MAX`].
///
/// The host is in the form that connections use: `http://0x7f.1/` is `http://127.0.0.1/`, and a name in other letters is
/// written in ASCII. Source: WHATWG URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination(Url);

/// What stands for the host.
pub(crate) enum Host<'a> {
    Name(&'a str),
    Address(IpAddr),
}

impl Destination {
    pub(crate) fn url(&self) -> &Url {
        &self.0
    }

    /// The host as it is written.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    pub(crate) fn kind_of_host(&self) -> Host<'_> {
        let host = self.host();
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        bare.parse().map_or(Host::Name(host), Host::Address)
    }

    /// The port, also where the scheme alone says it.
    pub fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or_default()
    }

    /// Whether the connection is encrypted.
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// The URL as it is asked.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for Destination {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Destination, UrlError> {
        if text.len() > URL_BYTES_MAX {
            return Err(UrlError::Long { bytes: text.len(), max: URL_BYTES_MAX });
        }
        let url = Url::parse(text).map_err(|_| UrlError::Syntax(text.chars().take(SHOWN_CHARS).collect()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(UrlError::Scheme(url.scheme().chars().take(SHOWN_CHARS).collect()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlError::Credentials);
        }
        if url.fragment().is_some() {
            return Err(UrlError::Fragment);
        }
        Ok(Destination(url))
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_can_be_asked() {
        for (text, host, port, is_https) in [
            ("https://example.com/hook?a=b", "example.com", 443, true),
            ("http://example.com:8080", "example.com", 8080, false),
            ("HTTPS://EXAMPLE.com", "example.com", 443, true),
            ("http://0x7f.1/", "127.0.0.1", 80, false),
            ("http://2130706433/", "127.0.0.1", 80, false),
            ("http://[::1]:5000/", "[::1]", 5000, false),
            ("https://münchen.example/", "xn--mnchen-3ya.example", 443, true),
        ] {
            let url: Destination = text.parse().unwrap();
            assert_eq!((url.host(), url.port(), url.is_https()), (host, port, is_https), "{text}");
        }
    }

    #[test]
    fn all_else_is_refused_by_name() {
        for (text, error) in [
            ("example.com", "\"example.com\" is no URL"),
            ("https://", "\"https://\" is no URL"),
            ("file:///etc/passwd", "a URL begins with https:// or http://, and not with file:"),
            ("https://ann@example.com/", "a URL has no user and no password"),
            ("https://:secret@example.com/", "a URL has no user and no password"),
            ("https://example.com/#a", "a URL has no part after #"),
        ] {
            assert_eq!(text.parse::<Destination>().unwrap_err().to_string(), error, "{text}");
        }
        let long = format!("https://example.com/{}", "a".repeat(URL_BYTES_MAX));
        assert!(matches!(long.parse::<Destination>(), Err(UrlError::Long { .. })));
    }
}
