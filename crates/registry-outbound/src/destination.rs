use std::{fmt, net::IpAddr, str::FromStr};

use percent_encoding::percent_decode_str;
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

    /// What a reference leads to from here, as a redirect's `Location` has it.
    ///
    /// # Errors
    /// [`UrlError`].
    pub fn join(&self, reference: &str) -> Result<Destination, UrlError> {
        let joined = self.0.join(reference).map_err(|_| UrlError::Syntax(excerpt(reference)))?;
        joined.as_str().parse()
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

/// User and password of a URL, as the header `Authorization: Basic` has them. `Debug` shows neither.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub user: String,
    /// The password, which may be empty.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(redacted)")
    }
}

impl Destination {
    /// Reads a URL that an operator configured, which may have a user and a password. They are taken out: the URL is written to
    /// logs, and they belong in a header.
    ///
    /// # Errors
    /// [`UrlError`]; never [`UrlError::Credentials`].
    pub fn parse_with_credentials(text: &str) -> Result<(Destination, Option<Credentials>), UrlError> {
        let mut url = parse(text)?;
        if url.username().is_empty() && url.password().is_none() {
            return Ok((Destination(url), None));
        }
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let credentials = Credentials {
            user: decoded(url.username()),
            password: decoded(url.password().unwrap_or_default()),
        };
        // A URL of http always can be without.
        let without = url.set_username("").and_then(|()| url.set_password(None));
        without.map(|()| (Destination(url), Some(credentials))).map_err(|()| UrlError::Credentials)
    }
}

impl FromStr for Destination {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Destination, UrlError> {
        let url = parse(text)?;
        match url.username().is_empty() && url.password().is_none() {
            true => Ok(Destination(url)),
            false => Err(UrlError::Credentials),
        }
    }
}

fn parse(text: &str) -> Result<Url, UrlError> {
    if text.len() > URL_BYTES_MAX {
        return Err(UrlError::Long { bytes: text.len(), max: URL_BYTES_MAX });
    }
    let url = Url::parse(text).map_err(|_| UrlError::Syntax(excerpt(text)))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(UrlError::Scheme(url.scheme().chars().take(SHOWN_CHARS).collect()));
    }
    if url.fragment().is_some() {
        return Err(UrlError::Fragment);
    }
    Ok(url)
}

fn excerpt(text: &str) -> String {
    text.chars().take(SHOWN_CHARS).collect()
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
    fn an_operators_url_may_have_a_user_and_a_password() {
        let of = |text| Destination::parse_with_credentials(text).unwrap();
        let (url, credentials) = of("http://ann:p%40ss%3A@example.com:8080/a?b");
        assert_eq!(url.as_str(), "http://example.com:8080/a?b");
        let expected = Credentials { user: "ann".into(), password: "p@ss:".into() };
        assert_eq!(format!("{credentials:?}"), "Some(Credentials(redacted))");
        assert_eq!(credentials, Some(expected));
        assert_eq!(of("https://token@example.com/").1.unwrap().password, "");
        assert_eq!(of("https://example.com/").1, None);
        assert!(Destination::parse_with_credentials("https://ann:x@example.com/#a").is_err());
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
