//! The jobs of a node.

use std::{collections::HashMap, pin::pin, sync::Arc, time::Duration};

use registry_database::{Database, Error, Operation, Pace};
use tokio::{
    sync::{Notify, watch},
    task::{Id, JoinSet},
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use crate::{
    Handler, SCHEMA,
    dead::Prune,
    lane::Lane,
    lanes::{Claim, DueLanes, LaneName, Take},
    numbers::Counters,
    slots::Slots,
};

/// How often a node looks for dead jobs that are to go.
const PRUNE_EVERY: Duration = Duration::from_secs(60);

/// How many lanes a look reads at a time, also of those that this node does not take.
const LANES_READ: usize = 64;

/// How often it reads so many, so that a look stays short: what is left has its turn in the next one.
const PAGES_MAX: usize = 8;

/// What came of attempts is written, of all lanes at the same moments, and then rests for so long at least: a database that writes at once
/// is written to some hundred times a second.
const REST_MIN: Duration = Duration::from_millis(2);

/// And for so long at most: so much longer a lane waits for its next job beside a database that is busy.
const REST_MAX: Duration = Duration::from_millis(50);

/// How the jobs of a node are done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobsOptions {
    /// How many attempts are under way at once. 64; lanes that fail have a quarter of them.
    pub slots: usize,
    /// How long a node has a lane unless it says again that it works on it. 30 seconds.
    pub lease: Duration,
    /// How often it says so. 10 seconds.
    pub renew_every: Duration,
    /// How often a node looks for what is due. One second.
    pub look_every: Duration,
    /// How long a node works on one lane before others that wait for a slot get their turn. 10 seconds.
    pub turn: Duration,
    /// How long the end of a node waits for attempts that are under way. 10 seconds.
    pub drain: Duration,
}

impl Default for JobsOptions {
    fn default() -> JobsOptions {
        JobsOptions {
            slots: 64,
            lease: Duration::from_secs(30),
            renew_every: Duration::from_secs(10),
            look_every: Duration::from_secs(1),
            turn: Duration::from_secs(10),
            drain: Duration::from_secs(10),
        }
    }
}

/// The jobs of a node: which kinds it does, and doing them. Clones are the same.
#[derive(Clone)]
pub struct Jobs(pub(crate) Arc<Node>);

pub(crate) struct Node {
    pub(crate) database: Database,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) options: JobsOptions,
    /// A name that no other node has.
    pub(crate) name: String,
    pub(crate) slots: Slots,
    pub(crate) pace: Pace,
    wake: Notify,
    pub(crate) is_stopping: watch::Sender<bool>,
}

/// A kind of jobs.
pub(crate) struct Kind {
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) counters: Arc<Counters>,
}

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jobs").field("options", &self.0.options).finish_non_exhaustive()
    }
}

impl Jobs {
    /// Jobs of these kinds, each kind with one handler. Nothing is done until [`run`](Self::run).
    pub fn new(database: Database, handlers: Vec<Arc<dyn Handler>>, options: JobsOptions) -> Jobs {
        let kinds = handlers.into_iter().map(|handler| Kind { handler, counters: Arc::default() }).collect();
        Jobs(Arc::new(Node {
            database,
            kinds,
            slots: Slots::new(options.slots),
            pace: Pace::new(REST_MIN, REST_MAX),
            options,
            name: format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..)),
            wake: Notify::new(),
            is_stopping: watch::Sender::new(false),
        }))
    }

    /// This process has just asked for jobs: they are looked for at once, and not within a second.
    pub fn wake(&self) {
        self.0.wake.notify_one();
    }

    /// Does jobs until `shutdown` completes. Then begins no more, waits for attempts that are under way for as long as
    /// [`JobsOptions::drain`] says, and gives the lanes back. To be called once.
    ///
    /// **Cancellation**: attempts are dropped. What they did is not noted, and is done again when the leases are over.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) {
        let node = &self.0;
        let mut shutdown = pin!(shutdown);
        let mut running = Running::default();
        let mut ticks = interval(node.options.look_every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(ended) = running.tasks.join_next_with_id() => {
                    running.held.remove(&ended.map_or_else(|error| error.id(), |(id, ())| id));
                }
                () = node.wake.notified() => {}
                _ = ticks.tick() => {}
            }
            let looked = node.look(&mut running).await;
            running.tell(looked);
        }
        node.is_stopping.send_replace(true);
        let all = async { while running.tasks.join_next().await.is_some() {} };
        if timeout(node.options.drain, all).await.is_err() {
            tracing::warn!("attempts of jobs are dropped that did not end in time");
        }
    }
}

/// What a node is at.
#[derive(Default)]
struct Running {
    tasks: JoinSet<()>,
    held: HashMap<Id, LaneName>,
    /// Up to which lane it has looked, for each kind and whether it fails.
    cursors: HashMap<(&'static str, bool), String>,
    pruned: Option<Instant>,
    /// Whether the tables are there.
    is_there: bool,
    is_failing: bool,
}

impl Running {
    fn holds(&self, name: &LaneName) -> bool {
        self.held.values().any(|held| held == name)
    }

    /// A database that is gone is told of once.
    fn tell(&mut self, looked: Result<(), Error>) {
        match &looked {
            Err(error) if !self.is_failing => tracing::warn!(%error, "jobs can not be looked for: {error}"),
            Ok(()) if self.is_failing => tracing::info!("jobs are looked for again"),
            _ => {}
        }
        self.is_failing = looked.is_err();
    }
}

impl Node {
    /// Takes lanes in which something is due, as far as there are slots.
    async fn look(self: &Arc<Node>, running: &mut Running) -> Result<(), Error> {
        if !self.is_there(running).await? {
            return Ok(());
        }
        for kind in &self.kinds {
            for are_failing in [false, true] {
                self.begin(kind, are_failing, running).await?;
            }
        }
        if running.pruned.is_none_or(|pruned| pruned.elapsed() >= PRUNE_EVERY) {
            running.pruned = Some(Instant::now());
            for kind in &self.kinds {
                let operation = Operation::from("remove dead jobs").of_process();
                self.database.write(operation, Prune, kind.handler.kind()).await?;
            }
        }
        Ok(())
    }

    /// The tables are made when a job is first asked for, if their owner is on demand.
    async fn is_there(&self, running: &mut Running) -> Result<bool, Error> {
        if !running.is_there {
            let found = self.database.has_owner(SCHEMA.owner).await;
            let failed = |error: registry_database::OpenError| Error::Unavailable {
                operation: "look for the tables of jobs",
                source: error.into(),
            };
            running.is_there = found.map_err(failed)?;
        }
        Ok(running.is_there)
    }

    /// Takes lanes in which something is due, by name, from where the last look ended, and from the first one again at the end: so
    /// each has its turn, however many there are. Ends when no slot is free, or when it has come round.
    async fn begin(
        self: &Arc<Node>,
        kind: &Kind,
        are_failing: bool,
        running: &mut Running,
    ) -> Result<(), Error> {
        let of = (kind.handler.kind(), are_failing);
        let start = running.cursors.get(&of).cloned().unwrap_or_default();
        let mut is_second_round = start.is_empty();
        for _ in 0..PAGES_MAX {
            if self.slots.free(are_failing) == 0 {
                return Ok(());
            }
            let after = running.cursors.get(&of).cloned().unwrap_or_default();
            let look = DueLanes { after, are_failing, limit: LANES_READ };
            let lanes = self.database.read("look for jobs", look, of.0).await?;
            let is_end = lanes.len() < LANES_READ;
            for (lane, failures) in lanes {
                let is_round = is_second_round && !start.is_empty() && lane > start;
                if is_round || !self.begin_lane(kind, &lane, failures, are_failing, running).await? {
                    return Ok(());
                }
                running.cursors.insert(of, lane);
            }
            if is_end {
                running.cursors.remove(&of);
                if is_second_round {
                    return Ok(());
                }
                is_second_round = true;
            }
        }
        Ok(())
    }

    /// Takes a lane, if this node can work on it. Says whether there was a slot.
    async fn begin_lane(
        self: &Arc<Node>,
        kind: &Kind,
        lane: &str,
        failures: u64,
        is_failing: bool,
        running: &mut Running,
    ) -> Result<bool, Error> {
        let name = LaneName { kind: kind.handler.kind(), lane: lane.to_owned() };
        if running.holds(&name) || !kind.handler.takes(lane) {
            return Ok(true);
        }
        let Some(slot) = self.slots.take(is_failing) else { return Ok(false) };
        let held_until = Instant::now() + self.options.lease;
        if self.claim(&name).await? {
            let failures = u32::try_from(failures).unwrap_or(u32::MAX);
            let lane = Lane::new(self.clone(), kind, name.clone(), slot, failures, held_until);
            let task = running.tasks.spawn(lane.work());
            running.held.insert(task.id(), name);
        }
        Ok(true)
    }

    /// Takes a lane, or goes on with it. Says whether this node has it.
    pub(crate) async fn claim(&self, name: &LaneName) -> Result<bool, Error> {
        let claim = Claim { name: name.clone(), node: self.name.clone() };
        let operation = Operation::from("take a lane of jobs").of_process();
        self.database.write(operation, Take(self.options.lease), claim).await
    }
}
