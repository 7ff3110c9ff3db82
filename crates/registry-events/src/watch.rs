//! What each node does all the time.

use std::{sync::Arc, time::Duration};

use registry_database::{Database, Error, Operation, Pace};
use tokio::{
    sync::watch as channel,
    time::{MissedTickBehavior, error::Elapsed, interval, timeout},
};

use crate::{
    Bounds, Recorder,
    order::{IsWaiting, ORDERED_MAX, Order},
    prune::{IsPrunable, PRUNED_MAX, Prune},
    recorder::State,
    steps::{Found, Look, is_there},
};

/// How often a node looks whether there are consumers, events without a position, and events that can go.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long such a look takes at most. One that takes longer has failed.
const LOOK_WITHIN: Duration = Duration::from_secs(1);

/// After events got their positions no others get theirs for so long at least: what happens meanwhile shares a transaction.
const ORDER_REST_MIN: Duration = Duration::from_millis(10);

/// And for so long at most.
const ORDER_REST_MAX: Duration = Duration::from_millis(50);

/// How many transactions a node prunes in at a time.
const PRUNES_MAX: usize = 20;

/// So long after a consumer was added, each process that [watches](watch) records events, also if a look that had begun before found
/// none, and the next one took as long as it may: twice a second, and half a second for processes that are slow to run.
pub const KNOWN_WITHIN: Duration = Duration::from_millis(2_500);

/// Keeps a process's recorder informed of whether there are consumers, gives events their positions, and removes those that
/// nothing needs any more; until the future is dropped. Each node runs it, in any number. A database that fails is asked again
/// in a second; until it answers, events are recorded if there may be a consumer.
pub async fn watch(database: Database, recorder: Recorder) {
    let Some(state) = recorder.state() else { return };
    let (looked, found) = channel::channel(Found::default());
    // Side by side, so that no look waits for what there is to order or to remove.
    tokio::join!(keep_looking(&database, state, looked), keep_tending(&database, state, found));
}

/// Looks each second what is there, and says it.
async fn keep_looking(database: &Database, state: &State, looked: channel::Sender<Found>) {
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = Failing::new(LOOKING_FAILS);
    loop {
        ticks.tick().await;
        let found = refresh_soon(database, state).await;
        failing.tell(&found);
        if let Ok(found) = found {
            looked.send_replace(found);
        }
    }
}

/// Keeps the recorder of a process that is no node informed of whether there are consumers, and does nothing else: for a command
/// that changes something for long. The future ends when all clones of the recorder are gone, itself it keeps none.
pub fn keep_informed(database: Database, recorder: &Recorder) -> impl Future<Output = ()> + use<> {
    let state = recorder.state().map(|state| (Arc::downgrade(state), recorder.positions()));
    async move {
        let Some((state, mut is_used)) = state else { return };
        let looking = async {
            let mut ticks = interval(LOOK_EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut failing = Failing::new(LOOKING_FAILS);
            loop {
                ticks.tick().await;
                let Some(state) = state.upgrade() else { return };
                failing.tell(&refresh_soon(&database, &state).await);
            }
        };
        tokio::select! {
            () = looking => {}
            // What sends positions is gone.
            () = async { while is_used.changed().await.is_ok() {} } => {}
        }
    }
}

/// Orders and removes events after each look that succeeded, and orders them after commits of this process.
async fn keep_tending(database: &Database, state: &State, mut looked: channel::Receiver<Found>) {
    let mut recorded = 0;
    let mut failing = Failing::new("events can not be looked after");
    let pace = Pace::new(ORDER_REST_MIN, ORDER_REST_MAX);
    loop {
        let done = tokio::select! {
            is_there = looked.changed() => {
                if is_there.is_err() {
                    return;
                }
                let found = *looked.borrow_and_update();
                let done = tend(database, state, found, recorded).await;
                recorded = state.recorded();
                done
            }
            () = woken(state, &pace) => pace.write(order(database, state)).await,
        };
        failing.tell(&done);
    }
}

/// Something was committed, and it is time to give positions again.
async fn woken(state: &State, pace: &Pace) {
    pace.wait().await;
    state.woken().await;
}

/// Whether something fails, which is told of once.
struct Failing {
    what: &'static str,
    is_failing: bool,
}

impl Failing {
    fn new(what: &'static str) -> Failing {
        Failing { what, is_failing: false }
    }

    fn tell<T>(&mut self, done: &Result<T, Error>) {
        let what = self.what;
        match done {
            Err(error) if !self.is_failing => tracing::warn!(%error, "{what}: {error}"),
            Ok(_) if self.is_failing => tracing::info!("no longer: {what}"),
            _ => {}
        }
        self.is_failing = done.is_err();
    }
}

/// `recorded` is how many events this process had written one look before.
async fn tend(database: &Database, state: &State, found: Found, recorded: u64) -> Result<(), Error> {
    if found.is_wanted && found.has_events {
        order(database, state).await?;
    }
    // A transaction that wrote one and has not ended yet is younger than a look.
    if state.recorded() == recorded {
        state.all_settled(recorded);
    }
    match found.has_events {
        true => prune(database, found.is_wanted, &Bounds::default()).await,
        false => Ok(()),
    }
}

const LOOKING_FAILS: &str = "consumers of events can not be looked for";

const LOOK: &str = "look for consumers of events";

/// Looks what is there, and notes whether events are wanted.
pub(crate) async fn refresh(database: &Database, state: &State) -> Result<Found, Error> {
    noted(state, read(database, state)).await
}

/// The same, within [`LOOK_WITHIN`].
async fn refresh_soon(database: &Database, state: &State) -> Result<Found, Error> {
    let late = |elapsed: Elapsed| Error::Unavailable { operation: LOOK, source: elapsed.into() };
    let read = async { timeout(LOOK_WITHIN, read(database, state)).await.map_err(late)? };
    noted(state, read).await
}

/// Notes whether events are wanted.
///
/// After a look that failed they are, if the tables are there: another process may have added a consumer. What is recorded in vain
/// is removed. Where the tables were not seen yet, what was known holds, since recording would fail without them.
async fn noted(state: &State, read: impl Future<Output = Result<Found, Error>>) -> Result<Found, Error> {
    let before = state.wanted();
    let found = read.await;
    match &found {
        Ok(Found { is_wanted: false, .. }) => state.unwant(before),
        Err(_) if !state.has_tables() => {}
        Ok(_) | Err(_) => state.want(),
    }
    found
}

async fn read(database: &Database, state: &State) -> Result<Found, Error> {
    match is_there(database, state).await? {
        true => database.read(LOOK, Look, ()).await,
        false => Ok(Found::default()),
    }
}

/// Gives positions until no event waits for one. What a power cut takes back of that no consumer has seen, since what a consumer makes
/// of events is durable, and everything before it.
async fn order(database: &Database, state: &State) -> Result<(), Error> {
    loop {
        if !database.read("look for events without a position", IsWaiting, ()).await? {
            return Ok(());
        }
        let ordered =
            database.write(Operation::from("give events their positions").of_process(), Order, ()).await?;
        state.ordered(ordered.events, ordered.position);
        if ordered.events < ORDERED_MAX {
            return Ok(());
        }
    }
}

async fn prune(database: &Database, is_wanted: bool, bounds: &Bounds) -> Result<(), Error> {
    for _ in 0..PRUNES_MAX {
        if is_wanted && !database.read("look for events that can go", IsPrunable, *bounds).await? {
            return Ok(());
        }
        let pruned = database
            .write(Operation::from("remove events that nothing needs").of_process(), Prune, *bounds)
            .await?;
        for (consumer, lost) in &pruned.lost {
            tracing::warn!(consumer, lost, "{consumer} lagged too far and lost {lost} events");
        }
        if pruned.events < PRUNED_MAX as u64 {
            return Ok(());
        }
    }
    Ok(())
}
