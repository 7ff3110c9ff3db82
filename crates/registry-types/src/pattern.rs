use std::{fmt, str::FromStr};

use regex_lite::{Regex, RegexBuilder};
use thiserror::Error;

use crate::text::excerpt;

/// Which names are meant: a glob, or after `re:` a regular expression. Either has to match the whole name.
///
/// In a glob `*` is anything without a slash, `**` anything, `?` one character other than a slash; all else is itself.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: Box<str>,
    /// None for a glob.
    regex: Option<Regex>,
}

/// What comes after this is a regular expression.
const REGEX: &str = "re:";

/// How much of a text that is too long an error repeats.
const SHOWN_BYTES: usize = 64;

/// A pattern can not be understood.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("`{text}` is no pattern: {reason}")]
pub struct ParsePatternError {
    text: String,
    reason: String,
}

impl Pattern {
    /// Whether this name is meant. Takes time in proportion to the product of both lengths at most.
    pub fn matches(&self, name: &str) -> bool {
        match &self.regex {
            Some(regex) => regex.is_match(name),
            None => glob(self.text.as_bytes(), name.as_bytes()),
        }
    }

    /// Reads a pattern that a user entered: the text has at most so many bytes, and so has the regular expression once it is
    /// compiled. `(a{999}){999}` is short, and is not small.
    ///
    /// # Errors
    /// [`ParsePatternError`].
    pub fn parse_within(
        text: &str,
        text_bytes_max: usize,
        compiled_bytes_max: usize,
    ) -> Result<Pattern, ParsePatternError> {
        if text.len() > text_bytes_max {
            let reason = format!("it has more than {text_bytes_max} bytes");
            return Err(ParsePatternError { text: excerpt(text, SHOWN_BYTES), reason });
        }
        parse(text, Some(compiled_bytes_max))
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Pattern {
    type Err = ParsePatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text, None)
    }
}

fn parse(text: &str, compiled_bytes_max: Option<usize>) -> Result<Pattern, ParsePatternError> {
    let failed = |reason: String| ParsePatternError { text: text.to_owned(), reason };
    if text.is_empty() {
        return Err(failed("it is empty".to_owned()));
    }
    let compile = |regex: &str| {
        let mut builder = RegexBuilder::new(&format!("^(?:{regex})$"));
        if let Some(max) = compiled_bytes_max {
            builder.size_limit(max);
        }
        builder.build().map_err(|error| failed(error.to_string()))
    };
    let regex = text.strip_prefix(REGEX).map(compile).transpose()?;
    Ok(Pattern { text: text.into(), regex })
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

/// Reads the name once and keeps all places of the pattern that it may have come to.
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    let mut places = vec![false; pattern.len() + 1];
    places[0] = true;
    pass_stars(pattern, &mut places);
    for byte in name {
        let mut next = vec![false; pattern.len() + 1];
        for (place, _) in places.iter().enumerate().filter(|(_, is_reached)| **is_reached) {
            match pattern[place..] {
                [b'*', b'*', ..] => next[place] = true,
                [b'*', ..] => next[place] |= *byte != b'/',
                [b'?', ..] => next[place + 1] |= *byte != b'/',
                [expected, ..] => next[place + 1] |= expected == *byte,
                [] => {}
            }
        }
        pass_stars(pattern, &mut next);
        places = next;
    }
    places[pattern.len()]
}

/// A star may stand for nothing.
fn pass_stars(pattern: &[u8], places: &mut [bool]) {
    for place in 0..pattern.len() {
        if places[place] && pattern[place] == b'*' {
            let length = if pattern.get(place + 1) == Some(&b'*') { 2 } else { 1 };
            places[place + length] = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, matching, others) in [
            ("v1", &["v1"][..], &["v", "v11", "av1", ""][..]),
            ("v*", &["v", "v1", "v1.2"], &["1v", "", "v/1"]),
            ("team/*", &["team/app"], &["team", "team/a/b", "steam/app"]),
            ("team/**", &["team/app", "team/a/b"], &["team", "teams/app"]),
            ("**/app", &["team/app", "a/b/app"], &["app", "team/apps"]),
            ("*.*.?", &["1.2.3", "1.2.3.4"], &["1.2", "1.2.34"]),
            ("**", &["", "a", "a/b"], &[]),
            ("a*b*c", &["abc", "aXbYc", "abbc"], &["ab", "acb"]),
            ("*a**b", &["ab", "xa/b", "a/a/b"], &["/ab", "x/ab"]),
            ("re:v[0-9]+", &["v1", "v23"], &["v", "v1a", "av1"]),
            ("re:a|b", &["a", "b"], &["ab", "xb"]),
        ] {
            let parsed: Pattern = pattern.parse().unwrap();
            assert!(matching.iter().all(|name| parsed.matches(name)), "{pattern}");
            assert!(!others.iter().any(|name| parsed.matches(name)), "{pattern}");
            assert_eq!(parsed.to_string(), pattern);
        }
    }

    #[test]
    fn what_is_no_pattern_says_why() {
        assert!("".parse::<Pattern>().is_err());
        let error = "re:(".parse::<Pattern>().unwrap_err();
        assert!(error.to_string().contains("re:("), "{error}");
    }

    #[test]
    fn what_a_user_enters_is_bounded_as_it_is_written_and_as_it_is_compiled() {
        let within = |text: &str| Pattern::parse_within(text, 256, 10 * 1024);
        assert!(within("re:(release|v[0-9]+)-[a-z]{1,8}").unwrap().matches("v1-beta"));
        assert!(within(&"a".repeat(256)).is_ok());
        let error = within(&"a".repeat(257)).unwrap_err().to_string();
        assert!(error.contains("more than 256 bytes") && error.len() < 200, "{error}");
        let large = "re:(a{99}){99}";
        assert!(within(large).is_err() && large.parse::<Pattern>().is_ok());
    }

    #[test]
    fn many_stars_take_no_long_time() {
        let pattern: Pattern = "*a".repeat(100).parse().unwrap();
        assert!(!pattern.matches(&"a".repeat(99)));
        assert!(pattern.matches(&"a".repeat(128)));
    }
}
