use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Which login is checked before which: the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    /// Whether these credentials were not right before. No login gets in front of this without them.
    pub(crate) is_unproven: bool,
    /// How often logins failed for this name from this address, and from this address, not long ago.
    pub(crate) failures: u32,
    /// Whether these credentials come for the first time. Those that were refused without a check keep their place so.
    pub(crate) is_new: bool,
    /// Whether no login succeeded from this address not long ago.
    pub(crate) is_stranger: bool,
}

impl Rank {
    /// The rank of credentials that were right before.
    pub(crate) const PROVEN: Rank =
        Rank { is_unproven: false, failures: 0, is_new: false, is_stranger: false };

    /// The rank of what is done when nothing else is to be done.
    pub(crate) const IDLE: Rank =
        Rank { is_unproven: true, failures: u32::MAX, is_new: true, is_stranger: true };
}

/// What is taken at once, and how many logins wait for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TurnLimits {
    /// Turns that are taken at once.
    pub(crate) at_once: usize,
    /// The logins that wait. Beyond it the last in the order goes.
    pub(crate) waiting_max: usize,
    /// Whether of two logins that are equal in all else the later one goes first.
    pub(crate) is_newest_first: bool,
}

/// A queue in the order of ranks. Logins of one rank are shared fairly between groups: the first of each group is served
/// before the second of any, however many wait of each.
pub(crate) struct Turns<G: Copy + Eq + Hash>(Arc<Shared<G>>);

impl<G: Copy + Eq + Hash> Clone for Turns<G> {
    fn clone(&self) -> Turns<G> {
        Turns(Arc::clone(&self.0))
    }
}

/// The right to work now. The next login in the queue has it when this is dropped.
pub(crate) struct Turn<G: Copy + Eq + Hash>(Option<Arc<Shared<G>>>);

/// There is no place left to wait in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

struct Shared<G: Copy + Eq + Hash> {
    limits: TurnLimits,
    state: Mutex<State<G>>,
}

struct State<G: Copy + Eq + Hash> {
    taken: usize,
    waiting: BTreeMap<Position, Entry<G>>,
    /// How many logins of a group wait; none has 0.
    groups: HashMap<G, u32>,
    numbers: u64,
}

/// A place in the queue: the rank, how many of the group waited at the arrival, and the arrival's number, which counts
/// downwards if the newest goes first.
type Position = (Rank, u32, u64);

struct Entry<G: Copy + Eq + Hash> {
    group: G,
    /// Where the turn is sent to.
    turn: oneshot::Sender<Turn<G>>,
}

impl<G: Copy + Eq + Hash> Turns<G> {
    pub(crate) fn new(limits: TurnLimits) -> Turns<G> {
        let state = State { taken: 0, waiting: BTreeMap::new(), groups: HashMap::new(), numbers: 0 };
        let limits = TurnLimits { at_once: limits.at_once.max(1), ..limits };
        Turns(Arc::new(Shared { limits, state: Mutex::new(state) }))
    }

    /// A turn, if one is free.
    pub(crate) fn try_turn(&self) -> Option<Turn<G>> {
        let mut state = self.0.state.lock();
        // While a login waits, all turns are taken.
        (state.taken < self.0.limits.at_once).then(|| {
            state.taken += 1;
            Turn(Some(Arc::clone(&self.0)))
        })
    }

    /// Waits for a turn. Dropping the future leaves the queue.
    ///
    /// # Errors
    /// [`Full`] if the queue is full and all others in it are before this login; or later, when it is full and this login has
    /// become the last.
    pub(crate) async fn turn(&self, rank: Rank, group: G) -> Result<Turn<G>, Full> {
        let (place, granted) = {
            let mut state = self.0.state.lock();
            if state.taken < self.0.limits.at_once {
                state.taken += 1;
                return Ok(Turn(Some(Arc::clone(&self.0))));
            }
            let (position, granted) = state.join(rank, group, self.0.limits)?;
            (Place { shared: &self.0, position }, granted)
        };
        let turn = granted.await.map_err(|_| Full);
        drop(place);
        turn
    }

    /// Whether no turn is taken.
    pub(crate) fn is_idle(&self) -> bool {
        self.0.state.lock().taken == 0
    }

    /// How many wait.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.0.state.lock().waiting.len()
    }
}

/// A place in the queue. It is left when this is dropped, unless it was left for a turn.
struct Place<'a, G: Copy + Eq + Hash> {
    shared: &'a Shared<G>,
    position: Position,
}

impl<G: Copy + Eq + Hash> Drop for Place<'_, G> {
    fn drop(&mut self) {
        self.shared.state.lock().leave(self.position);
    }
}

impl<G: Copy + Eq + Hash> State<G> {
    fn join(
        &mut self,
        rank: Rank,
        group: G,
        limits: TurnLimits,
    ) -> Result<(Position, oneshot::Receiver<Turn<G>>), Full> {
        self.numbers += 1;
        let number = if limits.is_newest_first { u64::MAX - self.numbers } else { self.numbers };
        let position = (rank, self.groups.get(&group).copied().unwrap_or(0), number);
        if self.waiting.len() >= limits.waiting_max {
            let last = self.waiting.last_key_value().map(|(last, _)| *last);
            // Without its sender, the last login ends as `Full`.
            self.leave(last.filter(|last| position < *last).ok_or(Full)?);
        }
        let (turn, granted) = oneshot::channel();
        *self.groups.entry(group).or_insert(0) += 1;
        self.waiting.insert(position, Entry { group, turn });
        Ok((position, granted))
    }

    fn leave(&mut self, position: Position) -> Option<oneshot::Sender<Turn<G>>> {
        let Entry { group, turn } = self.waiting.remove(&position)?;
        if let Some(count) = self.groups.get_mut(&group) {
            *count -= 1;
            if *count == 0 {
                self.groups.remove(&group);
            }
        }
        Some(turn)
    }

    fn next(&mut self) -> Option<oneshot::Sender<Turn<G>>> {
        let first = *self.waiting.first_key_value()?.0;
        self.leave(first)
    }
}

impl<G: Copy + Eq + Hash> Drop for Turn<G> {
    fn drop(&mut self) {
        let Some(shared) = self.0.take() else { return };
        let mut state = shared.state.lock();
        state.taken -= 1;
        // Under one lock, so that a newcomer does not get what others wait for.
        while state.taken < shared.limits.at_once {
            let Some(next) = state.next() else { return };
            // It may be leaving just now.
            match next.send(Turn(Some(Arc::clone(&shared)))) {
                Ok(()) => state.taken += 1,
                Err(mut refused) => refused.0 = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    use super::*;

    const LIMITS: TurnLimits = TurnLimits { at_once: 1, waiting_max: 6, is_newest_first: false };

    /// A login from an address that is not known.
    const NEW: Rank = Rank { is_unproven: true, failures: 0, is_new: true, is_stranger: true };

    type Attempt<'a> = Pin<Box<dyn Future<Output = Result<Turn<u8>, Full>> + 'a>>;

    /// A login that waits.
    fn waits(turns: &Turns<u8>, rank: Rank, group: u8) -> Attempt<'_> {
        let mut attempt: Attempt<'_> = Box::pin(turns.turn(rank, group));
        assert!(poll(&mut attempt).is_none(), "all turns are taken");
        attempt
    }

    fn poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    /// The names of the logins that wait, in the order in which they have their turns.
    fn order(turn: Turn<u8>, mut waiting: Vec<(&'static str, Attempt<'_>)>) -> Vec<&'static str> {
        let (mut order, mut turn) = (Vec::new(), Some(turn));
        while turn.take().is_some() {
            let served = waiting.iter_mut().enumerate().find_map(|(index, (name, attempt))| {
                Some((index, *name, poll(attempt)?.expect("it has its turn")))
            });
            if let Some((index, name, next)) = served {
                order.push(name);
                drop(waiting.remove(index));
                turn = Some(next);
            }
        }
        assert!(waiting.is_empty(), "a login was left");
        order
    }

    #[tokio::test]
    async fn groups_take_turns_however_many_wait_of_each() {
        let turns = Turns::new(LIMITS);
        let busy = turns.turn(NEW, 0).await.unwrap();
        let waiting = [("a1", 1), ("a2", 1), ("a3", 1), ("b1", 2), ("c1", 3)]
            .map(|(name, group)| (name, waits(&turns, NEW, group)));
        assert_eq!(order(busy, waiting.into()), ["a1", "b1", "c1", "a2", "a3"]);
    }

    #[tokio::test]
    async fn the_newest_goes_first_where_that_is_asked() {
        let turns = Turns::new(TurnLimits { is_newest_first: true, ..LIMITS });
        let busy = turns.turn(NEW, 0).await.unwrap();
        let failed = Rank { failures: 1, ..NEW };
        let waiting = [("a1", NEW, 1), ("a2", NEW, 1), ("b1", NEW, 2), ("c1", failed, 3)]
            .map(|(name, rank, group)| (name, waits(&turns, rank, group)));
        assert_eq!(order(busy, waiting.into()), ["b1", "a1", "a2", "c1"]);
    }

    #[tokio::test]
    async fn what_was_right_comes_first_and_then_what_failed_least() {
        let turns = Turns::new(LIMITS);
        let busy = turns.turn(NEW, 0).await.unwrap();
        let waiting = [
            ("failed twice", Rank { failures: 2, ..NEW }, 1),
            ("failed once", Rank { failures: 1, ..NEW }, 2),
            ("failed once, again", Rank { failures: 1, is_new: false, ..NEW }, 3),
            ("never failed", NEW, 4),
            ("never failed, known address", Rank { is_stranger: false, ..NEW }, 5),
            ("proven", Rank::PROVEN, 1),
        ]
        .map(|(name, rank, group)| (name, waits(&turns, rank, group)));
        let expected = [
            "proven",
            "never failed, known address",
            "never failed",
            "failed once, again",
            "failed once",
            "failed twice",
        ];
        assert_eq!(order(busy, waiting.into()), expected);
    }

    #[tokio::test]
    async fn places_are_few_and_the_last_in_the_order_makes_room() {
        let turns = Turns::new(LIMITS);
        let busy = turns.turn(NEW, 0).await.unwrap();
        let mut waiting: Vec<_> = [1, 1, 1, 2, 2, 2].map(|group| waits(&turns, NEW, group)).into();
        let failed = Rank { failures: 1, ..NEW };
        assert_eq!(turns.turn(failed, 3).await.err(), Some(Full), "all others are before it");
        let first = waits(&turns, NEW, 3);
        assert_eq!(turns.waiting(), 6);
        assert_eq!(poll(&mut waiting[5]).unwrap().err(), Some(Full), "the third of a group was the last");
        drop(first);
        assert_eq!(turns.waiting(), 5);
        drop(waiting);
        assert_eq!(turns.waiting(), 0);
        assert!(turns.0.state.lock().groups.is_empty());
        drop(busy);
        assert!(turns.is_idle());
        drop(turns.turn(NEW, 1).await.unwrap());
    }

    #[tokio::test]
    async fn a_turn_that_was_given_to_one_who_is_gone_goes_on_to_the_next() {
        let turns = Turns::new(LIMITS);
        let busy = turns.turn(NEW, 0).await.unwrap();
        let gone = waits(&turns, NEW, 1);
        let mut next = waits(&turns, NEW, 2);
        drop(busy);
        assert!(poll(&mut next).is_none());
        drop(gone);
        assert!(poll(&mut next).is_some());
    }
}
