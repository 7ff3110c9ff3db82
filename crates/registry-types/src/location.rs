use std::str::FromStr;

use thiserror::Error;

use crate::{UploadId, text::checked_text};

/// The longest location, in bytes: what object stores allow for a key.
pub const LOCATION_BYTES_MAX: usize = 1024;

/// The key of an object in a store, relative to the store's root, such as `store/blobs/4f/<upload id>`.
///
/// Segments are joined by `/`; none is empty, `.` or `..`, none has a control character, a backslash or a colon, so that
/// a location names the same thing in a bucket as below a folder, and nothing outside it. Ordered by bytes.
///
/// Our own objects begin with [`Location::PREFIX`]; others belong to storage that was taken over in place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location(Box<str>);

/// Why a text is not a location.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ParseLocationError {
    /// More than [`LOCATION_BYTES_MAX`].
    #[error("a location has at most {limit_bytes} bytes, this has {actual_bytes}")]
    TooLong {
        /// The limit.
        limit_bytes: usize,
        /// How long the text is.
        actual_bytes: usize,
    },
    /// A segment is empty, `.` or `..`: the text is empty, begins or ends with a slash, or would lead elsewhere.
    #[error("a segment of a location can not be empty, `.` or `..`, the one at byte {position} is")]
    InvalidSegment {
        /// Where the segment begins.
        position: usize,
    },
    /// A control character, a backslash or a colon.
    #[error("a location can not contain {found:?} as at byte {position}")]
    InvalidCharacter {
        /// Where the character is.
        position: usize,
        /// The character.
        found: char,
    },
}

impl Location {
    /// What all our own objects begin with.
    pub const PREFIX: &str = "store/";

    /// What the objects that came of uploads begin with.
    pub const BLOBS_PREFIX: &str = "store/blobs/";

    /// The location of the object that an upload makes: `store/blobs/<last two hex digits>/<id>`. The last digits,
    /// since they are random in every version of a UUID, spread objects evenly over 256 folders.
    pub fn of_upload(id: &UploadId) -> Location {
        let mut buffer = [0; 36];
        let id = id.text(&mut buffer);
        let shard = &id[id.len() - 2..];
        Location([Self::BLOBS_PREFIX, shard, "/", id].concat().into())
    }

    /// The location as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Location {
    type Err = ParseLocationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > LOCATION_BYTES_MAX {
            let (limit_bytes, actual_bytes) = (LOCATION_BYTES_MAX, text.len());
            return Err(ParseLocationError::TooLong { limit_bytes, actual_bytes });
        }
        let mut position = 0;
        for segment in text.split('/') {
            check_segment(segment, position)?;
            position += segment.len() + 1;
        }
        Ok(Location(text.into()))
    }
}

checked_text!(Location, "the location of an object");

fn check_segment(segment: &str, position: usize) -> Result<(), ParseLocationError> {
    if matches!(segment, "" | "." | "..") {
        return Err(ParseLocationError::InvalidSegment { position });
    }
    match segment.char_indices().find(|(_, character)| is_forbidden(*character)) {
        None => Ok(()),
        Some((index, found)) => {
            Err(ParseLocationError::InvalidCharacter { position: position + index, found })
        }
    }
}

fn is_forbidden(character: char) -> bool {
    character.is_control() || matches!(character, '\\' | ':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_has_its_own_location() {
        let location = Location::of_upload(&UploadId::from_random([0xa1; 16]));
        assert_eq!(location.as_str(), "store/blobs/a1/a1a1a1a1-a1a1-41a1-a1a1-a1a1a1a1a1a1");
        assert!(location.as_str().starts_with(Location::BLOBS_PREFIX));
        assert!(Location::BLOBS_PREFIX.starts_with(Location::PREFIX));
        assert_eq!(location.as_str().parse(), Ok(location));
    }

    #[test]
    fn locations_of_other_registries_are_read() {
        let key = "docker/registry/v2/blobs/sha256/ab/abcd/data";
        assert_eq!(key.parse::<Location>().unwrap().to_string(), key);
        assert!("a b/ü/...".parse::<Location>().is_ok());
    }

    #[test]
    fn nothing_leads_outside() {
        use ParseLocationError::*;
        let cases = [
            ("", InvalidSegment { position: 0 }),
            ("/etc/passwd", InvalidSegment { position: 0 }),
            ("a/", InvalidSegment { position: 2 }),
            ("a//b", InvalidSegment { position: 2 }),
            ("..", InvalidSegment { position: 0 }),
            ("a/../b", InvalidSegment { position: 2 }),
            ("a/./b", InvalidSegment { position: 2 }),
            ("a/b\\..", InvalidCharacter { position: 3, found: '\\' }),
            ("C:/a", InvalidCharacter { position: 1, found: ':' }),
            ("a\0", InvalidCharacter { position: 1, found: '\0' }),
            ("a/\u{85}", InvalidCharacter { position: 2, found: '\u{85}' }),
            (&"a".repeat(1025), TooLong { limit_bytes: 1024, actual_bytes: 1025 }),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<Location>(), Err(expected), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_accepted_stays_below_the_root(text in "[a./\\\\]{0,8}|\\PC{0,6}") {
            if let Ok(location) = text.parse::<Location>() {
                let mut components = std::path::Path::new(location.as_str()).components();
                proptest::prop_assert!(components.all(|part| matches!(part, std::path::Component::Normal(_))));
            }
        }
    }
}
