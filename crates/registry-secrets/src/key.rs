use std::{fmt, str::FromStr};

use base64::{
    Engine,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose},
};
use ring::{
    digest,
    rand::{SecureRandom, SystemRandom},
};
use zeroize::Zeroizing;

use crate::{ParseKeyError, SealError};

/// How long a key is.
pub const KEY_BYTES: usize = 32;

/// What seals: 32 random bytes. They are wiped from memory with the key, and `Debug` shows the id alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Zeroizing<[u8; KEY_BYTES]>);

/// Which key it is: the first four bytes of its SHA-256. No secret; two different keys of one registry may have the same id by
/// chance, and then both are tried.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub(crate) [u8; 4]);

impl Key {
    /// A new key.
    ///
    /// # Errors
    /// [`SealError::Randomness`], if the system gives no random bytes.
    pub fn generate() -> Result<Key, SealError> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        SystemRandom::new().fill(&mut *bytes).map_err(|_| SealError::Randomness)?;
        Ok(Key(bytes))
    }

    /// Which it is.
    pub fn id(&self) -> KeyId {
        let hash = digest::digest(&digest::SHA256, &*self.0);
        let mut id = [0; 4];
        id.copy_from_slice(&hash.as_ref()[..4]);
        KeyId(id)
    }

    /// The key in base64, as a key file has it.
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(general_purpose::STANDARD.encode(self.bytes()))
    }

    pub(crate) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

impl From<[u8; KEY_BYTES]> for Key {
    fn from(bytes: [u8; KEY_BYTES]) -> Key {
        Key(Zeroizing::new(bytes))
    }
}

/// Base64 in either alphabet, with or without padding, or hexadecimal in either case.
impl FromStr for Key {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Key, ParseKeyError> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        if text.len() == 2 * KEY_BYTES && hex::decode_to_slice(text, &mut *bytes).is_ok() {
            return Ok(Key(bytes));
        }
        let decoded = [STANDARD, URL_SAFE].iter().find_map(|alphabet| decode(alphabet, text));
        let decoded = decoded.ok_or(ParseKeyError::Syntax)?;
        if decoded.len() != KEY_BYTES {
            return Err(ParseKeyError::Length { bytes: decoded.len() });
        }
        bytes.copy_from_slice(&decoded);
        Ok(Key(bytes))
    }
}

fn decode(alphabet: &base64::alphabet::Alphabet, text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(alphabet, config).decode(text).ok().map(Zeroizing::new)
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id())
    }
}

impl KeyId {
    /// The four bytes.
    pub fn as_bytes(&self) -> &[u8; 4] {
        &self.0
    }
}

/// Eight hexadecimal digits.
impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// What [`Display`](fmt::Display) wrote.
impl FromStr for KeyId {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<KeyId, ParseKeyError> {
        let mut id = [0; 4];
        hex::decode_to_slice(text, &mut id).map_err(|_| ParseKeyError::Syntax)?;
        Ok(KeyId(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_in_the_ways_that_people_write_it() {
        let key = Key::from(std::array::from_fn(|at| (at as u8).wrapping_mul(9) ^ 0xfb));
        let standard = key.to_text();
        assert!(
            standard.contains(['+', '/']) && standard.ends_with('='),
            "both alphabets differ: {standard:?}"
        );
        let url_safe = standard.replace('+', "-").replace('/', "_");
        let hex = hex::encode(key.bytes());
        for text in [
            standard.as_str(),
            standard.trim_end_matches('='),
            &url_safe,
            url_safe.trim_end_matches('='),
            &hex,
            &hex.to_uppercase(),
        ] {
            assert_eq!(text.parse::<Key>().unwrap(), key, "{text}");
        }
    }

    #[test]
    fn what_is_no_key_says_why_and_shows_nothing_of_it() {
        for (text, error) in [
            ("correct horse battery staple", "a key is 32 bytes in base64 or hexadecimal"),
            ("", "a key has 32 bytes, and this has 0"),
            ("c2VjcmV0", "a key has 32 bytes, and this has 6"),
            (&"ab".repeat(24), "a key has 32 bytes, and this has 36"),
        ] {
            assert_eq!(text.parse::<Key>().unwrap_err().to_string(), error);
        }
    }

    #[test]
    fn a_key_shows_its_id_alone() {
        let key = Key::from([7; KEY_BYTES]);
        // The beginning of: head -c 32 /dev/zero | tr '\0' '\7' | sha256sum
        assert_eq!(format!("{key:?}"), "Key(4bb06f8e)");
        assert_eq!(key.id().to_string().parse::<KeyId>().unwrap(), key.id());
    }
}
