use std::str::FromStr;

use zeroize::Zeroizing;

use crate::{Key, KeyId, ParseKeyError};

/// How many keys a process has at most: the current one and those of former rotations.
pub const KEYS_MAX: usize = 8;

/// The key that seals, and former ones that still open. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys(Vec<Key>);

impl Keys {
    /// One key, which seals and opens.
    pub fn new(key: Key) -> Keys {
        Keys(vec![key])
    }

    /// The key that seals.
    pub fn current(&self) -> &Key {
        &self.0[0]
    }

    /// All of them, the current one first.
    pub fn all(&self) -> &[Key] {
        &self.0
    }

    /// Those with this id: none or one, and by a rare chance two.
    pub(crate) fn with_id(&self, id: KeyId) -> impl Iterator<Item = &Key> {
        self.0.iter().filter(move |key| key.id() == id)
    }

    /// These keys as former ones, and a new current one.
    ///
    /// # Errors
    /// [`ParseKeyError::Many`], if there are [`KEYS_MAX`] already.
    pub fn with_current(&self, key: Key) -> Result<Keys, ParseKeyError> {
        let all: Vec<Key> = std::iter::once(key).chain(self.0.iter().cloned()).collect();
        Keys::checked(all)
    }

    fn checked(all: Vec<Key>) -> Result<Keys, ParseKeyError> {
        match all.len() {
            0 => Err(ParseKeyError::None),
            1..=KEYS_MAX => Ok(Keys(all)),
            _ => Err(ParseKeyError::Many),
        }
    }

    /// As a key file has them: one in a line, the current one first.
    pub fn to_text(&self) -> Zeroizing<String> {
        // As long as it becomes, so that no copy of a part of it is left behind.
        let mut text = Zeroizing::new(String::with_capacity(self.0.len() * 64));
        for key in &self.0 {
            text.push_str(&key.to_text());
            text.push('\n');
        }
        text
    }
}

/// One key or more, with white space between them; the first seals.
impl FromStr for Keys {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Keys, ParseKeyError> {
        // One more than there may be, so that a long text is not read to its end.
        let all: Result<Vec<Key>, _> =
            text.split_ascii_whitespace().take(KEYS_MAX + 1).map(str::parse).collect();
        Keys::checked(all?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_key_seals_and_all_are_kept() {
        let keys: Vec<Key> = (1..=3).map(|byte| Key::from([byte; 32])).collect();
        let text = format!("  {}\n{}\t{}\r\n", *keys[0].to_text(), *keys[1].to_text(), *keys[2].to_text());
        let parsed: Keys = text.parse().unwrap();
        assert_eq!((parsed.current(), parsed.all()), (&keys[0], &keys[..]));
        assert_eq!(parsed.to_text().parse::<Keys>().unwrap(), parsed);
        let newer = parsed.with_current(Key::from([9; 32])).unwrap();
        assert_eq!((newer.current(), newer.all().len()), (&Key::from([9; 32]), 4));
    }

    #[test]
    fn there_is_one_key_at_least_and_eight_at_most() {
        assert_eq!(" \n".parse::<Keys>(), Err(ParseKeyError::None));
        let line = Key::from([1; 32]).to_text();
        let eight = [line.as_str(); KEYS_MAX].join(" ");
        let keys: Keys = eight.parse().unwrap();
        assert_eq!(format!("{eight} {}", *line).parse::<Keys>(), Err(ParseKeyError::Many));
        assert_eq!(keys.with_current(Key::from([2; 32])), Err(ParseKeyError::Many));
    }
}
