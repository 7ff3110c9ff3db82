//! What a registry asks for before it answers. Spec: RFC 9110, section 11; Docker's token authentication.

use http::{HeaderMap, header};

/// The longest challenge that is read, in bytes.
const CHALLENGE_BYTES_MAX: usize = 8 * 1024;

/// What a registry asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// A user and a password with each request.
    Basic,
    /// A token from a server.
    Bearer { realm: String, service: Option<String> },
}

impl Challenge {
    /// The first challenge that can be met.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Challenge> {
        let values = headers.get_all(header::WWW_AUTHENTICATE).iter();
        let texts = values.filter_map(|value| value.to_str().ok());
        texts.filter(|text| text.len() <= CHALLENGE_BYTES_MAX).find_map(Challenge::parse)
    }

    fn parse(text: &str) -> Option<Challenge> {
        let (scheme, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Challenge::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let parameters = parameters(rest);
        let find = |name: &str| {
            let found = parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.clone())
        };
        Some(Challenge::Bearer { realm: find("realm")?, service: find("service") })
    }
}

/// `a="b",c=d`, with escapes in quotes.
fn parameters(mut rest: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    while let Some((key, after)) = rest.split_once('=') {
        let (value, left) = value(after.trim_start());
        all.push((key.trim_matches([' ', ',', '\t']).to_owned(), value));
        rest = left;
    }
    all
}

/// A token or a quoted text, and what comes after it.
fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(',').unwrap_or(text.len());
        return (text[..end].trim().to_owned(), &text[end..]);
    };
    let (mut value, mut is_escaped) = (String::new(), false);
    for (index, character) in quoted.char_indices() {
        match character {
            '\\' if !is_escaped => is_escaped = true,
            '"' if !is_escaped => return (value, &quoted[index + 1..]),
            other => {
                value.push(other);
                is_escaped = false;
            }
        }
    }
    (value, "")
}

/// Whether credentials for one host may be shown to another: it is the same, or both are of one registrable domain. Addresses and names
/// without a public suffix must be the same.
pub(crate) fn is_of_same_owner(one: &str, other: &str) -> bool {
    if one.eq_ignore_ascii_case(other) {
        return true;
    }
    let (one, other) = (one.to_ascii_lowercase(), other.to_ascii_lowercase());
    if [&one, &other].iter().any(|host| host.starts_with('[') || host.parse::<std::net::IpAddr>().is_ok()) {
        return false;
    }
    let domain = |host: &'_ str| {
        psl::domain(host.as_bytes())
            .filter(|domain| domain.suffix().is_known())
            .map(|domain| domain.as_bytes().to_vec())
    };
    domain(&one).is_some() && domain(&one) == domain(&other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(text: &str) -> Option<Challenge> {
        Challenge::parse(text)
    }

    #[test]
    fn challenges_are_read() {
        let bearer = |realm: &str, service: Option<&str>| {
            Some(Challenge::Bearer { realm: realm.into(), service: service.map(str::to_owned) })
        };
        for (text, expected) in [
            (
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a:pull,push""#,
                bearer("https://auth.docker.io/token", Some("registry.docker.io")),
            ),
            (
                r#"bearer service=x, realm="https://a.example/t\"q""#,
                bearer("https://a.example/t\"q", Some("x")),
            ),
            (r#"Bearer scope="x""#, None),
            (r#"Basic realm="a""#, Some(Challenge::Basic)),
            ("Basic", Some(Challenge::Basic)),
            ("Negotiate", None),
            (r#"Bearer realm="unended"#, bearer("unended", None)),
        ] {
            assert_eq!(challenge(text), expected, "{text}");
        }
    }

    #[test]
    fn credentials_stay_with_their_owner() {
        for (one, other, is_same) in [
            ("registry-1.docker.io", "auth.docker.io", true),
            ("GHCR.io", "ghcr.io", true),
            ("a.github.io", "b.github.io", false),
            ("a.co.uk", "b.co.uk", false),
            ("docker.io", "docker.io.evil.example", false),
            ("10.0.0.1", "10.0.0.2", false),
            ("127.0.0.1", "127.0.0.1", true),
            ("localhost", "other", false),
            ("registry.internal", "auth.internal", false),
        ] {
            assert_eq!(is_of_same_owner(one, other), is_same, "{one} {other}");
        }
    }
}
