//! A private reader of a header, for a fuzz target.

use http::{HeaderMap, HeaderValue, header};

use crate::content_range::ContentRange;

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
