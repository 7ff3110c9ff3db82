//! What is checked of a configured store before its client gets it: the client panics where an address, or a text for a
//! header, can not stand in a request.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
#[cfg(feature = "s3")]
use http::HeaderValue;
use http::Uri;
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
#[cfg(feature = "s3")]
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
    match Url::parse(text).ok().filter(|url| text.is_ascii() && is_web(url)) {
        Some(url) if text.parse::<Uri>().is_ok() && url.as_str().parse::<Uri>().is_ok() => Ok(()),
        _ => Err(wrong(format!("{what} comes to {text:?}, which is not the URL of a server"))),
    }
}

/// Whether the host of a URL is a number, in front of which no name can stand.
#[cfg(feature = "s3")]
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

#[cfg(all(test, feature = "s3", feature = "gcs", feature = "azure"))]
mod arbitrary {
    use std::time::Duration;

    use proptest::prelude::*;

    use crate::{
        AzureCredentials, AzureOptions, GcsCredentials, GcsOptions, ObjectBlobStore, ObjectOptions,
        S3Credentials, S3Encryption, S3Options, Secret, StorageError,
    };

    /// Nothing listens there.
    const NOWHERE: &str = "http://127.0.0.1:1";

    /// For what a client does before it waits for the network.
    const PATIENCE: Duration = Duration::from_millis(20);

    fn anything() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>(),
            "[ -~]{0,20}",
            "[a-z0-9.:/@?#%_-]{0,20}",
            "https?://[a-z0-9.:/@?#%\\[\\]-]{0,20}",
            "https?://(127.0.0.1|\\[::1\\]|localhost):[0-9]{0,6}/?[a-z]?",
            Just("\n".to_owned()),
        ]
    }

    fn s3(key: usize, value: &str, path_style: bool) -> S3Options {
        let secret = || Secret::new(value);
        let mut options = S3Options {
            bucket: "bucket".into(),
            endpoint: Some(NOWHERE.into()),
            path_style: true,
            credentials: Some(S3Credentials { key_id: "id".into(), secret: Secret::new("s"), token: None }),
            ..S3Options::default()
        };
        let key_of =
            |key_id: &str, secret, token| Some(S3Credentials { key_id: key_id.into(), secret, token });
        match key {
            0 => options.bucket = value.into(),
            1 => options.region = Some(value.into()),
            2 => (options.endpoint, options.path_style) = (Some(value.into()), path_style),
            3 => options.redirect_endpoint = Some(value.into()),
            4 => options.credentials = key_of(value, Secret::new("s"), None),
            5 => options.credentials = key_of("id", secret(), None),
            6 => options.credentials = key_of("id", Secret::new("s"), Some(secret())),
            7 => options.encryption = S3Encryption::Kms { key_id: value.into() },
            8 => options.storage_class = Some(value.into()),
            9 => options.user_agent = Some(value.into()),
            _ => options.common = ObjectOptions { prefix: value.into(), ..ObjectOptions::default() },
        }
        options
    }

    fn gcs(key: usize, value: &str) -> GcsOptions {
        let credentials = GcsCredentials::Anonymous;
        let mut options = GcsOptions { bucket: "b".into(), credentials, ..GcsOptions::default() };
        options.endpoint = Some(NOWHERE.into());
        match key {
            0 => options.bucket = value.into(),
            1 => options.endpoint = Some(value.into()),
            2 => options.credentials = GcsCredentials::File(value.into()),
            3 => options.credentials = GcsCredentials::Key(Secret::new(value)),
            4 => options.user_agent = Some(value.into()),
            _ => options.common = ObjectOptions { prefix: value.into(), ..ObjectOptions::default() },
        }
        options
    }

    fn azure(key: usize, value: &str) -> AzureOptions {
        let mut options = AzureOptions {
            account: "account".into(),
            container: "container".into(),
            credentials: AzureCredentials::SharedKey(Secret::new("a2V5")),
            endpoint: Some(NOWHERE.into()),
            ..AzureOptions::default()
        };
        let application = |client_id: &str, tenant_id: &str, secret: &str| AzureCredentials::ClientSecret {
            client_id: client_id.into(),
            tenant_id: tenant_id.into(),
            secret: Secret::new(secret),
        };
        match key {
            0 => options.account = value.into(),
            1 => options.container = value.into(),
            2 => options.endpoint = Some(value.into()),
            3 => options.credentials = AzureCredentials::SharedKey(Secret::new(value)),
            4 => options.credentials = application(value, "t", "s"),
            5 => options.credentials = application("c", value, "s"),
            6 => options.credentials = application("c", "t", value),
            _ => options.common = ObjectOptions { prefix: value.into(), ..ObjectOptions::default() },
        }
        options
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(192))]

        #[test]
        fn whatever_is_configured_a_store_is_refused_and_nothing_panics(
            store in 0..3, key in 0..11usize, value in anything(), path_style in any::<bool>(),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let outcome = runtime.block_on(async { tokio::time::timeout(PATIENCE, async {
                match store {
                    0 => ObjectBlobStore::open_s3(&s3(key, &value, path_style)).await,
                    1 => ObjectBlobStore::open_gcs(&gcs(key % 6, &value)).await,
                    _ => ObjectBlobStore::open_azure(&azure(key % 8, &value)).await,
                }
            }).await });
            runtime.shutdown_background();
            if let Ok(Err(StorageError::Setup { reason })) = &outcome {
                prop_assert!(!reason.contains("its client can not work"), "{store} {key} {value:?}: {reason}");
            }
            prop_assert!(!matches!(outcome, Ok(Ok(_))));
        }
    }
}
