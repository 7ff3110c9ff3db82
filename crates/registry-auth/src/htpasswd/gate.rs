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
//! 4. **Few failures go first**: logins wait in the order of the failures of their name at their address and of
//!    that address within the last two hours; then come credentials that were refused there without a check before, and
//!    addresses from which a login succeeded within a day. Of one address no second login is served before the first of
//!    another. A login is refused if its turn does not come in time.
//! 5. **Users overtake**: while logins wait, one more checker looks at them, those first whose name is in the file, and what
//!    is right is answered at once. What is wrong is answered when and as if nothing had been looked at. That checker is busy
//!    for as long as logins wait, whatever their names, so neither the answers nor their times tell which names exist.
//! 6. **Guesses are slowed**: ten for a name from an address, then one in ten seconds; fifty from an address, then one a
//!    second. Never for a name alone, or strangers could lock out its user. A guess is taken when a login comes, and given
//!    back when its password is right. An address that is not public is not slowed as a whole, since a proxy may be there and
//!    all clients behind it; names from it are.
//! 7. **Where no guess is left to an address**, its logins wait for one: so all users behind it get in at one moment. Where
//!    none is left to a name at an address, its logins wait for nothing but a look. Both are looked at in the meantime as in
//!    5, one at a time and few a second, and refused if they were not found to be right in time.
//!
//! An attempt whose client goes away costs what a refused one costs.
//!
//! What is left: the first login of a user may be refused while many others guess for the same name from the same address, or
//! while logins come from more new addresses than can be checked. The second finds its place kept, unless the others repeat
//! their guesses as well. Behind a proxy all have its address: `http.trustedproxies` tells them apart.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::file::Users;
use super::guesses::{Cost, Guesses, Held};
use super::{HtpasswdOptions, Shared};
use crate::caller::UserName;
use crate::logins::{
    Flights, Full, Joined, Key, Memory, Places, Rank, Secret, Slots, Source, Turn, TurnLimits, Turns,
};

/// How long credentials count as proven, and an address as known.
const PROVEN: Duration = Duration::from_secs(24 * 3600);

/// How long wrong credentials are remembered, and how many.
const WRONG: Duration = Duration::from_secs(60);
const WRONG_MAX: usize = 10_000;

/// Addresses from which a login succeeded.
const KNOWN_MAX: usize = 10_000;

/// After how long a login is refused whose turn did not come; and one of a name at an address without a guess.
const LATE: Duration = Duration::from_secs(15);
const HELD_LATE: Duration = Duration::from_millis(900);

/// How many logins wait for their turn, and how many that have none for the refusal; those beyond are refused at once.
const WAITING_MAX: usize = 8192;

/// How often it is looked whether an address has a guess again.
const GUESS_POLL: Duration = Duration::from_millis(50);

/// How often a login without a guess is looked at: of one name at an address, and of one address.
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
    pub(super) key: Key,
    /// The name at this address.
    pub(super) pair: Key,
    cost: Mutex<Cost>,
}

/// What logins share: an address, or a name at an address that many clients may share.
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
    overtaking: Turns<Group>,
    held: Slots<HeldBy>,
    /// The logins of an address that wait for a guess of it, of which the first looks for one.
    without_guess: Slots<Source>,
    late: Places<Group>,
}

/// How a login stands among others.
#[derive(Clone, Copy)]
struct Standing {
    rank: Rank,
    held: Held,
}

/// What has no guess left.
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
            known: Mutex::new(Memory::new(PROVEN, KNOWN_MAX)),
            guesses: Mutex::new(Guesses::new()),
            flights: Flights::new(),
            turns: Turns::new(limits),
            // From the other end, so that both checkers do not look at the same.
            overtaking: Turns::new(TurnLimits { at_once: 1, is_newest_first: true, ..limits }),
            held: Slots::new(),
            without_guess: Slots::new(),
            late: Places::new(WAITING_MAX),
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
        Attempt { users, name, password, source, choice, key, pair, cost: Mutex::default() }
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
        let is_stranger = !self.known.lock().has(&attempt.source, now);
        let (mut cost, mut guesses) = (attempt.cost.lock(), self.guesses.lock());
        let is_new = guesses.is_new(attempt, &mut cost, now);
        let failures = guesses.failures(attempt, &cost, now);
        let held = guesses.take(attempt, &mut cost, now);
        Standing { rank: Rank { is_unproven: true, failures, is_new, is_stranger }, held }
    }

    /// Takes a guess for an attempt that has none; otherwise says how long there is none.
    fn take_guess(&self, attempt: &Attempt) -> Option<Duration> {
        let (mut cost, mut guesses) = (attempt.cost.lock(), self.guesses.lock());
        guesses.take(attempt, &mut cost, Instant::now()).wait()
    }

    fn note(&self, attempt: &Attempt, note: impl FnOnce(&mut Guesses, &Attempt, &mut Cost, Instant)) {
        let (mut cost, mut guesses) = (attempt.cost.lock(), self.guesses.lock());
        note(&mut guesses, attempt, &mut cost, Instant::now());
    }

    fn remember_right(&self, attempt: &Attempt) {
        let now = Instant::now();
        self.right.lock().insert(attempt.key, attempt.name.clone(), now);
        self.proven.lock().insert(attempt.key, (), now);
        self.known.lock().insert(attempt.source, (), now);
        self.note(attempt, Guesses::note_right);
    }

    fn remember_wrong(&self, attempt: &Attempt) {
        self.wrong.lock().insert(attempt.key, (), Instant::now());
        self.note(attempt, Guesses::note_wrong);
    }
}

impl Attempt {
    pub(super) fn group(&self) -> Group {
        (self.source, self.source.is_shared().then_some(self.pair))
    }

    fn is_of_user(&self) -> bool {
        self.users.hash(self.name.as_str()).is_some()
    }
}

/// An attempt that costs what a refused one costs if it ends without a check.
struct Charged<'a> {
    gate: &'a Gate,
    attempt: &'a Attempt,
}

impl Drop for Charged<'_> {
    fn drop(&mut self) {
        self.gate.note(self.attempt, Guesses::note_end);
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
    let _charged = Charged { gate, attempt };
    match (standing.held.by_name, standing.held.by_address) {
        (None, None) => check_in_turn(shared, attempt, standing.rank).await,
        (None, Some(retry_after)) => wait_for_guess(shared, attempt, standing, retry_after).await,
        (Some(_), _) => hold_back(shared, attempt, standing).await,
    }
}

async fn check_in_turn(shared: &Arc<Shared>, attempt: &Arc<Attempt>, rank: Rank) -> Outcome {
    if let Some(turn) = shared.gate.turns.try_turn() {
        return verify(shared, attempt, turn, IfWrong::Remember).await;
    }
    let turn = tokio::select! {
        turn = wait(shared, attempt, rank) => turn,
        right = overtake(shared, attempt, rank) => return right,
    };
    match turn {
        Some(turn) => verify(shared, attempt, turn, IfWrong::Remember).await,
        None => Outcome::Slowed(RETRY_AFTER),
    }
}

/// Waits for a turn; nothing if that comes too late.
async fn wait(shared: &Arc<Shared>, attempt: &Arc<Attempt>, rank: Rank) -> Option<Turn<Group>> {
    let gate = &shared.gate;
    let late = tokio::time::Instant::now() + LATE;
    let turn = gate.turns.turn(rank, attempt.group());
    match tokio::time::timeout_at(late, turn).await {
        Ok(Ok(turn)) => return Some(turn),
        Ok(Err(Full)) => {
            if let Some(_place) = gate.late.take(attempt.group()) {
                tokio::time::sleep_until(late).await;
            }
        }
        Err(_) => {}
    }
    None
}

/// Completes if the password is found to be right, and never otherwise. Looks again and again once no user waits for a first
/// look, so that the checker is busy whether or not there are users.
async fn overtake(shared: &Arc<Shared>, attempt: &Arc<Attempt>, rank: Rank) -> Outcome {
    let mut rank = if attempt.is_of_user() { rank } else { Rank::IDLE };
    loop {
        if let Some(right) = verify_in_turn(shared, attempt, rank).await {
            return right;
        }
        rank = Rank::IDLE;
    }
}

/// Looks at the password in its turn, and tells only if it is right. Waits for ever if there is no place to wait in.
async fn verify_in_turn(shared: &Arc<Shared>, attempt: &Arc<Attempt>, rank: Rank) -> Option<Outcome> {
    let Ok(turn) = shared.gate.overtaking.turn(rank, attempt.group()).await else {
        return std::future::pending().await;
    };
    let outcome = verify(shared, attempt, turn, IfWrong::Forget).await;
    matches!(outcome, Outcome::Right(_)).then_some(outcome)
}

/// Lets a login in that is found to be right in time, and refuses all others of its name alike.
async fn hold_back(shared: &Arc<Shared>, attempt: &Arc<Attempt>, standing: Standing) -> Outcome {
    let slowed = Outcome::Slowed(standing.held.wait().unwrap_or(RETRY_AFTER));
    let Some(_place) = shared.gate.late.take(attempt.group()) else { return slowed };
    tokio::select! {
        right = overtake_slowly(shared, attempt, standing) => right,
        () = tokio::time::sleep(HELD_LATE) => slowed,
    }
}

/// As [`hold_back`], for a login that is checked like others once its address has a guess for it.
async fn wait_for_guess(
    shared: &Arc<Shared>,
    attempt: &Arc<Attempt>,
    standing: Standing,
    retry_after: Duration,
) -> Outcome {
    let slowed = Outcome::Slowed(retry_after);
    let Some(_place) = shared.gate.late.take(attempt.group()) else { return slowed };
    tokio::select! {
        right = overtake_slowly(shared, attempt, standing) => right,
        outcome = check_with_next_guess(shared, attempt, standing.rank) => outcome,
        () = tokio::time::sleep(LATE) => slowed,
    }
}

async fn check_with_next_guess(shared: &Arc<Shared>, attempt: &Arc<Attempt>, rank: Rank) -> Outcome {
    let gate = &shared.gate;
    // In an order that knows nothing of names: what is found wrong here is said.
    let Ok(first) = gate.without_guess.slot(attempt.source, rank, WAITING_MAX).await else {
        return std::future::pending().await;
    };
    while let Some(wait) = gate.take_guess(attempt) {
        tokio::time::sleep(wait.min(GUESS_POLL)).await;
    }
    drop(first);
    check_in_turn(shared, attempt, rank).await
}

/// One look, one at a time for the name and the address that have no guess. Completes if the password is right.
async fn overtake_slowly(shared: &Arc<Shared>, attempt: &Arc<Attempt>, standing: Standing) -> Outcome {
    let rank = if attempt.is_of_user() { standing.rank } else { Rank::IDLE };
    let by_name = (standing.held.by_name.is_some(), HeldBy::Name(attempt.pair), HELD_NAME_INTERVAL);
    let by_address =
        (standing.held.by_address.is_some(), HeldBy::Address(attempt.source), HELD_ADDRESS_INTERVAL);
    for (_, by, interval) in [by_name, by_address].into_iter().filter(|(is_held, ..)| *is_held) {
        let Ok(slot) = shared.gate.held.slot(by, rank, WAITING_MAX).await else {
            return std::future::pending().await;
        };
        tokio::spawn(async move {
            tokio::time::sleep(interval).await;
            drop(slot);
        });
    }
    match verify_in_turn(shared, attempt, rank).await {
        Some(right) => right,
        None => std::future::pending().await,
    }
}

/// What becomes of credentials that are wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum IfWrong {
    Remember,
    /// Names that do not exist overtake later: what is remembered would tell which do.
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
            shared.gate.remember_wrong(&attempt);
        }
        Outcome::Wrong
    };
    match tokio::task::spawn_blocking(check).await {
        Ok(outcome) => outcome,
        Err(error) => Outcome::Failed(error.to_string().into()),
    }
}

#[cfg(test)]
mod probe;
