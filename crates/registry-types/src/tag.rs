use std::{borrow::Borrow, str::FromStr};

use thiserror::Error;

use crate::text::checked_text;

/// The longest tag, in bytes.
pub const TAG_BYTES_MAX: usize = 128;

/// A name for a manifest within a repository, such as `latest`.
///
/// Letters, digits, `_`, `.` and `-`, the first one neither `.` nor `-`; at most [`TAG_BYTES_MAX`] bytes. Ordered by
/// bytes.
///
/// Spec: distribution-spec v1.1.1, "Pulling manifests".
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(Box<str>);

/// Why a text is not a tag.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ParseTagError {
    /// There is nothing.
    #[error("a tag can not be empty")]
    Empty,
    /// More than [`TAG_BYTES_MAX`].
    #[error("a tag has at most {limit_bytes} bytes, this has {actual_bytes}")]
    TooLong {
        /// The limit.
        limit_bytes: usize,
        /// How long the text is.
        actual_bytes: usize,
    },
    /// A character that no tag may have there.
    #[error(
        "a tag has letters, digits, `_`, `.` and `-`, the last two not at its beginning; not {found:?} as at byte {position}"
    )]
    InvalidCharacter {
        /// Where the character is.
        position: usize,
        /// The character.
        found: char,
    },
}

impl Tag {
    /// The tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = ParseTagError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > TAG_BYTES_MAX {
            return Err(ParseTagError::TooLong { limit_bytes: TAG_BYTES_MAX, actual_bytes: text.len() });
        }
        let (first, rest) = text.as_bytes().split_first().ok_or(ParseTagError::Empty)?;
        let position = if is_word(*first) {
            rest.iter()
                .position(|byte| !is_word(*byte) && !matches!(byte, b'.' | b'-'))
                .map(|index| index + 1)
        } else {
            Some(0)
        };
        match position {
            None => Ok(Tag(text.into())),
            Some(position) => Err(invalid_character(text, position)),
        }
    }
}

impl Borrow<str> for Tag {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

checked_text!(Tag, "a tag");

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[cold]
fn invalid_character(text: &str, position: usize) -> ParseTagError {
    let found = text[position..].chars().next().expect("all before the first offending byte is ASCII");
    ParseTagError::InvalidCharacter { position, found }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_that_are_pushed() {
        let longest = "a".repeat(TAG_BYTES_MAX);
        for tag in ["latest", "v1.2.3", "_", "A-Z_a-z.0-9", "sha256-ab.sig", "1", "a..b", "a--", &longest] {
            assert_eq!(tag.parse::<Tag>().unwrap().to_string(), tag);
        }
    }

    #[test]
    fn mistakes_are_told_apart() {
        use ParseTagError::*;
        let cases = [
            ("", Empty),
            (&"a".repeat(129), TooLong { limit_bytes: 128, actual_bytes: 129 }),
            (".a", InvalidCharacter { position: 0, found: '.' }),
            ("-a", InvalidCharacter { position: 0, found: '-' }),
            ("a/b", InvalidCharacter { position: 1, found: '/' }),
            ("a:b", InvalidCharacter { position: 1, found: ':' }),
            ("a+b", InvalidCharacter { position: 1, found: '+' }),
            ("é", InvalidCharacter { position: 0, found: 'é' }),
            ("aaé", InvalidCharacter { position: 2, found: 'é' }),
            ("a\n", InvalidCharacter { position: 1, found: '\n' }),
        ];
        for (tag, expected) in cases {
            assert_eq!(tag.parse::<Tag>(), Err(expected), "{tag}");
        }
    }

    proptest::proptest! {
        #[test]
        fn exactly_the_grammar_of_the_specification(good in "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}", any in "\\PC{0,4}") {
            proptest::prop_assert_eq!(good.parse::<Tag>().unwrap().to_string(), good);
            if let Ok(tag) = any.parse::<Tag>() {
                let ok = |character: char| character.is_ascii_alphanumeric() || "_.-".contains(character);
                proptest::prop_assert!(tag.as_str().chars().all(ok) && !any.starts_with(['.', '-']));
            }
        }
    }
}
