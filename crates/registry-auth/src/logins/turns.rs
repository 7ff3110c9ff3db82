use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Which login is checked before which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Credentials that were right before. They are always next: no login gets into this lane without them.
    Proven,
    /// Addresses from which somebody logged in before.
    KnownAddress,
    /// Everybody else. Takes turns with the lane before.
    Strangers,
}

const LANES: usize = 3;

/// What is taken at once, and how many wait for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TurnLimits {
    /// Turns that are taken at once.
    pub(crate) at_once: usize,
    /// The logins that wait in each lane.
    pub(crate) waiting_max: usize,
    /// The logins of one group that wait in a lane.
    pub(crate) places: usize,
    /// The logins that wait in [`Lane::Proven`], of whatever group.
    pub(crate) proven_max: usize,
}

/// A queue in lanes, each shared fairly between groups: one after the other has a turn, however many wait of each.
pub(crate) struct Turns<G: Copy + Eq + Hash>(Arc<Shared<G>>);

/// The right to work now. The next has it when this is dropped.
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
    lanes: [Waiting<G>; LANES],
    /// Which of the last two lanes is next.
    alternate: usize,
    numbers: u64,
}

/// One that waits: its number, and where its turn is sent to.
type Entry<G> = (u64, oneshot::Sender<Turn<G>>);

struct Waiting<G: Copy + Eq + Hash> {
    /// None is empty.
    groups: HashMap<G, VecDeque<Entry<G>>>,
    /// The groups that wait, the next one first.
    order: VecDeque<G>,
    count: usize,
}

impl<G: Copy + Eq + Hash> Turns<G> {
    pub(crate) fn new(limits: TurnLimits) -> Turns<G> {
        let waiting = || Waiting { groups: HashMap::new(), order: VecDeque::new(), count: 0 };
        let state = State { taken: 0, lanes: [waiting(), waiting(), waiting()], alternate: 0, numbers: 0 };
        let limits = TurnLimits { at_once: limits.at_once.max(1), ..limits };
        Turns(Arc::new(Shared { limits, state: Mutex::new(state) }))
    }

    /// A turn, if one is free.
    pub(crate) fn try_turn(&self) -> Option<Turn<G>> {
        let mut state = self.0.state.lock();
        // While somebody waits, all turns are taken.
        (state.taken < self.0.limits.at_once).then(|| {
            state.taken += 1;
            Turn(Some(Arc::clone(&self.0)))
        })
    }

    /// Waits for a turn. Dropping the future leaves the queue.
    ///
    /// # Errors
    /// [`Full`], at once, if the lane or the group has no place left.
    pub(crate) async fn turn(&self, lane: Lane, group: G) -> Result<Turn<G>, Full> {
        let (place, granted) = {
            let mut state = self.0.state.lock();
            if state.taken < self.0.limits.at_once {
                state.taken += 1;
                return Ok(Turn(Some(Arc::clone(&self.0))));
            }
            let (number, granted) = state.join(lane, group, &self.0.limits)?;
            (Place { shared: &self.0, lane, group, number }, granted)
        };
        let turn = granted.await.map_err(|_| Full);
        drop(place);
        turn
    }

    /// How many wait.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.0.state.lock().lanes.iter().map(|lane| lane.count).sum()
    }
}

/// A place in the queue. It is left when this is dropped, unless it was left for a turn.
struct Place<'a, G: Copy + Eq + Hash> {
    shared: &'a Shared<G>,
    lane: Lane,
    group: G,
    number: u64,
}

impl<G: Copy + Eq + Hash> Drop for Place<'_, G> {
    fn drop(&mut self) {
        self.shared.state.lock().lanes[self.lane as usize].leave(self.group, self.number);
    }
}

impl<G: Copy + Eq + Hash> State<G> {
    fn join(
        &mut self,
        lane: Lane,
        group: G,
        limits: &TurnLimits,
    ) -> Result<(u64, oneshot::Receiver<Turn<G>>), Full> {
        self.numbers += 1;
        let (sender, granted) = oneshot::channel();
        let (waiting_max, places) = match lane {
            Lane::Proven => (limits.proven_max, limits.proven_max),
            Lane::KnownAddress | Lane::Strangers => (limits.waiting_max, limits.places),
        };
        self.lanes[lane as usize].join(group, (self.numbers, sender), waiting_max, places)?;
        Ok((self.numbers, granted))
    }

    fn next(&mut self) -> Option<oneshot::Sender<Turn<G>>> {
        if let Some(first) = self.lanes[Lane::Proven as usize].next() {
            return Some(first);
        }
        let lanes = [Lane::KnownAddress, Lane::Strangers];
        (0..lanes.len()).find_map(|step| {
            let index = (self.alternate + step) % lanes.len();
            let next = self.lanes[lanes[index] as usize].next()?;
            self.alternate = index + 1;
            Some(next)
        })
    }
}

impl<G: Copy + Eq + Hash> Waiting<G> {
    fn join(&mut self, group: G, entry: Entry<G>, waiting_max: usize, places: usize) -> Result<(), Full> {
        let of_the_group = self.groups.get(&group).map_or(0, VecDeque::len);
        if self.count >= waiting_max || of_the_group >= places {
            return Err(Full);
        }
        if of_the_group == 0 {
            self.order.push_back(group);
        }
        self.groups.entry(group).or_default().push_back(entry);
        self.count += 1;
        Ok(())
    }

    fn next(&mut self) -> Option<oneshot::Sender<Turn<G>>> {
        let group = self.order.pop_front()?;
        let entries = self.groups.get_mut(&group)?;
        let (_, next) = entries.pop_front()?;
        self.count -= 1;
        if entries.is_empty() {
            self.groups.remove(&group);
        } else {
            self.order.push_back(group);
        }
        Some(next)
    }

    fn leave(&mut self, group: G, number: u64) {
        let Some(entries) = self.groups.get_mut(&group) else { return };
        let Some(index) = entries.iter().position(|(other, _)| *other == number) else { return };
        entries.remove(index);
        self.count -= 1;
        if entries.is_empty() {
            self.groups.remove(&group);
            self.order.retain(|other| *other != group);
        }
    }
}

impl<G: Copy + Eq + Hash> Drop for Turn<G> {
    fn drop(&mut self) {
        let Some(shared) = self.0.take() else { return };
        shared.state.lock().taken -= 1;
        loop {
            let next = {
                let mut state = shared.state.lock();
                if state.taken >= shared.limits.at_once {
                    return;
                }
                let Some(next) = state.next() else { return };
                state.taken += 1;
                next
            };
            // It may be leaving just now.
            if let Err(mut refused) = next.send(Turn(Some(Arc::clone(&shared)))) {
                refused.0 = None;
                shared.state.lock().taken -= 1;
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

    const LIMITS: TurnLimits = TurnLimits { at_once: 1, waiting_max: 6, places: 3, proven_max: 10 };

    type Attempt<'a> = Pin<Box<dyn Future<Output = Result<Turn<u8>, Full>> + 'a>>;

    /// A login that waits.
    fn waits(turns: &Turns<u8>, lane: Lane, group: u8) -> Attempt<'_> {
        let mut attempt: Attempt<'_> = Box::pin(turns.turn(lane, group));
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
        assert!(waiting.is_empty(), "somebody was left");
        order
    }

    #[tokio::test]
    async fn groups_take_turns_however_many_wait_of_each() {
        let turns = Turns::new(LIMITS);
        let busy = turns.turn(Lane::Strangers, 0).await.unwrap();
        let waiting = [("a1", 1), ("a2", 1), ("a3", 1), ("b1", 2), ("c1", 3)]
            .map(|(name, group)| (name, waits(&turns, Lane::Strangers, group)));
        assert_eq!(order(busy, waiting.into()), ["a1", "b1", "c1", "a2", "a3"]);
    }

    #[tokio::test]
    async fn proven_credentials_come_first_and_known_addresses_take_turns_with_strangers() {
        let turns = Turns::new(LIMITS);
        let busy = turns.turn(Lane::Strangers, 0).await.unwrap();
        let waiting = [
            ("stranger 1", Lane::Strangers, 1),
            ("stranger 2", Lane::Strangers, 2),
            ("stranger 3", Lane::Strangers, 3),
            ("known 1", Lane::KnownAddress, 4),
            ("proven 1", Lane::Proven, 5),
            ("proven 2", Lane::Proven, 1),
        ]
        .map(|(name, lane, group)| (name, waits(&turns, lane, group)));
        let expected = ["proven 1", "proven 2", "known 1", "stranger 1", "stranger 2", "stranger 3"];
        assert_eq!(order(busy, waiting.into()), expected);
    }

    #[tokio::test]
    async fn places_are_few_and_are_left_by_those_who_give_up() {
        let turns = Turns::new(LIMITS);
        let busy = turns.turn(Lane::Strangers, 0).await.unwrap();
        let mut waiting: Vec<_> = [1, 1, 1, 2, 2].map(|group| waits(&turns, Lane::Strangers, group)).into();
        assert_eq!(turns.turn(Lane::Strangers, 1).await.err(), Some(Full), "the group has no more places");
        waiting.push(waits(&turns, Lane::Strangers, 3));
        assert_eq!(turns.turn(Lane::Strangers, 4).await.err(), Some(Full), "the lane has no more places");
        drop(waits(&turns, Lane::KnownAddress, 4));
        assert_eq!(turns.waiting(), 6);
        drop(waiting);
        assert_eq!(turns.waiting(), 0);
        drop(busy);
        drop(turns.turn(Lane::Strangers, 1).await.unwrap());
    }

    #[tokio::test]
    async fn a_turn_that_was_given_to_one_who_is_gone_goes_on_to_the_next() {
        let turns = Turns::new(LIMITS);
        let busy = turns.turn(Lane::Strangers, 0).await.unwrap();
        let gone = waits(&turns, Lane::Strangers, 1);
        let mut next = waits(&turns, Lane::Strangers, 2);
        drop(busy);
        assert!(poll(&mut next).is_none());
        drop(gone);
        assert!(poll(&mut next).is_some());
    }
}
