use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

/// What was seen not long ago: so many entries, each for so long. The oldest makes room.
pub(crate) struct Memory<K, V> {
    ttl: Duration,
    entries_max: usize,
    entries: HashMap<K, (V, Instant)>,
    /// In the order in which they expire, which is that of insertion.
    order: VecDeque<(K, Instant)>,
}

impl<K: Copy + Eq + Hash, V: Clone> Memory<K, V> {
    pub(crate) fn new(ttl: Duration, entries_max: usize) -> Memory<K, V> {
        Memory { ttl, entries_max, entries: HashMap::new(), order: VecDeque::new() }
    }

    pub(crate) fn get(&self, key: &K, now: Instant) -> Option<V> {
        let (value, expires) = self.entries.get(key)?;
        (now < *expires).then(|| value.clone())
    }

    pub(crate) fn has(&self, key: &K, now: Instant) -> bool {
        self.entries.get(key).is_some_and(|(_, expires)| now < *expires)
    }

    pub(crate) fn insert(&mut self, key: K, value: V, now: Instant) {
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
            self.entries.insert(key, (value, now + self.ttl));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_expire_and_are_bounded() {
        let mut memory = Memory::new(Duration::from_secs(60), 2);
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        memory.insert(1, "ada", at(0));
        memory.insert(2, "bob", at(10));
        assert_eq!(memory.get(&1, at(59)), Some("ada"));
        assert_eq!(memory.get(&1, at(60)), None);
        assert_eq!(memory.get(&2, at(60)), Some("bob"));
        memory.insert(3, "cat", at(20));
        assert!(!memory.has(&1, at(20)), "the oldest made room");
        assert!(memory.has(&3, at(20)));
        memory.insert(2, "bob", at(30));
        memory.insert(2, "bob", at(75));
        assert!(memory.has(&2, at(100)), "inserted again, it lasts longer");
        assert!(memory.entries.len() <= 2 && memory.order.len() <= 2);

        let mut none = Memory::new(Duration::from_secs(60), 0);
        none.insert(1, "ada", at(0));
        assert!(!none.has(&1, at(0)));
    }
}
