//! Whether events are wanted, and writing them.

use std::sync::{
    Arc,
    atomic::{
        AtomicBool, AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed},
    },
};

use registry_database::{Database, Deferred, Error, Fault, Param, Session, signed};
use tokio::sync::{Notify, watch};

use crate::{NewEvent, sql, watch::refresh};

/// Says whether events are wanted, for all transactions of a process on one database. Clones are the same recorder. By default
/// nothing is ever wanted.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Option<Arc<State>>);

#[derive(Debug)]
pub(crate) struct State {
    /// The lowest bit says whether events are wanted, the others count how often they became wanted: so a look that read before
    /// a consumer was added does not undo what was learnt of it afterwards.
    wanted: AtomicU64,
    /// Whether the tables were seen in the database.
    has_tables: AtomicBool,
    /// How many events transactions of this process wrote, also those that were rolled back.
    recorded: AtomicU64,
    /// How many of them have a position, or were rolled back.
    settled: AtomicU64,
    /// Wakes what gives positions.
    wake: Notify,
    /// The last position that this process knows of.
    position: watch::Sender<i64>,
}

/// The bit of [`State::wanted`] that says so.
const IS_WANTED: u64 = 1;

/// Equal if they are the same recorder.
impl PartialEq for Recorder {
    fn eq(&self, other: &Recorder) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

impl Eq for Recorder {}

impl Recorder {
    /// A recorder that wants events until [`refresh`](Self::refresh) has found that there is no consumer: so none is missed between
    /// the start and then. A process looks before it changes anything, since the tables may not be there.
    pub fn new() -> Recorder {
        Recorder(Some(Arc::new(State {
            wanted: AtomicU64::new(IS_WANTED),
            has_tables: AtomicBool::new(false),
            recorded: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            wake: Notify::new(),
            position: watch::Sender::new(0),
        })))
    }

    /// Whether there is a consumer, as far as this process knows. It knows of one that another process adds
    /// [soon](crate::KNOWN_WITHIN), if [`watch`](crate::watch) runs.
    pub fn is_wanted(&self) -> bool {
        self.0.as_ref().is_some_and(|state| state.wanted.load(Relaxed) & IS_WANTED != 0)
    }

    /// This process has just added a consumer: records from now on.
    pub fn want(&self) {
        if let Some(state) = &self.0 {
            state.want();
        }
    }

    /// Looks in the database whether there is a consumer. A process looks once before it changes anything; one that runs for long
    /// [watches](crate::watch), or is [kept informed](crate::keep_informed).
    ///
    /// # Errors
    /// See [`Error`]; then events are wanted if the tables were seen, and else what was known holds.
    pub async fn refresh(&self, database: &Database) -> Result<(), Error> {
        let Some(state) = &self.0 else { return Ok(()) };
        refresh(database, state).await.map(drop)
    }

    /// Whether the tables of events were there at the last look, or at one before.
    pub fn has_tables(&self) -> bool {
        self.0.as_ref().is_some_and(|state| state.has_tables())
    }

    /// To be called after the commit of each transaction that may have recorded something: positions are given at once then, and
    /// not within a second. Two atomic loads if there is nothing.
    pub fn committed(&self) {
        if let Some(state) = &self.0
            && state.recorded.load(Relaxed) != state.settled.load(Relaxed)
        {
            state.wake.notify_one();
        }
    }

    /// The last position that this process knows of. It changes when events got their positions here: then consumers of this
    /// process look for them. Events that got theirs elsewhere are found by looking each second.
    pub fn positions(&self) -> watch::Receiver<i64> {
        match &self.0 {
            Some(state) => state.position.subscribe(),
            None => watch::Sender::new(0).subscribe(),
        }
    }

    /// How many events transactions of this process wrote, also those that were rolled back.
    pub(crate) fn recorded(&self) -> u64 {
        self.0.as_ref().map_or(0, |state| state.recorded())
    }

    pub(crate) fn state(&self) -> Option<&Arc<State>> {
        self.0.as_ref()
    }
}

impl State {
    /// Events are wanted, whatever a look finds that has begun before.
    pub(crate) fn want(&self) {
        let want = |wanted: u64| Some((wanted | IS_WANTED).wrapping_add(2));
        // Such an update always succeeds.
        let _ = self.wanted.fetch_update(AcqRel, Acquire, want);
    }

    /// What is known before a look.
    pub(crate) fn wanted(&self) -> u64 {
        self.wanted.load(Acquire)
    }

    /// A look found no consumer: events are not wanted, unless they became wanted since it [began](Self::wanted).
    pub(crate) fn unwant(&self, before: u64) {
        let _ = self.wanted.compare_exchange(before, before & !IS_WANTED, AcqRel, Acquire);
    }

    pub(crate) fn has_tables(&self) -> bool {
        self.has_tables.load(Relaxed)
    }

    /// The tables are in the database, which does not lose them.
    pub(crate) fn saw_tables(&self) {
        self.has_tables.store(true, Relaxed);
    }

    pub(crate) fn recorded(&self) -> u64 {
        self.recorded.load(Relaxed)
    }

    /// All of the first `recorded` events that this process wrote have a position, or were rolled back.
    pub(crate) fn all_settled(&self, recorded: u64) {
        self.settled.store(recorded, Relaxed);
    }

    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// So many events got positions, up to this one. Some may be of other processes: then this one looks again in vain.
    pub(crate) fn ordered(&self, events: usize, position: i64) {
        let settled = self.settled.load(Relaxed).saturating_add(events as u64);
        self.settled.store(settled.min(self.recorded()), Relaxed);
        self.position.send_if_modified(|known| {
            let is_new = *known < position;
            *known = position.max(*known);
            is_new
        });
    }
}

/// How many values of an event are written.
const VALUES: usize = 14;

/// Writes events in the transaction of what they tell of, in the order given. Nothing where nothing is wanted: one atomic load.
///
/// Of two changes of one thing, say of one tag, the event of the later one is to be written under the lock that the first one
/// held: then consumers see them in that order. On PostgreSQL the events are sent together, and with other statements that are
/// polled with this; [`STATEMENTS`](crate::STATEMENTS) are to be [ready](Session::ready) then.
///
/// # Errors
/// See [`Fault`].
pub async fn record(
    session: &impl Session,
    recorder: &Recorder,
    events: &[NewEvent<'_>],
) -> Result<(), Fault> {
    let Some(state) = recorder.state().filter(|_| recorder.is_wanted() && !events.is_empty()) else {
        return Ok(());
    };
    match events {
        // Without a list on the heap.
        [event] => session.execute(sql::RECORD, &values(event)).await?,
        events => session.execute_many(sql::RECORD, &events.iter().map(values).collect::<Vec<_>>()).await?,
    };
    state.recorded.fetch_add(events.len() as u64, Relaxed);
    Ok(())
}

/// The statements that [`record`] runs, for a transaction of PostgreSQL that sends them with its commit. They count as written.
pub fn deferred<'a>(recorder: &Recorder, events: impl Iterator<Item = NewEvent<'a>>) -> Vec<Deferred<'a>> {
    let Some(state) = recorder.state().filter(|_| recorder.is_wanted()) else { return Vec::new() };
    let deferred = |event| Deferred { statement: sql::RECORD, params: values(&event).to_vec() };
    let deferred: Vec<_> = events.map(deferred).collect();
    state.recorded.fetch_add(deferred.len() as u64, Relaxed);
    deferred
}

fn values<'a>(event: &NewEvent<'a>) -> [Param<'a>; VALUES] {
    let request = event.cause.request.as_ref();
    [
        event.kind.as_str().into(),
        event.repository.into(),
        event.name.into(),
        event.tag.into(),
        event.digest.into(),
        event.digest_before.into(),
        event.media_type.into(),
        event.size_bytes.map(signed).into(),
        event.cause.actor().into(),
        request.map(|request| request.id.as_str()).into(),
        request.and_then(|request| request.address.as_deref()).into(),
        request.and_then(|request| request.host.as_deref()).into(),
        request.map(|request| request.method.as_str()).into(),
        request.and_then(|request| request.user_agent.as_deref()).into(),
    ]
}
