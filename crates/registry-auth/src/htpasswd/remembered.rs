//! Credentials that were right not long ago.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use crate::caller::UserName;

/// A hash of user, password and the user's line, under a secret of this process: of no use to anybody who reads it. As the
/// line is part of it, changing a password or removing a user forgets what was remembered.
pub(super) type Key = [u8; 32];

pub(super) struct Remembered {
    secret: [u8; 32],
    ttl: Duration,
    entries_max: usize,
    entries: HashMap<Key, (UserName, Instant)>,
    /// In the order in which they expire, which is that of insertion.
    order: VecDeque<(Key, Instant)>,
}

impl Remembered {
    pub(super) fn new(ttl: Duration, entries_max: usize) -> Result<Remembered, getrandom::Error> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)?;
        Ok(Remembered { secret, ttl, entries_max, entries: HashMap::new(), order: VecDeque::new() })
    }

    /// `None` for a user without a hash: there is nothing to be remembered.
    pub(super) fn key(&self, user: &str, password: &[u8], hash: Option<&str>) -> Option<Key> {
        Some(self.keyed(&[user.as_bytes(), password, hash?.as_bytes()]))
    }

    /// A number that is always the same for a name, and that nobody outside can know.
    pub(super) fn stable_choice(&self, user: &str) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.keyed(&[user.as_bytes()]);
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    /// Hashed twice with the secret in front, as in HMAC, so that no hash can be continued into another.
    fn keyed(&self, parts: &[&[u8]]) -> Key {
        let mut inner = Sha256::new_with_prefix(self.secret);
        for part in parts {
            inner.update((part.len() as u64).to_be_bytes());
            inner.update(part);
        }
        Sha256::new_with_prefix(self.secret).chain_update(inner.finalize()).finalize().into()
    }

    pub(super) fn get(&self, key: &Key, now: Instant) -> Option<UserName> {
        let (name, expires) = self.entries.get(key)?;
        (now < *expires).then(|| name.clone())
    }

    pub(super) fn insert(&mut self, key: Key, name: UserName, now: Instant) {
        while let Some((oldest, expires)) = self.order.front().copied()
            && (expires <= now || self.order.len() >= self.entries_max)
        {
            self.order.pop_front();
            // It may have been inserted again since.
            if self.entries.get(&oldest).is_some_and(|(_, current)| *current == expires) {
                self.entries.remove(&oldest);
            }
        }
        if self.entries_max > 0 {
            self.order.push_back((key, now + self.ttl));
            self.entries.insert(key, (name, now + self.ttl));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remembered(entries_max: usize) -> Remembered {
        Remembered::new(Duration::from_secs(60), entries_max).unwrap()
    }

    fn user() -> UserName {
        "ada".parse().unwrap()
    }

    #[test]
    fn keys_differ_in_every_part_and_between_processes() {
        let store = remembered(1);
        let key = |user, password: &str, hash| store.key(user, password.as_bytes(), Some(hash)).unwrap();
        let keys = [
            key("a", "b", "c"),
            key("ab", "", "c"),
            key("", "ab", "c"),
            key("a", "bc", ""),
            key("a", "b", "d"),
            remembered(1).key("a", b"b", Some("c")).unwrap(),
        ];
        for (index, key) in keys.iter().enumerate() {
            assert!(!keys[..index].contains(key), "{index}");
        }
        assert_eq!(key("a", "b", "c"), keys[0]);
        assert_eq!(store.key("a", b"b", None), None);
        assert_eq!(store.stable_choice("a"), store.stable_choice("a"));
        assert_ne!(store.stable_choice("a"), store.stable_choice("b"));
    }

    #[test]
    fn entries_expire_and_are_bounded() {
        let mut store = remembered(2);
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let [one, two, three] = [[1; 32], [2; 32], [3; 32]];
        store.insert(one, user(), at(0));
        store.insert(two, user(), at(10));
        assert_eq!(store.get(&one, at(59)), Some(user()));
        assert_eq!(store.get(&one, at(60)), None);
        assert_eq!(store.get(&two, at(60)), Some(user()));
        store.insert(three, user(), at(20));
        assert_eq!(store.get(&one, at(20)), None, "the oldest made room");
        assert_eq!(store.get(&three, at(20)), Some(user()));
        store.insert(two, user(), at(30));
        store.insert(two, user(), at(75));
        assert_eq!(store.get(&two, at(100)), Some(user()), "inserted again, it lasts longer");
        assert!(store.entries.len() <= 2 && store.order.len() <= 2);

        let mut none = remembered(0);
        none.insert(one, user(), at(0));
        assert_eq!(none.get(&one, at(0)), None);
    }
}
