//! Which login is checked when, and which is refused.
//!
//! A check costs a processor 50 milliseconds, so strangers could keep all users out by asking for many. What is done about
//! that, and in this order:
//!
//! 1. **Remembered** credentials are not checked at all: for ten minutes those that were right, for one those that were
//!    wrong. So a client with an old password that tries again and again costs nothing, and is no guess either.
//! 2. The same credentials from the same place at the same time are one check.
//! 3. **Proven** credentials, which were right within a day, pass everything that follows and are checked first. They are
//!    known by their whole hash: nothing can be learnt about a name by it.
//! 4. **Turns go to those that failed least**: logins wait in the order of the failures of their name at their address and of
//!    that address within the last two hours; then come credentials that were refused without a check before, and addresses
//!    from which a login succeeded within a day. Of one address no second login is served before the first of another.
//!    A login is refused if its turn does not come in time.
//! 5. **Users overtake**: while a login waits, a checker of its own looks at it if its name is in the file, and what is right
//!    is answered at once. What is wrong is answered when and as if nothing had been looked at. So users get in while a
//!    thousand strangers ask for names that do not exist, and neither the answers nor their times tell which do.
//! 6. **Guesses are slowed**: ten for a name from an address, then one in ten seconds; fifty from an address, then one a
//!    second. Never for a name alone, or strangers could lock out its user. A right password gives the token back. An address
//!    that is not public is not slowed as a whole, since a proxy may be there and all clients behind it; names from it are.
//! 7. **A login that is held back so** gets no answer but a right one: it may only overtake, one at a time and few a second,
//!    and is refused if it does not turn out to be right in time, like a name that does not exist.
//!
//! A user whose credentials are not proven is kept out only by many who guess for the same name from the same address at the
//! same time, and then for the first attempt: the second finds its place kept, unless the others repeat their guesses as well.
//! Behind a proxy all have its address: `http.trustedproxies` tells them apart.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::file::Users;
use super::guesses::Guesses;
use super::{HtpasswdOptions, Shared};
use crate::caller::UserName;
use crate::logins::{
    Flights, Full, Joined, Key, Memory, Rank, Secret, Slots, Source, Turn, TurnLimits, Turns,
};

/// How long credentials count as proven, and an address as known.
const PROVEN: Duration = Duration::from_secs(24 * 3600);

/// How long wrong credentials are remembered, and how many.
const WRONG: Duration = Duration::from_secs(60);
const WRONG_MAX: usize = 10_000;

/// How long credentials that were refused without a check keep their place, and how many.
const UNCHECKED: Duration = Duration::from_secs(60);
const UNCHECKED_MAX: usize = 32_768;

/// Addresses from which a login succeeded.
const KNOWN_MAX: usize = 10_000;

/// After how long a login is refused whose turn did not come; and one that is held back.
const LATE: Duration = Duration::from_secs(5);
const HELD_LATE: Duration = Duration::from_millis(900);

/// How many logins wait for their turn, and how many that have no turn for the refusal; those beyond have it at once.
const WAITING_MAX: usize = 8192;

/// How often a login that is held back is looked at: of one name at an address, and of one address.
const HELD_NAME_INTERVAL: Duration = Duration::from_millis(600);
const HELD_ADDRESS_INTERVAL: Duration = Duration::from_millis(200);

/// When to come again to a queue that is full.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What an attempt comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Right(UserName),
    Wrong,
    /// The same was found wrong a moment ago.
    WrongAgain,
    /// Not even a password.
    Unreadable,
    /// Not looked at, or so it must seem.
    Slowed(Duration),
    /// The check did not come to an end.
    Failed(Arc<str>),
}

/// A login that waits for its decision.
pub(super) struct Attempt {
    users: Arc<Users>,
    name: UserName,
    password: Vec<u8>,
    pub(super) source: Source,
    /// Which of the users a name is compared with that is none.
    choice: u64,
    /// All of it, with the line that the password is compared with: when that changes, nothing is remembered any more.
    key: Key,
    /// The name at this address.
    pub(super) pair: Key,
}

/// What logins share: an address, or a name at an address that many clients may share.
pub(super) type Group = (Source, Option<Key>);

pub(super) struct Gate {
    secret: Secret,
    right: Mutex<Memory<Key, UserName>>,
    proven: Mutex<Memory<Key, ()>>,
    wrong: Mutex<Memory<Key, ()>>,
    unchecked: Mutex<Memory<Key, ()>>,
    known: Mutex<Memory<Source, ()>>,
    guesses: Mutex<Guesses>,
    flights: Flights<(Key, Source), Outcome>,
    turns: Turns<Group>,
    overtaking: Turns<Group>,
    held: Slots<HeldBy>,
    late: Semaphore,
}

/// How a login stands among others.
#[derive(Clone, Copy)]
struct Standing {
    rank: Rank,
    /// How long no guess is left for its name at its address, and for its address.
    held_by_name: Option<Duration>,
    held_by_address: Option<Duration>,
}

/// What logins are held back by.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum HeldBy {
    Name(Key),
    Address(Source),
}

impl Gate {
    pub(super) fn new(options: &HtpasswdOptions) -> Result<Gate, getrandom::Error> {
        let limits =
            TurnLimits { at_once: options.checks_max, waiting_max: WAITING_MAX, is_newest_first: false };
        Ok(Gate {
            secret: Secret::new()?,
            right: Mutex::new(Memory::new(options.remember, options.remembered_max)),
            proven: Mutex::new(Memory::new(PROVEN, options.remembered_max)),
            wrong: Mutex::new(Memory::new(WRONG, WRONG_MAX)),
            unchecked: Mutex::new(Memory::new(UNCHECKED, UNCHECKED_MAX)),
            known: Mutex::new(Memory::new(PROVEN, KNOWN_MAX)),
            guesses: Mutex::new(Guesses::new()),
            flights: Flights::new(),
            turns: Turns::new(limits),
            // From the other end, so that both checkers do not look at the same.
            overtaking: Turns::new(TurnLimits { at_once: 1, is_newest_first: true, ..limits }),
            held: Slots::new(),
            late: Semaphore::new(WAITING_MAX),
        })
    }

    /// The same work for every name, known or not.
    pub(super) fn attempt(
        &self,
        users: Arc<Users>,
        name: UserName,
        password: Vec<u8>,
        source: Source,
    ) -> Attempt {
        let choice = self.secret.stable_choice(name.as_str());
        let line = users.compared_with(name.as_str(), choice);
        let key = self.secret.key(&[name.as_str().as_bytes(), &password, line.as_bytes()]);
        let place = format!("{source:?}");
        let pair = self.secret.key(&[name.as_str().as_bytes(), place.as_bytes()]);
        Attempt { users, name, password, source, choice, key, pair }
    }

    fn recall(&self, attempt: &Attempt) -> Option<Outcome> {
        let now = Instant::now();
        if let Some(name) = self.right.lock().get(&attempt.key, now) {
            return Some(Outcome::Right(name));
        }
        self.wrong.lock().has(&attempt.key, now).then_some(Outcome::WrongAgain)
    }

    /// Counts an attempt as a wrong guess, until it turns out to be right.
    fn charge(&self, attempt: &Attempt) -> Standing {
        let now = Instant::now();
        let is_new = !self.unchecked.lock().has(&attempt.key, now);
        let is_stranger = !self.known.lock().has(&attempt.source, now);
        let mut guesses = self.guesses.lock();
        let failures = guesses.failures(attempt, is_new, now);
        let (held_by_name, held_by_address) = guesses.take(attempt, now);
        let rank = Rank { is_unproven: true, failures, is_new, is_stranger };
        Standing { rank, held_by_name, held_by_address }
    }

    /// Notes what an attempt came to. What was refused without a check counts as wrong until it is found to be right: clients
    /// send the same again, and guessers something else.
    fn settle(&self, attempt: &Attempt, standing: Standing, outcome: &Outcome) {
        let now = Instant::now();
        let mut guesses = self.guesses.lock();
        match outcome {
            Outcome::Right(_) => guesses.give_back(attempt, standing.rank.is_new, now),
            Outcome::Wrong if standing.rank.is_new => guesses.note_failure(attempt, now),
            Outcome::Slowed(_) => {
                self.unchecked.lock().insert(attempt.key, (), now);
                if standing.rank.is_new {
                    guesses.note_failure(attempt, now);
                }
            }
            _ => {}
        }
    }

    fn remember_right(&self, attempt: &Attempt) {
        let now = Instant::now();
        self.right.lock().insert(attempt.key, attempt.name.clone(), now);
        self.proven.lock().insert(attempt.key, (), now);
        self.known.lock().insert(attempt.source, (), now);
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.turns.waiting() + self.overtaking.waiting()
    }

    /// Takes the turn of those that overtake, which must be free.
    #[cfg(test)]
    pub(super) fn take_overtaking_turn(&self) -> Turn<Group> {
        self.overtaking.try_turn().unwrap_or_else(|| panic!("the turn is not free"))
    }

    /// Takes a turn, which must be free.
    #[cfg(test)]
    pub(super) async fn take_turn(&self) -> Turn<Group> {
        self.turns
            .turn(Rank::PROVEN, (Source::of(None), None))
            .await
            .unwrap_or_else(|_| panic!("no turn is free"))
    }
}

impl Standing {
    /// When to come again, for a login that is held back.
    fn held(&self) -> Option<Duration> {
        self.held_by_name.max(self.held_by_address)
    }
}

impl Attempt {
    fn group(&self) -> Group {
        (self.source, self.source.is_shared().then_some(self.pair))
    }
}

/// Whether a login succeeds.
pub(super) async fn judge(shared: &Arc<Shared>, attempt: Attempt) -> Outcome {
    let (gate, attempt) = (&shared.gate, Arc::new(attempt));
    loop {
        if let Some(outcome) = gate.recall(&attempt) {
            return outcome;
        }
        match gate.flights.join((attempt.key, attempt.source)) {
            Joined::Leads(leader) => {
                let outcome = decide(shared, &attempt).await;
                leader.finish(outcome.clone());
                return outcome;
            }
            Joined::Follows(follower) => {
                if let Some(outcome) = follower.outcome().await {
                    return outcome;
                }
            }
        }
    }
}

async fn decide(shared: &Arc<Shared>, attempt: &Arc<Attempt>) -> Outcome {
    let gate = &shared.gate;
    if gate.proven.lock().has(&attempt.key, Instant::now()) {
        return match gate.turns.turn(Rank::PROVEN, attempt.group()).await {
            Ok(turn) => verify(shared, attempt, turn, IfWrong::Remember).await,
            Err(Full) => Outcome::Slowed(RETRY_AFTER),
        };
    }
    let standing = gate.charge(attempt);
    let outcome = match standing.held() {
        None => check_in_turn(shared, attempt, standing).await,
        Some(retry_after) => hold_back(shared, attempt, standing, retry_after).await,
    };
    gate.settle(attempt, standing, &outcome);
    outcome
}

async fn check_in_turn(shared: &Arc<Shared>, attempt: &Arc<Attempt>, standing: Standing) -> Outcome {
    if let Some(turn) = shared.gate.turns.try_turn() {
        return verify(shared, attempt, turn, IfWrong::Remember).await;
    }
    let turn = tokio::select! {
        turn = wait(shared, attempt, standing) => turn,
        right = overtake(shared, attempt, standing.rank) => return right,
    };
    match turn {
        Some(turn) => verify(shared, attempt, turn, IfWrong::Remember).await,
        None => Outcome::Slowed(RETRY_AFTER),
    }
}

/// Waits for a turn; nothing if that comes too late.
async fn wait(shared: &Arc<Shared>, attempt: &Arc<Attempt>, standing: Standing) -> Option<Turn<Group>> {
    let gate = &shared.gate;
    let late = tokio::time::Instant::now() + LATE;
    let turn = gate.turns.turn(standing.rank, attempt.group());
    match tokio::time::timeout_at(late, turn).await {
        Ok(Ok(turn)) => return Some(turn),
        Ok(Err(Full)) => {
            if let Ok(_place) = gate.late.try_acquire() {
                tokio::time::sleep_until(late).await;
            }
        }
        Err(_) => {}
    }
    None
}

/// Completes if the password is found to be right, and never otherwise.
async fn overtake(shared: &Arc<Shared>, attempt: &Arc<Attempt>, rank: Rank) -> Outcome {
    if attempt.users.hash(attempt.name.as_str()).is_some()
        && let Ok(turn) = shared.gate.overtaking.turn(rank, attempt.group()).await
        && let right @ Outcome::Right(_) = verify(shared, attempt, turn, IfWrong::Forget).await
    {
        return right;
    }
    std::future::pending().await
}

/// Lets a login in that is found to be right in time, and refuses all others alike.
async fn hold_back(
    shared: &Arc<Shared>,
    attempt: &Arc<Attempt>,
    standing: Standing,
    retry_after: Duration,
) -> Outcome {
    let Ok(_place) = shared.gate.late.try_acquire() else { return Outcome::Slowed(retry_after) };
    tokio::select! {
        right = overtake_slowly(shared, attempt, standing) => right,
        () = tokio::time::sleep(HELD_LATE) => Outcome::Slowed(retry_after),
    }
}

/// As [`overtake`], but one at a time for what the login is held back by.
async fn overtake_slowly(shared: &Arc<Shared>, attempt: &Arc<Attempt>, standing: Standing) -> Outcome {
    let by_name = (standing.held_by_name.is_some(), HeldBy::Name(attempt.pair), HELD_NAME_INTERVAL);
    let by_address =
        (standing.held_by_address.is_some(), HeldBy::Address(attempt.source), HELD_ADDRESS_INTERVAL);
    if attempt.users.hash(attempt.name.as_str()).is_none() {
        return std::future::pending().await;
    }
    for (_, by, interval) in [by_name, by_address].into_iter().filter(|(is_held, ..)| *is_held) {
        let Ok(slot) = shared.gate.held.slot(by, standing.rank, WAITING_MAX).await else {
            return std::future::pending().await;
        };
        tokio::spawn(async move {
            tokio::time::sleep(interval).await;
            drop(slot);
        });
    }
    overtake(shared, attempt, standing.rank).await
}

/// What becomes of credentials that are wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum IfWrong {
    Remember,
    /// Names that do not exist do not overtake: what is remembered would tell which do.
    Forget,
}

/// Takes its time. The turn goes with it, so that giving up a request does not make room for another check while this one
/// still runs.
async fn verify(
    shared: &Arc<Shared>,
    attempt: &Arc<Attempt>,
    turn: Turn<Group>,
    if_wrong: IfWrong,
) -> Outcome {
    let (shared, attempt) = (Arc::clone(shared), Arc::clone(attempt));
    let check = move || {
        let is_right = attempt.users.verify(attempt.name.as_str(), &attempt.password, attempt.choice);
        drop(turn);
        if is_right {
            shared.gate.remember_right(&attempt);
            return Outcome::Right(attempt.name.clone());
        }
        if if_wrong == IfWrong::Remember {
            shared.gate.wrong.lock().insert(attempt.key, (), Instant::now());
        }
        Outcome::Wrong
    };
    match tokio::task::spawn_blocking(check).await {
        Ok(outcome) => outcome,
        Err(error) => Outcome::Failed(error.to_string().into()),
    }
}
