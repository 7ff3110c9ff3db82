//! Private readers of headers, for a fuzz target.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};
use registry_types::Network;

use crate::forwarded;

/// Reads lines `name: value` as the headers of a request that came through proxies.
///
/// # Panics
/// If a host is taken that can not stand in a URL, or a client that no trusted proxy named.
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
