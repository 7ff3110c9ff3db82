use std::collections::{BTreeMap, BTreeSet};

use registry_digest::Digest;
use registry_types::Version;

/// What images are sorted by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Time(i64),
    Version(Version),
}

/// The newest of the images that it is shown, at most so many. An image that has several tags counts once, as new as the
/// newest of them. Of two that are equally new the one with the greater digest counts as newer: so the order in which they are
/// shown makes no difference.
#[derive(Debug)]
pub(super) struct Newest {
    count: usize,
    keys: BTreeMap<Digest, Key>,
    order: BTreeSet<(Key, Digest)>,
}

impl Newest {
    pub(super) fn new(count: u32) -> Newest {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        Newest { count, keys: BTreeMap::new(), order: BTreeSet::new() }
    }

    pub(super) fn see(&mut self, digest: Digest, key: Key) {
        match self.keys.get(&digest) {
            Some(known) if *known >= key => return,
            Some(known) => {
                self.order.remove(&(known.clone(), digest));
            }
            None => {}
        }
        self.keys.insert(digest, key.clone());
        self.order.insert((key, digest));
        // One that is left out now has so many that are newer, whatever comes; if it comes again as newer, it is let in again.
        if self.order.len() > self.count
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.keys.remove(&oldest);
        }
    }

    pub(super) fn contains(&self, digest: &Digest) -> bool {
        self.keys.contains_key(digest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use registry_digest::Algorithm;

    use super::*;

    fn digest(number: u8) -> Digest {
        Digest::of(Algorithm::Sha256, &[number])
    }

    proptest! {
        /// Against sorting everything.
        #[test]
        fn the_newest_are_the_same_in_whatever_order_they_come(
            seen in prop::collection::vec((0u8..12, 0i64..6), 0..60).prop_shuffle(),
            count in 1u32..8,
        ) {
            let mut newest = Newest::new(count);
            let mut best: BTreeMap<Digest, i64> = BTreeMap::new();
            for (number, time) in &seen {
                newest.see(digest(*number), Key::Time(*time));
                prop_assert!(newest.keys.len() <= count as usize, "it is bounded");
                let known = best.entry(digest(*number)).or_insert(*time);
                *known = (*known).max(*time);
            }
            let mut sorted: Vec<(i64, Digest)> = best.into_iter().map(|(digest, time)| (time, digest)).collect();
            sorted.sort_unstable_by(|one, other| other.cmp(one));
            for (index, (_, digest)) in sorted.iter().enumerate() {
                prop_assert_eq!(newest.contains(digest), index < count as usize);
            }
        }
    }
}
