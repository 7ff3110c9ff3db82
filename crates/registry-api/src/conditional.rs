//! Conditional requests on content whose entity tag is its digest. Spec: RFC 9110, section 13.

use http::{HeaderMap, HeaderName, header};
use registry_digest::Digest;

/// What a request's conditions come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Answer as if there were no conditions.
    Proceed,
    /// 304: the client has it.
    NotModified,
    /// 412: the client wanted something else.
    Failed,
}

/// Evaluates `If-Match` and `If-None-Match`. Dates are not looked at: nothing here has one.
pub(crate) fn evaluate(headers: &HeaderMap, current: &Digest) -> Condition {
    if headers.contains_key(header::IF_MATCH) && !names(headers, header::IF_MATCH, current, false) {
        return Condition::Failed;
    }
    if names(headers, header::IF_NONE_MATCH, current, true) {
        return Condition::NotModified;
    }
    Condition::Proceed
}

/// Whether a `Range` counts, which `If-Range` may make depend on the entity tag. A date never matches.
pub(crate) fn range_applies(headers: &HeaderMap, current: &Digest) -> bool {
    match headers.get(header::IF_RANGE) {
        None => true,
        // Unlike its neighbours it is one entity tag, never all of them.
        Some(value) if value == "*" => false,
        Some(_) => names(headers, header::IF_RANGE, current, false),
    }
}

/// Whether a list of entity tags names the current content. A bare digest counts, as the Go registry's clients send it.
fn names(headers: &HeaderMap, name: HeaderName, current: &Digest, weak_counts: bool) -> bool {
    let current = current.to_string();
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).any(|tag| {
        let strong = match tag.strip_prefix("W/") {
            Some(weak) if weak_counts => weak,
            Some(_) => return false,
            None => tag,
        };
        strong == "*" || strong.trim_matches('"') == current
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use registry_digest::Algorithm;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn entity_tags_are_compared() {
        let digest = Digest::of(Algorithm::Sha256, b"x");
        let other = Digest::of(Algorithm::Sha256, b"y");
        let cases = [
            (header::IF_NONE_MATCH, format!("\"{digest}\""), Condition::NotModified),
            (header::IF_NONE_MATCH, format!("W/\"{digest}\""), Condition::NotModified),
            (header::IF_NONE_MATCH, format!("\"{other}\", \"{digest}\""), Condition::NotModified),
            (header::IF_NONE_MATCH, digest.to_string(), Condition::NotModified),
            (header::IF_NONE_MATCH, "*".into(), Condition::NotModified),
            (header::IF_NONE_MATCH, format!("\"{other}\""), Condition::Proceed),
            (header::IF_MATCH, format!("\"{digest}\""), Condition::Proceed),
            (header::IF_MATCH, format!("W/\"{digest}\""), Condition::Failed),
            (header::IF_MATCH, format!("\"{other}\""), Condition::Failed),
        ];
        for (name, value, expected) in cases {
            assert_eq!(evaluate(&headers(name, &value), &digest), expected, "{value}");
        }
        assert_eq!(evaluate(&HeaderMap::new(), &digest), Condition::Proceed);
    }

    #[test]
    fn a_date_in_if_range_never_matches() {
        let digest = Digest::of(Algorithm::Sha256, b"x");
        let date = headers(header::IF_RANGE, "Tue, 24 Nov 2026 00:00:00 GMT");
        assert!(!range_applies(&date, &digest));
        assert!(range_applies(&headers(header::IF_RANGE, &format!("\"{digest}\"")), &digest));
        assert!(range_applies(&HeaderMap::new(), &digest));
    }
}
