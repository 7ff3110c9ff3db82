//! Private readers of headers, for fuzz targets.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use registry_types::Network;

use crate::{content_range::ContentRange, forwarded};

/// Reads bytes as a `Content-Range`.
///
/// # Panics
/// If a range ends before it begins, or beyond what a number can say.
pub fn content_range(bytes: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(bytes) else { return };
    let headers = HeaderMap::from_iter([(header::CONTENT_RANGE, value)]);
    match ContentRange::of(&headers) {
        Ok(Some(range)) => assert!(range.length > 0 && range.start.checked_add(range.length - 1).is_some()),
        Ok(None) => unreachable!("the header is there"),
        Err(error) => assert!(error.to_string().len() < 400, "an error repeats little of the header"),
    }
}

/// Reads lines `name: value` as the headers of a request that came through proxies.
///
/// # Panics
/// If a host is taken that can not stand in a URL, or a client of whom no proxy is trusted to speak.
pub fn forwarded(text: &str) {
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(value.trim()).ok()?))
    };
    let mut headers = HeaderMap::new();
    for (name, value) in text.lines().take(100).filter_map(header) {
        headers.append(name, value);
    }
    let near: IpAddr = [10, 0, 0, 1].into();
    let everything: Vec<Network> =
        ["0.0.0.0/0", "::/0"].iter().filter_map(|text| text.parse().ok()).collect();
    assert_eq!(forwarded::client(&headers, Some(near), &[]), Some(near));
    assert!(forwarded::client(&headers, Some(near), &everything).is_some());
    let outside = forwarded::Outside::of(&headers, Some(near), &[]);
    if let Some(host) = outside.host {
        assert_eq!(forwarded::valid_host(&host), Some(host));
    }
}
