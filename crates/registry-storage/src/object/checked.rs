//! What is checked of a configured store before its client gets it: the client panics where an address, or a text for a
//! header, can not stand in a request.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use http::{HeaderValue, Uri};
use reqwest::Url;

use super::ObjectBlobStore;
use crate::StorageError;

/// Longer than any name of a bucket, an account or a region.
const NAME_BYTES_MAX: usize = 255;

/// A name of a bucket, an account, a region, a tenant: it becomes a part of a host's name or of a path.
pub(super) fn name(what: &str, name: &str) -> Result<(), StorageError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-$".contains(&byte);
    match !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(fits) && !is_dots(name) {
        true => Ok(()),
        false => Err(wrong(format!("{what} is {name:?}, not a name of letters, digits, and . _ -"))),
    }
}

fn is_dots(name: &str) -> bool {
    name.bytes().all(|byte| byte == b'.')
}

/// A text for a header. It may be secret, so that it is not repeated.
pub(super) fn header(what: &str, text: &str) -> Result<(), StorageError> {
    match HeaderValue::from_str(text) {
        Ok(_) if !text.is_empty() => Ok(()),
        _ => Err(wrong(format!("{what} is not a text of visible ASCII characters"))),
    }
}

/// An address that requests are sent to, as it stands in them.
pub(super) fn endpoint(what: &str, text: &str) -> Result<(), StorageError> {
    let is_web = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.host_str().is_some_and(|host| !host.is_empty())
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    };
    match Url::parse(text).ok().filter(is_web) {
        Some(url) if text.parse::<Uri>().is_ok() && url.as_str().parse::<Uri>().is_ok() => Ok(()),
        _ => Err(wrong(format!("{what} comes to {text:?}, which is not the URL of a server"))),
    }
}

/// Whether the host of a URL is a number, in front of which no name can stand.
pub(super) fn is_address(endpoint: &str) -> bool {
    let host = Url::parse(endpoint).ok().and_then(|url| url.host_str().map(str::to_owned));
    host.is_some_and(|host| host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok())
}

/// Opens a store; a panic of its client, over what only the environment told it, is an error too.
pub(super) async fn guarded(
    open: impl Future<Output = Result<ObjectBlobStore, StorageError>>,
) -> Result<ObjectBlobStore, StorageError> {
    match AssertUnwindSafe(open).catch_unwind().await {
        Ok(opened) => opened,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text =
                text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason was given");
            Err(wrong(format!(
                "its client can not work with what is configured, or with the environment: {text}"
            )))
        }
    }
}

pub(super) fn wrong(reason: String) -> StorageError {
    StorageError::Setup { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_not_stand_in_a_request_is_refused() {
        for text in
            ["http://127.0.0.1:9000", "https://minio", "http://my_minio:9000/path", "http://[::1]:9000"]
        {
            assert!(endpoint("e", text).is_ok(), "{text}");
        }
        for text in [
            "",
            "minio:9000",
            "http://",
            "http://docker.127.0.0.1:9000",
            "http://a b",
            "http://a:b@c",
            "http://minio:99999",
            "ftp://minio",
            "http://minio/?a=b",
            "http://minio/\u{e4}",
            "http://min\u{0}io",
        ] {
            assert!(endpoint("e", text).is_err(), "{text}");
        }
        for (text, is) in [("http://10.0.0.1", true), ("https://[::1]:9000", true), ("http://minio:1", false)]
        {
            assert_eq!(is_address(text), is, "{text}");
        }
        assert!(name("n", "images.example").is_ok() && name("n", "$root").is_ok());
        for text in ["", "a/b", "a b", "..", "a\n", "\u{e4}", &"a".repeat(300)] {
            assert!(name("n", text).is_err(), "{text}");
        }
        assert!(header("h", "AKIA/+=").is_ok());
        assert!(header("h", "a\nb").is_err() && header("h", "").is_err());
    }
}
