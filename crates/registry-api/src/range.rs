//! `Range` of a request for bytes. Spec: RFC 9110, section 14.

use std::ops::Range;

/// The most ranges that one request gets; more are answered as if none had been asked for, as RFC 9110 14.2 allows.
pub const RANGES_MAX: usize = 64;

/// What a `Range` header means for an object of a known size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ranges {
    /// The whole object: the header is absent, malformed, of another unit, or asks for too much work.
    Whole,
    /// One part.
    One(Range<u64>),
    /// Several parts, in the order asked for.
    Several(Vec<Range<u64>>),
    /// No part of it lies within the object.
    NotSatisfiable,
}

/// Reads a `Range` header against an object of `size_bytes`.
///
/// A malformed header is ignored, as RFC 9110 14.2 wants it; parts that lie outside are dropped; parts that add up to
/// more than the object are answered as the whole object, so that a request never costs more than that.
pub fn parse(header: &str, size_bytes: u64) -> Ranges {
    let Some(list) = header.trim().strip_prefix("bytes=") else { return Ranges::Whole };
    let mut ranges = Vec::new();
    for (index, part) in list.split(',').map(str::trim).filter(|part| !part.is_empty()).enumerate() {
        if index == RANGES_MAX {
            return Ranges::Whole;
        }
        match one(part, size_bytes) {
            None => return Ranges::Whole,
            Some(range) if range.is_empty() => {}
            Some(range) => ranges.push(range),
        }
    }
    let sum_bytes: u64 = ranges.iter().fold(0, |sum, range| sum.saturating_add(range.end - range.start));
    match ranges.len() {
        0 if list.trim_matches([',', ' ']).is_empty() => Ranges::Whole,
        0 => Ranges::NotSatisfiable,
        1 => Ranges::One(ranges.remove(0)),
        _ if sum_bytes > size_bytes => Ranges::Whole,
        _ => Ranges::Several(ranges),
    }
}

/// One part; empty if it lies outside, nothing if it is malformed.
fn one(part: &str, size_bytes: u64) -> Option<Range<u64>> {
    let (first, last) = part.split_once('-')?;
    match (number(first), number(last)) {
        (None, Some(suffix_bytes)) if first.is_empty() => {
            Some(size_bytes.saturating_sub(suffix_bytes)..size_bytes)
        }
        (Some(first), None) if last.is_empty() => Some(first.min(size_bytes)..size_bytes),
        // Not a range at all, which RFC 9110 lets us ignore; but the Go registry and the conformance suite take it for one
        // that lies outside, which tells the client more.
        (Some(first), Some(last)) if first > last => Some(0..0),
        (Some(first), Some(last)) => Some(first.min(size_bytes)..last.saturating_add(1).min(size_bytes)),
        _ => None,
    }
}

/// Digits only; a number too large for us is larger than any object.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_mean_what_the_rfc_says() {
        let several = |ranges: &[Range<u64>]| Ranges::Several(ranges.to_vec());
        let cases = [
            ("bytes=0-9", Ranges::One(0..10)),
            ("bytes=90-", Ranges::One(90..100)),
            ("bytes=-10", Ranges::One(90..100)),
            ("bytes=-1000", Ranges::One(0..100)),
            ("bytes=50-1000", Ranges::One(50..100)),
            ("bytes=0-99999999999999999999", Ranges::One(0..100)),
            ("bytes=0-0, 99-99", several(&[0..1, 99..100])),
            ("bytes=99-99,0-0", several(&[99..100, 0..1])),
            ("bytes=0-9,200-300", Ranges::One(0..10)),
            ("bytes=100-", Ranges::NotSatisfiable),
            ("bytes=-0", Ranges::NotSatisfiable),
            ("bytes=200-300,400-", Ranges::NotSatisfiable),
            ("bytes=9-0", Ranges::NotSatisfiable),
            ("bytes=", Ranges::Whole),
            ("bytes=a-b", Ranges::Whole),
            ("items=0-9", Ranges::Whole),
            ("bytes=0-99,0-99", Ranges::Whole),
            ("", Ranges::Whole),
        ];
        for (header, expected) in cases {
            assert_eq!(parse(header, 100), expected, "{header}");
        }
    }

    #[test]
    fn too_many_ranges_are_answered_with_the_whole() {
        let header = format!("bytes={}", vec!["0-0"; RANGES_MAX + 1].join(","));
        assert_eq!(parse(&header, 100_000), Ranges::Whole);
    }

    #[test]
    fn an_empty_object_has_no_ranges() {
        assert_eq!(parse("bytes=0-0", 0), Ranges::NotSatisfiable);
        assert_eq!(parse("bytes=-5", 0), Ranges::NotSatisfiable);
    }

    proptest::proptest! {
        #[test]
        fn parts_lie_within_the_object(header in "bytes=[0-9,-]{0,40}", size in 0..2000u64) {
            let ranges = match parse(&header, size) {
                Ranges::One(range) => vec![range],
                Ranges::Several(ranges) => ranges,
                _ => vec![],
            };
            for range in ranges {
                proptest::prop_assert!(range.start < range.end && range.end <= size);
            }
        }
    }
}
