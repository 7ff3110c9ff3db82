//! The id under which a request stands in the logs.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use http::HeaderMap;

use crate::response::X_REQUEST_ID;

/// The longest id that is taken over from a client or proxy.
const ID_BYTES_MAX: usize = 64;

static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one("process"));
static NEXT: AtomicU64 = AtomicU64::new(0);

/// The id that a proxy gave, if it is harmless in a log, or one of our own: unique, not secret.
pub(crate) fn of(headers: &HeaderMap) -> String {
    let given = headers.get(X_REQUEST_ID).and_then(|value| value.to_str().ok());
    let is_harmless = |id: &&str| {
        let harmless = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(harmless)
    };
    match given.filter(is_harmless) {
        Some(id) => id.to_owned(),
        None => format!("{:016x}{:08x}", *PROCESS, NEXT.fetch_add(1, Ordering::Relaxed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_harmless_ids_are_taken_over() {
        let with = |id: &str| of(&HeaderMap::from_iter([(X_REQUEST_ID, id.parse().unwrap())]));
        assert_eq!(with("abc-1.2_3"), "abc-1.2_3");
        assert_ne!(with("a b"), "a b");
        assert_ne!(with(&"a".repeat(65)).len(), 65);
        assert_ne!(of(&HeaderMap::new()), of(&HeaderMap::new()));
    }
}
