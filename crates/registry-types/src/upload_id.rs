use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::text;

/// Where the text of an [`UploadId`] has its dashes.
const DASHES: [usize; 4] = [8, 13, 18, 23];
const TEXT_BYTES: usize = 36;

/// Names an upload session, and later the object that came of it; never used twice.
///
/// The text is a UUID in lower case with dashes, 36 bytes. New ones are of version 4; any version is read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UploadId([u8; 16]);

/// A text is not an [`UploadId`].
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("an upload's id is a UUID in lower case with dashes")]
pub struct ParseUploadIdError;

impl UploadId {
    /// An id from 16 random bytes, 122 bits of which are used. They have to come from a source that nobody can guess:
    /// an id is all that another client would need to disturb an upload.
    pub const fn from_random(mut bytes: [u8; 16]) -> UploadId {
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        UploadId(bytes)
    }

    /// The id's 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Writes the text into `buffer` and returns it.
    pub(crate) fn text<'b>(&self, buffer: &'b mut [u8; TEXT_BYTES]) -> &'b str {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut at = 0;
        for byte in self.0 {
            if DASHES.contains(&at) {
                buffer[at] = b'-';
                at += 1;
            }
            buffer[at] = HEX[usize::from(byte >> 4)];
            buffer[at + 1] = HEX[usize::from(byte & 0xf)];
            at += 2;
        }
        std::str::from_utf8(buffer).expect("dashes and hex digits are ASCII")
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text(&mut [0; TEXT_BYTES]))
    }
}

impl fmt::Debug for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text(&mut [0; TEXT_BYTES]))
    }
}

impl FromStr for UploadId {
    type Err = ParseUploadIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text: &[u8; TEXT_BYTES] = text.as_bytes().try_into().map_err(|_| ParseUploadIdError)?;
        let mut bytes = [0; 16];
        let mut at = 0;
        for byte in &mut bytes {
            if DASHES.contains(&at) {
                if text[at] != b'-' {
                    return Err(ParseUploadIdError);
                }
                at += 1;
            }
            *byte = nibble(text[at])? << 4 | nibble(text[at + 1])?;
            at += 2;
        }
        Ok(UploadId(bytes))
    }
}

fn nibble(digit: u8) -> Result<u8, ParseUploadIdError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(ParseUploadIdError),
    }
}

impl Serialize for UploadId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text(&mut [0; TEXT_BYTES]))
    }
}

impl<'de> Deserialize<'de> for UploadId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::deserialize(deserializer, "the id of an upload")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_ids_are_version_4() {
        let id = UploadId::from_random([0xff; 16]);
        assert_eq!(id.to_string(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(UploadId::from_random([0; 16]).to_string(), "00000000-0000-4000-8000-000000000000");
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "ffffffff-ffff-4fff-bfff-fffffffffff",
            "ffffffff-ffff-4fff-bfff-fffffffffffff",
            "FFFFFFFF-ffff-4fff-bfff-ffffffffffff",
            "ffffffffaffff-4fff-bfff-ffffffffffff",
            "ffffffff-ffff-4fff-bfff-ffffffffff-f",
            "{fffffff-ffff-4fff-bfff-ffffffffffff",
            "éffffff-ffff-4fff-bfff-fffffffffffff",
        ] {
            assert_eq!(text.parse::<UploadId>(), Err(ParseUploadIdError), "{text}");
        }
    }

    #[test]
    fn serde_goes_through_the_text() {
        let id = UploadId::from_random([7; 16]);
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, "\"07070707-0707-4707-8707-070707070707\"");
        assert_eq!(serde_json::from_str::<UploadId>(&json).unwrap(), id);
    }

    proptest::proptest! {
        #[test]
        fn ids_round_trip_and_sort_like_their_texts(a: [u8; 16], b: [u8; 16]) {
            let (a, b) = (UploadId(a), UploadId(b));
            proptest::prop_assert_eq!(a.to_string().parse(), Ok(a));
            proptest::prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        }
    }
}
