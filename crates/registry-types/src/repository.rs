use std::{borrow::Borrow, str::FromStr};

use thiserror::Error;

use crate::text::checked_text;

/// The longest name of a repository, in bytes.
pub const REPOSITORY_NAME_BYTES_MAX: usize = 255;

/// The name of a repository, such as `library/alpine`.
///
/// Components are joined by `/`. Each has lower-case letters and digits, in runs that are joined by one `.`, one or two
/// `_`, or any number of `-`. At most [`REPOSITORY_NAME_BYTES_MAX`] bytes. Ordered by bytes.
///
/// Spec: distribution-spec v1.1.1, "Pulling manifests"; the same grammar as the Go registry's without a host name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryName(Box<str>);

/// Why a text is not the name of a repository.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ParseNameError {
    /// There is nothing.
    #[error("a repository name can not be empty")]
    Empty,
    /// More than [`REPOSITORY_NAME_BYTES_MAX`].
    #[error("a repository name has at most {limit_bytes} bytes, this has {actual_bytes}")]
    TooLong {
        /// The limit.
        limit_bytes: usize,
        /// How long the text is.
        actual_bytes: usize,
    },
    /// A component is empty: a slash at the beginning or end, or two in a row.
    #[error("a component of a repository name can not be empty, the one at byte {position} is")]
    EmptyComponent {
        /// Where the component would begin.
        position: usize,
    },
    /// A component begins or ends with a separator, or two separators that do not go together meet.
    #[error(
        "separators in a repository name (`.`, `_`, `__`, dashes) stand between letters or digits, not so at byte {position}"
    )]
    MisplacedSeparator {
        /// Where a letter or digit should be.
        position: usize,
    },
    /// A character that no name may have.
    #[error(
        "a repository name has lower-case letters, digits, `.`, `_`, `-` and `/`, not {found:?} as at byte {position}"
    )]
    InvalidCharacter {
        /// Where the character is.
        position: usize,
        /// The character.
        found: char,
    },
}

impl RepositoryName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RepositoryName {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        check(text)?;
        Ok(RepositoryName(text.into()))
    }
}

impl Borrow<str> for RepositoryName {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

checked_text!(RepositoryName, "the name of a repository");

fn check(text: &str) -> Result<(), ParseNameError> {
    if text.is_empty() {
        return Err(ParseNameError::Empty);
    }
    if text.len() > REPOSITORY_NAME_BYTES_MAX {
        let (limit_bytes, actual_bytes) = (REPOSITORY_NAME_BYTES_MAX, text.len());
        return Err(ParseNameError::TooLong { limit_bytes, actual_bytes });
    }
    let bytes = text.as_bytes();
    let mut position = 0;
    loop {
        position = skip_alphanumeric(text, position)?;
        match bytes.get(position) {
            None => return Ok(()),
            Some(b'/') => position += 1,
            Some(_) => position = skip_separator(text, position)?,
        }
    }
}

/// Passes at least one letter or digit.
fn skip_alphanumeric(text: &str, start: usize) -> Result<usize, ParseNameError> {
    let run = text.as_bytes()[start..].iter().take_while(|byte| is_alphanumeric(**byte)).count();
    if run > 0 {
        return Ok(start + run);
    }
    let after_slash = start == 0 || text.as_bytes()[start - 1] == b'/';
    match text[start..].chars().next() {
        None | Some('/') if after_slash => Err(ParseNameError::EmptyComponent { position: start }),
        None | Some('/' | '.' | '_' | '-') => Err(ParseNameError::MisplacedSeparator { position: start }),
        Some(found) => Err(ParseNameError::InvalidCharacter { position: start, found }),
    }
}

/// Passes one separator: `.`, `_`, `__` or dashes.
fn skip_separator(text: &str, start: usize) -> Result<usize, ParseNameError> {
    let rest = &text.as_bytes()[start..];
    match rest {
        [b'.', ..] => Ok(start + 1),
        [b'_', b'_', ..] => Ok(start + 2),
        [b'_', ..] => Ok(start + 1),
        [b'-', ..] => Ok(start + rest.iter().take_while(|byte| **byte == b'-').count()),
        _ => {
            let found = text[start..].chars().next().expect("the caller saw a byte here");
            Err(ParseNameError::InvalidCharacter { position: start, found })
        }
    }
}

fn is_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_pushed_to() {
        let longest = "a".repeat(REPOSITORY_NAME_BYTES_MAX);
        for name in [
            "a",
            "0",
            "alpine",
            "library/alpine",
            "a/b/c/d/e",
            "a.b",
            "a_b",
            "a__b",
            "a-b",
            "a---b",
            "1.2-3__4_5",
            "blobs/uploads/manifests/tags/list",
            "localhost/x",
            &longest,
        ] {
            let parsed: RepositoryName = name.parse().unwrap();
            assert_eq!(parsed.as_str(), name);
            assert_eq!(parsed.to_string(), name);
        }
    }

    #[test]
    fn mistakes_are_told_apart() {
        use ParseNameError::*;
        let too_long = "a/".repeat(128);
        let cases = [
            ("", Empty),
            (too_long.as_str(), TooLong { limit_bytes: 255, actual_bytes: 256 }),
            ("/a", EmptyComponent { position: 0 }),
            ("a/", EmptyComponent { position: 2 }),
            ("a//b", EmptyComponent { position: 2 }),
            ("/", EmptyComponent { position: 0 }),
            (".a", MisplacedSeparator { position: 0 }),
            ("a.", MisplacedSeparator { position: 2 }),
            ("a..b", MisplacedSeparator { position: 2 }),
            ("a___b", MisplacedSeparator { position: 3 }),
            ("a-_b", MisplacedSeparator { position: 2 }),
            ("a./b", MisplacedSeparator { position: 2 }),
            ("a/../b", MisplacedSeparator { position: 2 }),
            ("a/-b", MisplacedSeparator { position: 2 }),
            ("A", InvalidCharacter { position: 0, found: 'A' }),
            ("aB", InvalidCharacter { position: 1, found: 'B' }),
            ("a/b:c", InvalidCharacter { position: 3, found: ':' }),
            ("aé", InvalidCharacter { position: 1, found: 'é' }),
            ("a.é", InvalidCharacter { position: 2, found: 'é' }),
            ("a b", InvalidCharacter { position: 1, found: ' ' }),
            ("a\\b", InvalidCharacter { position: 1, found: '\\' }),
            ("a\0", InvalidCharacter { position: 1, found: '\0' }),
        ];
        for (name, expected) in cases {
            assert_eq!(name.parse::<RepositoryName>(), Err(expected), "{name}");
        }
    }

    #[test]
    fn serde_goes_through_the_same_door() {
        let name: RepositoryName = serde_json::from_str("\"a/b\"").unwrap();
        assert_eq!(serde_json::to_string(&name).unwrap(), "\"a/b\"");
        assert!(serde_json::from_str::<RepositoryName>("\"a//b\"").is_err());
        assert!(serde_json::from_str::<RepositoryName>("1").is_err());
    }

    /// The grammar as the specification has it, tried in the obvious way: which separators stand between runs.
    fn follows_the_specification(name: &str) -> bool {
        name.split('/').all(|component| {
            let separators: Vec<&str> =
                component.split(is_letter_or_digit).filter(|text| !text.is_empty()).collect();
            let ends = [component.chars().next(), component.chars().last()];
            ends.iter().all(|end| end.is_some_and(is_letter_or_digit))
                && separators
                    .iter()
                    .all(|text| matches!(*text, "." | "_" | "__") || text.trim_matches('-').is_empty())
        })
    }

    fn is_letter_or_digit(character: char) -> bool {
        character.is_ascii_lowercase() || character.is_ascii_digit()
    }

    proptest::proptest! {
        #[test]
        fn exactly_the_grammar_of_the_specification(name in "[ab0._/-]{1,9}|[ab._-]{1,4}") {
            proptest::prop_assert_eq!(name.parse::<RepositoryName>().is_ok(), follows_the_specification(&name));
        }

        #[test]
        fn no_text_makes_it_panic(text: String) {
            if let Ok(name) = text.parse::<RepositoryName>() {
                proptest::prop_assert_eq!(name.as_str(), text);
            }
        }
    }
}
