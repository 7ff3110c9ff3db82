use std::fmt;

use crate::StorageError;

/// The format of the store that this version writes.
pub const STORE_FORMAT: u32 = 1;

/// How much of an unreadable identity an error repeats, in characters.
const TEXT_CHARS_MAX: usize = 80;

const ID_BYTES: usize = 16;

/// Which store this is. The metadata remembers it too, so that one is never used with another's bytes.
///
/// Kept as text of two lines, `id <32 hex digits>` and `format <number>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreIdentity {
    id: Box<str>,
    format: u32,
}

impl StoreIdentity {
    /// A new one, unlike any other.
    ///
    /// # Errors
    /// [`StorageError::Backend`] if the system has no random numbers.
    pub fn random() -> Result<StoreIdentity, StorageError> {
        let mut id = [0; ID_BYTES];
        getrandom::fill(&mut id).map_err(|source| StorageError::Backend {
            operation: "draw a store's identity",
            source: Box::new(source),
        })?;
        Ok(StoreIdentity { id: hex::encode(id).into(), format: STORE_FORMAT })
    }

    /// One that metadata remembers already, for a store that does not yet.
    ///
    /// # Errors
    /// [`StorageError::IdentityInvalid`] if `id` is not 32 lower-case hex digits.
    pub fn with_id(id: &str) -> Result<StoreIdentity, StorageError> {
        StoreIdentity::from_bytes(format!("id {id}\nformat {STORE_FORMAT}\n").as_bytes())
    }

    /// 32 lower-case hex digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The version of the layout below the store's root.
    pub fn format(&self) -> u32 {
        self.format
    }

    /// From the bytes of an identity object.
    ///
    /// # Errors
    /// [`StorageError::IdentityInvalid`] if they are none, or of a later format.
    pub fn from_bytes(bytes: &[u8]) -> Result<StoreIdentity, StorageError> {
        parse(bytes).ok_or_else(|| StorageError::IdentityInvalid {
            text: String::from_utf8_lossy(bytes).chars().take(TEXT_CHARS_MAX).collect(),
        })
    }

    /// The bytes of an identity object.
    pub fn to_bytes(&self) -> Vec<u8> {
        format!("id {}\nformat {}\n", self.id, self.format).into_bytes()
    }
}

impl fmt::Display for StoreIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)
    }
}

fn parse(bytes: &[u8]) -> Option<StoreIdentity> {
    let mut lines = str::from_utf8(bytes).ok()?.lines();
    let id = lines.next()?.strip_prefix("id ")?;
    let format = lines.next()?.strip_prefix("format ")?.parse().ok()?;
    let is_hex = id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let known = is_hex && id.len() == 2 * ID_BYTES && (1..=STORE_FORMAT).contains(&format);
    known.then(|| StoreIdentity { id: id.into(), format })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_its_bytes() {
        let identity = StoreIdentity::random().unwrap();
        assert_eq!(StoreIdentity::from_bytes(&identity.to_bytes()).unwrap(), identity);
        assert_eq!((identity.id().len(), identity.format()), (32, STORE_FORMAT));
    }

    #[test]
    fn no_two_are_alike() {
        assert_ne!(StoreIdentity::random().unwrap(), StoreIdentity::random().unwrap());
    }

    #[test]
    fn refuses_what_is_none() {
        let hex = "0123456789abcdef0123456789abcdef";
        let texts = [
            String::new(),
            format!("id {hex}\n"),
            format!("id {}\nformat 1\n", &hex[1..]),
            format!("id {}\nformat 1\n", hex.to_uppercase()),
            format!("id {hex}\nformat 0\n"),
            format!("id {hex}\nformat {}\n", STORE_FORMAT + 1),
        ];
        for text in texts {
            let error = StoreIdentity::from_bytes(text.as_bytes()).unwrap_err();
            assert!(matches!(error, StorageError::IdentityInvalid { .. }), "{text:?}: {error}");
        }
    }
}
