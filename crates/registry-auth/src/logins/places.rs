use std::collections::HashMap;
use std::hash::Hash;

use parking_lot::Mutex;

/// Places of which each group may hold as many as are free: one group never has more than half, and leaves some to all others.
pub(crate) struct Places<G: Copy + Eq + Hash>(Mutex<State<G>>);

struct State<G> {
    free: usize,
    /// How many a group holds; none has 0.
    held: HashMap<G, usize>,
}

/// A place, until this is dropped.
pub(crate) struct Place<'a, G: Copy + Eq + Hash> {
    places: &'a Places<G>,
    group: G,
}

impl<G: Copy + Eq + Hash> Places<G> {
    pub(crate) fn new(number: usize) -> Places<G> {
        Places(Mutex::new(State { free: number, held: HashMap::new() }))
    }

    /// A place, unless the group holds as many as are free.
    pub(crate) fn take(&self, group: G) -> Option<Place<'_, G>> {
        let mut state = self.0.lock();
        let held = state.held.get(&group).copied().unwrap_or(0);
        if held >= state.free {
            return None;
        }
        state.free -= 1;
        state.held.insert(group, held + 1);
        Some(Place { places: self, group })
    }
}

impl<G: Copy + Eq + Hash> Drop for Place<'_, G> {
    fn drop(&mut self) {
        let mut state = self.places.0.lock();
        state.free += 1;
        let held = state.held.get(&self.group).map_or(0, |held| held - 1);
        if held == 0 {
            state.held.remove(&self.group);
        } else {
            state.held.insert(self.group, held);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_holds_no_more_than_are_free() {
        let places = Places::new(8);
        let first: Vec<_> = std::iter::from_fn(|| places.take('a')).collect();
        let second: Vec<_> = std::iter::from_fn(|| places.take('b')).collect();
        assert_eq!((first.len(), second.len()), (4, 2));
        assert!(places.take('c').is_some());
        drop((first, second));
        assert_eq!(places.0.lock().free, 8);
        assert!(places.0.lock().held.is_empty());
    }
}
