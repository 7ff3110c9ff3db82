use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use registry_outbound::Credentials;
use thiserror::Error;
use zeroize::Zeroizing;

/// How many headers a webhook adds at most.
pub const HEADERS_MAX: usize = 16;

/// How long the names and values of these headers are at most, together.
pub const HEADERS_BYTES_MAX: usize = 4096;

/// Headers that a webhook adds to each request: `Authorization` for the receiver. They are secrets: `Debug` shows their names alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(HeaderMap);

/// Why headers can not be added.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeadersError {
    /// No name of a header, or no value.
    #[error("{0:?} is no header, or its value has signs that a header can not have")]
    Syntax(String),
    /// The registry makes it, or a connection does.
    #[error("the header {0} is made by the registry")]
    Made(HeaderName),
    /// One that users may not set.
    #[error(
        "the header {0} can not be set: Authorization can, and those that begin with X-, but for forwarded ones"
    )]
    Forbidden(HeaderName),
    /// Too many.
    #[error("there are at most {HEADERS_MAX} headers")]
    Many,
    /// Too long.
    #[error("headers have at most {HEADERS_BYTES_MAX} bytes, names and values together")]
    Long,
}

/// Whose headers they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// An operator may set all but what the registry makes.
    Operators,
    /// A user may set `Authorization`, and what begins with `X-` and is not believed by proxies.
    Users,
}

impl Headers {
    /// Reads headers: names in any case, each with its values.
    ///
    /// # Errors
    /// [`HeadersError`].
    pub fn new(of: Of, headers: &BTreeMap<String, Vec<String>>) -> Result<Headers, HeadersError> {
        let bytes: usize = headers.iter().map(|(name, values)| name.len() + values.concat().len()).sum();
        if bytes > HEADERS_BYTES_MAX {
            return Err(HeadersError::Long);
        }
        if headers.values().map(Vec::len).sum::<usize>() > HEADERS_MAX {
            return Err(HeadersError::Many);
        }
        let mut map = HeaderMap::new();
        for (text, values) in headers {
            let name: HeaderName = text.parse().map_err(|_| HeadersError::Syntax(text.clone()))?;
            judge(of, &name)?;
            for value in values {
                let value = HeaderValue::try_from(value).map_err(|_| HeadersError::Syntax(text.clone()))?;
                map.append(&name, sensitive(value));
            }
        }
        Ok(Headers(map))
    }

    /// The same with a user and a password, unless they say another `Authorization`.
    pub(crate) fn with_credentials(mut self, credentials: &Credentials) -> Headers {
        let text = Zeroizing::new(format!("{}:{}", credentials.user, credentials.password));
        if let Ok(value) = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(text.as_bytes()))) {
            self.0.entry(header::AUTHORIZATION).or_insert(sensitive(value));
        }
        self
    }

    /// The headers.
    pub fn as_map(&self) -> &HeaderMap {
        &self.0
    }

    /// As [`new`](Self::new) reads them.
    pub fn to_lists(&self) -> BTreeMap<String, Vec<String>> {
        let mut lists: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in &self.0 {
            let value = value.to_str().unwrap_or_default().to_owned();
            lists.entry(name.as_str().to_owned()).or_default().push(value);
        }
        lists
    }
}

/// Keeps a value out of what is printed.
fn sensitive(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

fn judge(of: Of, name: &HeaderName) -> Result<(), HeadersError> {
    let text = name.as_str();
    let is_made = text.starts_with("webhook-")
        || text.starts_with("x-hub-signature")
        || matches!(
            text,
            "host" | "content-length" | "transfer-encoding" | "connection" | "te" | "trailer" | "upgrade"
        );
    // What these say is believed by servers behind a proxy.
    let is_believed = text.starts_with("x-forwarded-") || matches!(text, "x-real-ip" | "x-original-url");
    let is_users = text == "authorization" || text.starts_with("x-") && !is_believed;
    match of {
        _ if is_made => Err(HeadersError::Made(name.clone())),
        Of::Users if !is_users => Err(HeadersError::Forbidden(name.clone())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(of: Of, name: &str, value: &str) -> Result<Headers, HeadersError> {
        Headers::new(of, &BTreeMap::from([(name.to_owned(), vec![value.to_owned()])]))
    }

    #[test]
    fn operators_set_what_is_not_made_and_users_a_few() {
        for (name, operators, users) in [
            ("Authorization", true, true),
            ("X-Token", true, true),
            ("Cookie", true, false),
            ("Content-Type", true, false),
            ("X-Forwarded-For", true, false),
            ("X-Real-IP", true, false),
            ("Host", false, false),
            ("webhook-id", false, false),
            ("X-Hub-Signature-256", false, false),
            ("Transfer-Encoding", false, false),
            ("no header", false, false),
        ] {
            let seen = [read(Of::Operators, name, "a").is_ok(), read(Of::Users, name, "a").is_ok()];
            assert_eq!(seen, [operators, users], "{name}");
        }
        assert!(read(Of::Operators, "X-A", "a\r\nX-B: c").is_err());
    }

    #[test]
    fn headers_are_bounded_and_do_not_show_their_values() {
        let long = "a".repeat(HEADERS_BYTES_MAX);
        assert_eq!(read(Of::Operators, "X-A", &long), Err(HeadersError::Long));
        let many = BTreeMap::from([("X-A".to_owned(), vec!["b".to_owned(); HEADERS_MAX + 1])]);
        assert_eq!(Headers::new(Of::Operators, &many), Err(HeadersError::Many));
        let headers = read(Of::Users, "Authorization", "Bearer hidden").unwrap();
        assert!(!format!("{headers:?}").contains("hidden"), "{headers:?}");
        let lists = headers.to_lists();
        assert_eq!(lists, BTreeMap::from([("authorization".into(), vec!["Bearer hidden".into()])]));
        assert_eq!(Headers::new(Of::Users, &lists), Ok(headers));
    }
}
