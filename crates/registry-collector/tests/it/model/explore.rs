//! Every state that can be reached, breadth first, so that what is found wrong has the shortest way to it.
//!
//! The crates that do this bring a web server and older versions of what is used here already; what is needed of them is
//! on this page.

use std::{
    collections::HashSet,
    fmt::Debug,
    hash::{BuildHasherDefault, Hash, Hasher},
};

/// More than any scope here has: a model that is not finite fails and does not fill the memory.
const STATES_MAX: usize = 5_000_000;

/// Something whose states can be counted.
pub(super) trait Model {
    type State: Copy + Eq + Hash + Debug;
    type Action: Copy + Debug;

    fn initial(&self) -> Self::State;

    /// What may happen at any time.
    fn actions(&self) -> Vec<Self::Action>;

    /// What may happen in this state besides.
    fn more_actions(&self, state: &Self::State, actions: &mut Vec<Self::Action>);

    /// What becomes of a state; none where this can not happen.
    fn next(&self, state: &Self::State, action: Self::Action) -> Option<Self::State>;

    /// What is wrong with a state.
    fn wrong(&self, state: &Self::State) -> Option<&'static str>;
}

/// What an exploration found.
pub(super) struct Explored<S> {
    /// All of them, or those until something was wrong.
    pub(super) states: Vec<S>,
    /// What was wrong, and how it came to that.
    pub(super) wrong: Option<(&'static str, String)>,
}

/// Goes to every state, or to the first that is wrong.
pub(super) fn explore<M: Model>(model: &M) -> Explored<M::State> {
    let (mut actions, initial) = (model.actions(), model.initial());
    let always = actions.len();
    let mut states = vec![initial];
    // From where each state was reached first, and how.
    let mut ways: Vec<Option<(usize, M::Action)>> = vec![None];
    let mut known = HashSet::<M::State, BuildHasherDefault<Quick>>::from_iter([initial]);
    let mut at = 0;
    while at < states.len() {
        let state = states[at];
        if let Some(wrong) = model.wrong(&state) {
            let way = tell(&states, &ways, at);
            return Explored { states, wrong: Some((wrong, way)) };
        }
        actions.truncate(always);
        model.more_actions(&state, &mut actions);
        for action in &actions {
            let Some(next) = model.next(&state, *action) else { continue };
            if known.insert(next) {
                states.push(next);
                ways.push(Some((at, *action)));
            }
        }
        assert!(states.len() < STATES_MAX, "the model has no end");
        at += 1;
    }
    Explored { states, wrong: None }
}

fn tell<S: Debug, A: Debug>(states: &[S], ways: &[Option<(usize, A)>], end: usize) -> String {
    let mut lines = vec![format!("{:?}", states[end])];
    let mut at = end;
    while let Some((from, action)) = &ways[at] {
        lines.push(format!("{action:?}"));
        at = *from;
    }
    lines.reverse();
    lines.join("\n")
}

/// A hash that is as good as it must be where nobody chooses what is hashed, and five times as fast as the usual one.
#[derive(Default)]
struct Quick(u64);

impl Hasher for Quick {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u8(*byte);
        }
    }

    fn write_u8(&mut self, byte: u8) {
        self.0 = (self.0.rotate_left(5) ^ u64::from(byte)).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    fn write_isize(&mut self, number: isize) {
        self.write_u8(number as u8);
    }

    fn write_usize(&mut self, _length: usize) {}

    fn finish(&self) -> u64 {
        self.0.rotate_left(26)
    }
}
