//! What each node does all the time.

use std::time::Duration;

use registry_database::{Database, Error};
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    Bounds, Recorder,
    order::{IsWaiting, ORDERED_MAX, Order},
    prune::{IsPrunable, PRUNED_MAX, Prune},
    recorder::State,
    steps::{Found, Look, is_there},
};

/// How often a node looks whether there are consumers, events without a position, and events that can go.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How many transactions a node prunes in at a time.
const PRUNES_MAX: usize = 20;

/// Keeps a process's recorder informed of whether there are consumers, gives events their positions, and removes those that
/// nothing needs any more; until the future is dropped. Each node runs it, in any number. A database that fails is asked again
/// in a second.
pub async fn watch(database: Database, recorder: Recorder) {
    let Some(state) = recorder.state() else { return };
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut is_failing, mut recorded) = (false, 0);
    loop {
        let done = tokio::select! {
            _ = ticks.tick() => {
                let done = tend(&database, state, &Bounds::default(), recorded).await;
                recorded = state.recorded();
                done
            }
            () = state.woken() => order(&database, state).await,
        };
        match &done {
            Err(error) if !is_failing => tracing::warn!(%error, "events can not be looked after: {error}"),
            Ok(()) if is_failing => tracing::info!("events are looked after again"),
            _ => {}
        }
        is_failing = done.is_err();
    }
}

/// `recorded` is how many events this process had written one look before.
async fn tend(database: &Database, state: &State, bounds: &Bounds, recorded: u64) -> Result<(), Error> {
    let found = look(database, state).await?;
    if found.is_wanted && found.has_events {
        order(database, state).await?;
    }
    // A transaction that wrote one and has not ended yet is younger than a look.
    if state.recorded() == recorded {
        state.all_settled(recorded);
    }
    if found.has_events { prune(database, found.is_wanted, bounds).await } else { Ok(()) }
}

/// Looks what is there, and notes whether events are wanted.
pub(crate) async fn look(database: &Database, state: &State) -> Result<Found, Error> {
    let before = state.wanted();
    let found = match is_there(database).await? {
        true => database.read("look for consumers of events", Look, ()).await?,
        false => Found::default(),
    };
    match found.is_wanted {
        true => state.want(),
        false => state.unwant(before),
    }
    Ok(found)
}

/// Gives positions until no event waits for one.
async fn order(database: &Database, state: &State) -> Result<(), Error> {
    loop {
        if !database.read("look for events without a position", IsWaiting, ()).await? {
            return Ok(());
        }
        let ordered = database.write("give events their positions", Order, ()).await?;
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
        let pruned = database.write("remove events that nothing needs", Prune, *bounds).await?;
        for (consumer, lost) in &pruned.lost {
            tracing::warn!(consumer, lost, "{consumer} lagged too far and lost {lost} events");
        }
        if pruned.events < PRUNED_MAX as u64 {
            return Ok(());
        }
    }
    Ok(())
}
