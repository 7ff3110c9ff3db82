//! The id under which a request stands in the logs.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering},
};

use http::{HeaderMap, HeaderName, HeaderValue};

/// Under which a proxy says the id of a request, and every answer says it.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken over from a client or proxy.
const ID_BYTES_MAX: usize = 64;

/// Makes ids for requests that bring none.
#[derive(Debug)]
pub(crate) struct RequestIds {
    server: u64,
    next: AtomicU64,
}

impl Default for RequestIds {
    fn default() -> RequestIds {
        RequestIds { server: RandomState::new().hash_one("server"), next: AtomicU64::new(0) }
    }
}

impl RequestIds {
    /// The id of a request with these headers.
    pub(crate) fn of(&self, headers: &HeaderMap) -> RequestId {
        let given = headers.get(X_REQUEST_ID).filter(|id| is_harmless(id.as_bytes()));
        RequestId(given.cloned().unwrap_or_else(|| self.make()))
    }

    fn make(&self) -> HeaderValue {
        let id = format!("{:016x}{:08x}", self.server, self.next.fetch_add(1, Ordering::Relaxed));
        HeaderValue::try_from(id).expect("hexadecimal digits fit a header")
    }
}

/// An id: what a proxy gave, if that is harmless in a log, or one of our own: unique, not secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    /// Shares nothing with the request any more.
    pub(crate) fn copy(&mut self) {
        self.0 = copied(&self.0);
    }

    /// As it stands in logs.
    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// For the answer.
    pub(crate) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

/// The same value in memory of its own.
pub(crate) fn copied(value: &HeaderValue) -> HeaderValue {
    HeaderValue::from_bytes(value.as_bytes()).expect("a header's value is one")
}

impl fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

fn is_harmless(id: &[u8]) -> bool {
    let harmless = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=ID_BYTES_MAX).contains(&id.len()) && id.iter().all(harmless)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_harmless_ids_are_taken_over() {
        let ids = RequestIds::default();
        let with =
            |id: &str| ids.of(&HeaderMap::from_iter([(X_REQUEST_ID, id.parse().unwrap())])).to_string();
        assert_eq!(with("abc-1.2_3"), "abc-1.2_3");
        assert_ne!(with("a b"), "a b");
        assert_ne!(with(&"a".repeat(65)).len(), 65);
        assert_ne!(ids.of(&HeaderMap::new()), ids.of(&HeaderMap::new()));
        assert_ne!(ids.of(&HeaderMap::new()), RequestIds::default().of(&HeaderMap::new()));
    }
}
