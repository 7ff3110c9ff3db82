//! `Content-Range` of an upload's chunk.

use http::{HeaderMap, header};

/// Where a chunk lies in its blob. Spec: distribution-spec, "Pushing a blob in chunks": `^[0-9]+-[0-9]+$`, both ends
/// inclusive. The form of RFC 9110 (`bytes 0-9/*`) is understood as well, since HTTP libraries write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContentRange {
    pub(crate) start: u64,
    pub(crate) length: u64,
}

/// Why a `Content-Range` says nothing.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("Content-Range must be `<first byte>-<last byte>`, not `{text}`")]
pub(crate) struct ContentRangeError {
    text: String,
}

impl ContentRange {
    /// The header's value, if there is one.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Option<ContentRange>, ContentRangeError> {
        let Some(value) = headers.get(header::CONTENT_RANGE) else { return Ok(None) };
        let text = String::from_utf8_lossy(value.as_bytes());
        parse(&text).map(Some).ok_or_else(|| ContentRangeError { text: text.chars().take(64).collect() })
    }
}

fn parse(text: &str) -> Option<ContentRange> {
    let range = text.trim().strip_prefix("bytes ").unwrap_or(text.trim());
    let range = range.split_once('/').map_or(range, |(range, _size)| range);
    let (first, last) = range.split_once('-')?;
    let number = |digits: &str| {
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<u64>().ok()).flatten()
    };
    let (start, end) = (number(first)?, number(last)?);
    let length = end.checked_sub(start)?.checked_add(1)?;
    Some(ContentRange { start, length })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_inclusive() {
        let cases = [
            ("0-0", Some((0, 1))),
            ("10-19", Some((10, 10))),
            ("bytes 10-19/*", Some((10, 10))),
            ("bytes 10-19/20", Some((10, 10))),
            ("19-10", None),
            ("-5", None),
            ("5-", None),
            ("+1-2", None),
            ("a-b", None),
            ("", None),
            ("0-18446744073709551615", None),
            ("0-99999999999999999999", None),
        ];
        for (text, expected) in cases {
            let parsed = parse(text).map(|range| (range.start, range.length));
            assert_eq!(parsed, expected, "{text}");
        }
    }
}
