use sha2::{Digest as _, Sha256};

/// A hash of something under a secret of this process: of no use to anything that reads it.
pub(crate) type Key = [u8; 32];

/// The secret, new in each process.
pub(crate) struct Secret([u8; 32]);

impl Secret {
    pub(crate) fn new() -> Result<Secret, getrandom::Error> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)?;
        Ok(Secret(secret))
    }

    /// Hashed twice with the secret in front, as in HMAC, so that no hash can be continued into another.
    pub(crate) fn key(&self, parts: &[&[u8]]) -> Key {
        let mut inner = Sha256::new_with_prefix(self.0);
        for part in parts {
            inner.update((part.len() as u64).to_be_bytes());
            inner.update(part);
        }
        Sha256::new_with_prefix(self.0).chain_update(inner.finalize()).finalize().into()
    }

    /// A number that is always the same for a text, and that cannot be known outside.
    pub(crate) fn stable_choice(&self, text: &str) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.key(&[text.as_bytes()]);
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_in_every_part_and_between_processes() {
        let (secret, other) = (Secret::new().unwrap(), Secret::new().unwrap());
        let key = |a: &str, b: &str, c: &str| secret.key(&[a.as_bytes(), b.as_bytes(), c.as_bytes()]);
        let keys = [
            key("a", "b", "c"),
            key("ab", "", "c"),
            key("", "ab", "c"),
            key("a", "bc", ""),
            key("a", "b", "d"),
            other.key(&[b"a", b"b", b"c"]),
        ];
        for (index, key) in keys.iter().enumerate() {
            assert!(!keys[..index].contains(key), "{index}");
        }
        assert_eq!(key("a", "b", "c"), keys[0]);
        assert_eq!(secret.stable_choice("a"), secret.stable_choice("a"));
        assert_ne!(secret.stable_choice("a"), secret.stable_choice("b"));
    }
}
