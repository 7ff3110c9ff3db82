use std::path::PathBuf;
use std::time::Duration;

use crate::field::Field;
use crate::nearest::nearest;

/// What changes where clients are sent for the bytes of blobs. Key `middleware.storage[]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorageMiddleware {
    /// To a server that has the files of the store. Name `redirect`.
    Redirect {
        /// Its URL. Key `baseurl`.
        base_url: String,
    },
    /// To the same place by another name. Name `rewrite`.
    Rewrite {
        /// `http` or `https`.
        scheme: Option<String>,
        /// Host, with a port if it has one.
        host: Option<String>,
        /// What is taken off the beginning of the path. Key `trimpathprefix`.
        trim_path_prefix: String,
    },
    /// To CloudFront, with a signature. Name `cloudfront`.
    CloudFront(CloudFront),
}

/// Amazon's content delivery network before a bucket. Key `middleware.storage[].options`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudFront {
    /// The URL of the distribution. Key `baseurl`.
    pub base_url: String,
    /// The file with the RSA key that signs, in PEM. Key `privatekey`.
    pub private_key: PathBuf,
    /// How CloudFront knows the key. Key `keypairid`.
    pub key_pair_id: String,
    /// For how long a URL is good; 20 minutes by default.
    pub duration: Duration,
}

const NAMES: [&str; 3] = ["redirect", "rewrite", "cloudfront"];

/// What stands under `middleware.storage`, in its order.
pub(crate) fn storage(field: &Field<'_>) -> Vec<StorageMiddleware> {
    let wanted = |item: &Field<'_>| !item.get("disabled").flag(false);
    field.items().iter().filter(|item| wanted(item)).filter_map(one).collect()
}

fn one(item: &Field<'_>) -> Option<StorageMiddleware> {
    let (name, options) = (item.get("name"), item.get("options"));
    match name.required("redirect, rewrite or cloudfront")?.as_str() {
        "redirect" => Some(StorageMiddleware::Redirect { base_url: url(&options.get("baseurl"))? }),
        "rewrite" => Some(rewrite(&options)),
        "cloudfront" => cloudfront(&options).map(StorageMiddleware::CloudFront),
        other => {
            let meant = nearest(other, NAMES).map(|word| format!(" (was {word} meant?)")).unwrap_or_default();
            name.problem(
                format!("there is no middleware {other:?}"),
                format!("redirect, rewrite or cloudfront{meant}"),
            );
            None
        }
    }
}

fn rewrite(options: &Field<'_>) -> StorageMiddleware {
    let scheme = options.get("scheme").choice(&[("http", "http"), ("https", "https")]);
    let host = |text: &str| is_host(text).then(|| text.to_owned());
    StorageMiddleware::Rewrite {
        scheme: scheme.map(str::to_owned),
        host: options.get("host").parse("a host, with a port if it has one", host),
        trim_path_prefix: options.get("trimpathprefix").text().unwrap_or_default(),
    }
}

fn cloudfront(options: &Field<'_>) -> Option<CloudFront> {
    let base_url = url(&options.get("baseurl"));
    let private_key =
        options.get("privatekey").required_path("the path of a PEM file with the RSA key that signs");
    let key_pair_id = options.get("keypairid").required("the id of the key at CloudFront");
    let by = options.get("ipfilteredby");
    if by.choice(&[("none", false), ("aws", true), ("awsregion", true)]).unwrap_or(false) {
        by.problem(
            "this version does not look up which clients are inside Amazon's network",
            "none; `storage.redirect.except` names networks whose clients are not redirected",
        );
    }
    let duration = options.get("duration").duration(Duration::from_secs(20 * 60), Duration::from_secs(60));
    Some(CloudFront { base_url: base_url?, private_key: private_key?, key_pair_id: key_pair_id?, duration })
}

/// The Go registry takes a host alone for one with https.
fn url(field: &Field<'_>) -> Option<String> {
    const EXPECTED: &str = "a URL such as https://cdn.example.com/";
    let text = field.required(EXPECTED)?;
    let text = if text.contains("://") { text } else { format!("https://{text}") };
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_web = rest.is_some_and(|rest| {
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        is_host(host) && path.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#".contains(&byte))
    });
    if !is_web {
        field.problem(format!("is {text:?}"), EXPECTED);
    }
    is_web.then_some(text)
}

/// Whether it is a host as it stands in a URL, with a port if it has one.
fn is_host(text: &str) -> bool {
    let is_of_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:[]_".contains(&byte);
    !text.is_empty() && text.bytes().all(is_of_host)
}
