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
//! 4. **Guesses are slowed**: ten for a name from an address, then one in ten seconds; fifty from an address, then one a
//!    second. Never for a name alone, or strangers could lock out its user. A right password gives the token back. An address
//!    that is not public is not slowed as a whole, since a proxy may be there and everybody behind it; names from it are.
//! 5. **Turns are shared**: one address after the other has a check, four wait of each, addresses from which somebody logged
//!    in within a day have a lane of their own. Of an address that is not public, each name counts for itself.
//! 6. **If there is no place left to wait in**, the answer is a refusal after one second, whatever is asked.
//! 7. **Users overtake**: while an attempt waits, a checker of its own looks at it if its name is in the file, and what is right
//!    is answered at once. What is wrong is answered when and as if nothing had been looked at. So users get in while a
//!    thousand strangers ask for names that do not exist, and neither the answers nor their times tell which do.
//!
//! A user who never logged in since the start is kept out only by those who guess for the same name from the same address,
//! or by those who guess for names of the file from a great many addresses. Behind a proxy all have its address:
//! `http.trustedproxies` tells them apart.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::file::Users;
use super::{HtpasswdOptions, Shared};
use crate::caller::UserName;
use crate::logins::{Flights, Joined, Key, Lane, Memory, Secret, Source, Throttle, Turn, TurnLimits, Turns};

/// How long credentials count as proven, and an address as known.
const PROVEN: Duration = Duration::from_secs(24 * 3600);

/// How many checks of proven credentials wait.
const PROVEN_MAX: usize = 1024;

/// How long wrong credentials are remembered, and how many.
const WRONG: Duration = Duration::from_secs(60);
const WRONG_MAX: usize = 10_000;

/// Addresses from which somebody logged in.
const KNOWN_MAX: usize = 10_000;

/// Guesses for one name from one address, and how fast they come back.
const NAME_GUESSES: u32 = 10;
const NAME_INTERVAL: Duration = Duration::from_secs(10);

/// Guesses from one public address.
const ADDRESS_GUESSES: u32 = 50;
const ADDRESS_INTERVAL: Duration = Duration::from_secs(1);

/// Of how many names and addresses guesses are counted.
const BUCKETS_MAX: usize = 16_384;

/// How many checks of one group wait.
const PLACES: usize = 4;

/// After how long a login that finds no place in the queue is refused.
const LATE: Duration = Duration::from_secs(1);

/// How many wait for that answer; those beyond have it at once.
const LATE_MAX: usize = 8192;

/// How many wait for the checker of those whose names are in the file.
const OVERTAKING_MAX: usize = 256;

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
    source: Source,
    /// Which of the users a name is compared with that is none.
    choice: u64,
    /// All of it, with the line that the password is compared with: when that changes, nothing is remembered any more.
    key: Key,
    /// The name at this address.
    pair: Key,
}

/// What logins share: an address, or a name at an address that everybody may share.
pub(super) type Group = (Source, Option<Key>);

pub(super) struct Gate {
    secret: Secret,
    right: Mutex<Memory<Key, UserName>>,
    proven: Mutex<Memory<Key, ()>>,
    wrong: Mutex<Memory<Key, ()>>,
    known: Mutex<Memory<Source, ()>>,
    guesses: Mutex<Guesses>,
    flights: Flights<(Key, Source), Outcome>,
    turns: Turns<Group>,
    late: Semaphore,
    overtaking: Turns<Group>,
}

struct Guesses {
    of_names: Throttle<Key>,
    of_addresses: Throttle<Source>,
}

impl Gate {
    pub(super) fn new(options: &HtpasswdOptions) -> Result<Gate, getrandom::Error> {
        Ok(Gate {
            secret: Secret::new()?,
            right: Mutex::new(Memory::new(options.remember, options.remembered_max)),
            proven: Mutex::new(Memory::new(PROVEN, options.remembered_max)),
            wrong: Mutex::new(Memory::new(WRONG, WRONG_MAX)),
            known: Mutex::new(Memory::new(PROVEN, KNOWN_MAX)),
            guesses: Mutex::new(Guesses {
                of_names: Throttle::new(NAME_GUESSES, NAME_INTERVAL, BUCKETS_MAX),
                of_addresses: Throttle::new(ADDRESS_GUESSES, ADDRESS_INTERVAL, BUCKETS_MAX),
            }),
            flights: Flights::new(),
            turns: Turns::new(TurnLimits {
                at_once: options.checks_max,
                waiting_max: options.waiting_max,
                places: PLACES,
                proven_max: PROVEN_MAX,
            }),
            late: Semaphore::new(LATE_MAX),
            overtaking: Turns::new(TurnLimits {
                at_once: 1,
                waiting_max: OVERTAKING_MAX,
                places: PLACES,
                proven_max: 0,
            }),
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
    fn charge(&self, attempt: &Attempt) -> Result<(), Duration> {
        let now = Instant::now();
        let mut guesses = self.guesses.lock();
        guesses.of_names.take(attempt.pair, now)?;
        if attempt.source.is_shared() {
            return Ok(());
        }
        let taken = guesses.of_addresses.take(attempt.source, now);
        if taken.is_err() {
            guesses.of_names.give_back(&attempt.pair, now);
        }
        taken
    }

    fn give_back(&self, attempt: &Attempt) {
        let now = Instant::now();
        let mut guesses = self.guesses.lock();
        guesses.of_names.give_back(&attempt.pair, now);
        guesses.of_addresses.give_back(&attempt.source, now);
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

    /// Takes a turn, which must be free.
    #[cfg(test)]
    pub(super) async fn take_turn(&self) -> Turn<Group> {
        self.turns
            .turn(Lane::Proven, (Source::of(None), None))
            .await
            .unwrap_or_else(|_| panic!("no turn is free"))
    }
}

impl Attempt {
    fn group(&self) -> Group {
        (self.source, self.source.is_shared().then_some(self.pair))
    }
}

/// Whether somebody is let in.
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
    let now = Instant::now();
    if gate.proven.lock().has(&attempt.key, now) {
        return match gate.turns.turn(Lane::Proven, attempt.group()).await {
            Ok(turn) => verify(shared, attempt, turn, IfWrong::Remember).await,
            Err(_) => Outcome::Slowed(RETRY_AFTER),
        };
    }
    if let Err(retry_after) = gate.charge(attempt) {
        return Outcome::Slowed(retry_after);
    }
    let is_known = gate.known.lock().has(&attempt.source, now);
    let lane = if is_known { Lane::KnownAddress } else { Lane::Strangers };
    let outcome = match gate.turns.try_turn() {
        Some(turn) => verify(shared, attempt, turn, IfWrong::Remember).await,
        None => tokio::select! {
            outcome = wait(shared, attempt, lane) => outcome,
            right = overtake(shared, attempt) => right,
        },
    };
    if matches!(outcome, Outcome::Right(_)) {
        gate.give_back(attempt);
    }
    outcome
}

/// Is checked in turn, or refused after [`LATE`].
async fn wait(shared: &Arc<Shared>, attempt: &Arc<Attempt>, lane: Lane) -> Outcome {
    let gate = &shared.gate;
    if let Ok(turn) = gate.turns.turn(lane, attempt.group()).await {
        return verify(shared, attempt, turn, IfWrong::Remember).await;
    }
    if let Ok(_place) = gate.late.try_acquire() {
        tokio::time::sleep(LATE).await;
    }
    Outcome::Slowed(RETRY_AFTER)
}

/// Completes if the password is found to be right, and never otherwise.
async fn overtake(shared: &Arc<Shared>, attempt: &Arc<Attempt>) -> Outcome {
    if attempt.users.hash(attempt.name.as_str()).is_some()
        && let Ok(turn) = shared.gate.overtaking.turn(Lane::Strangers, attempt.group()).await
        && let right @ Outcome::Right(_) = verify(shared, attempt, turn, IfWrong::Forget).await
    {
        return right;
    }
    std::future::pending().await
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
