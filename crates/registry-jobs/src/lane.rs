//! A node's turn at a lane.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use registry_database::{Error, Operation};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::{
    Handler, Job,
    attempt::{Attempt, Outcome},
    jobs::{Kind, Node},
    lanes::{Claim, Due, GiveBack, LaneName},
    numbers::Counters,
    slots::Slot,
};

/// How many jobs that failed before are tried at once in a lane.
pub const AGAIN_MAX: usize = 4;

/// After so many failures in a row no job is begun in a lane for a while.
pub const FAILURES_BEFORE_PAUSE: u32 = 3;

/// How long that while is at first. It doubles with each further failure.
const PAUSE_FIRST: Duration = Duration::from_secs(5);

/// The longest such while: so soon a receiver that works again gets what is new.
pub const PAUSE_MAX: Duration = Duration::from_secs(5 * 60);

/// How long no job is begun in a lane after so many failures in a row.
pub(crate) fn pause(failures: u32) -> Duration {
    match failures.checked_sub(FAILURES_BEFORE_PAUSE) {
        None => Duration::ZERO,
        Some(more) => PAUSE_FIRST.saturating_mul(2_u32.saturating_pow(more)).min(PAUSE_MAX),
    }
}

/// A lane that this node works on.
pub(crate) struct Lane {
    node: Arc<Node>,
    handler: Arc<dyn Handler>,
    counters: Arc<Counters>,
    name: LaneName,
    /// The first is the lane's for its turn; others are for attempts beside the first one.
    slots: Vec<Slot>,
    /// How many attempts failed in a row.
    failures: Arc<AtomicU32>,
    was_failing: bool,
    /// Until when this node has the lane, by its own clock: a little earlier than by the database's.
    held_until: Instant,
    renewed: Instant,
    ends: Instant,
    is_lost: bool,
    /// Whether it is free only when the lease is over.
    is_kept: bool,
}

/// Attempts that are under way.
#[derive(Default)]
struct Running {
    tasks: JoinSet<Outcome>,
    jobs: Vec<i64>,
    /// The one that was never tried before.
    first: Option<i64>,
}

impl Running {
    fn ended(&mut self, job: i64) {
        self.jobs.retain(|running| *running != job);
        self.first = self.first.filter(|first| *first != job);
    }
}

impl Lane {
    pub(crate) fn new(
        node: Arc<Node>,
        kind: &Kind,
        name: LaneName,
        slot: Slot,
        failures: u32,
        held_until: Instant,
    ) -> Lane {
        let now = Instant::now();
        Lane {
            handler: kind.handler.clone(),
            counters: kind.counters.clone(),
            name,
            slots: vec![slot],
            failures: Arc::new(AtomicU32::new(failures)),
            was_failing: failures > 0,
            held_until,
            renewed: now,
            ends: now + node.options.turn,
            is_lost: false,
            is_kept: false,
            node,
        }
    }

    /// Tries what is due, until nothing is or the turn is over, and gives the lane back.
    pub(crate) async fn work(mut self) {
        let mut running = Running::default();
        loop {
            if !self.is_over()
                && let Err(error) = self.begin(&mut running).await
            {
                tracing::debug!(%error, "a lane of jobs is given back: {error}");
                self.ends = Instant::now();
            }
            match timeout(self.node.options.look_every, running.tasks.join_next()).await {
                Ok(None) => break,
                Ok(Some(Ok(outcome))) => self.ended(&mut running, outcome),
                Ok(Some(Err(error))) => {
                    let lane = &self.name.lane;
                    tracing::error!(%error, lane, "an attempt at a job ended before it was noted: {error}");
                    self.keep_until_lease();
                }
                Err(_) => {}
            }
            self.renew().await;
        }
        if !self.is_kept
            && let Err(error) = self.give_back().await
        {
            tracing::debug!(%error, "a lane of jobs is free when its lease is over: {error}");
        }
    }

    /// Whether no more attempts are begun. A lane that begins to fail, or to work again, goes to the slots of such lanes.
    fn is_over(&self) -> bool {
        let is_failing = self.failures.load(Relaxed) > 0;
        self.is_lost
            || is_failing != self.was_failing
            || Instant::now() >= self.ends
            || *self.node.is_stopping.borrow()
    }

    /// Begins attempts of what is due.
    async fn begin(&mut self, running: &mut Running) -> Result<(), Error> {
        let again = AGAIN_MAX
            - running.jobs.len().saturating_sub(usize::from(running.first.is_some())).min(AGAIN_MAX);
        let first = running.first.is_none();
        if !first && again == 0 {
            return Ok(());
        }
        // Those that are under way are due as well.
        let look = Due { first, again: if again == 0 { 0 } else { again + running.jobs.len() } };
        let due = self.node.database.read("look for jobs", look, self.name.clone()).await?;
        if let Some(job) = due.first {
            let id = job.id;
            if self.attempt(job, running) {
                running.first = Some(id);
            }
        }
        let is_new = |job: &Job, running: &Running| !running.jobs.contains(&job.id);
        for job in due.again.into_iter().filter(|job| is_new(job, running)).take(again).collect::<Vec<_>>() {
            self.attempt(job, running);
        }
        Ok(())
    }

    /// Begins an attempt, if there is a slot and the lane is still this node's.
    fn attempt(&mut self, job: Job, running: &mut Running) -> bool {
        while self.slots.len() <= running.jobs.len() {
            let Some(slot) = self.node.slots.take(self.was_failing) else { return false };
            self.slots.push(slot);
        }
        if Instant::now() >= self.held_until {
            self.is_lost = true;
            return false;
        }
        running.jobs.push(job.id);
        let attempt = Attempt {
            node: self.node.clone(),
            handler: self.handler.clone(),
            counters: self.counters.clone(),
            failures: self.failures.clone(),
            job,
        };
        running.tasks.spawn(attempt.run());
        true
    }

    fn ended(&mut self, running: &mut Running, outcome: Outcome) {
        running.ended(outcome.job);
        self.slots.truncate(running.jobs.len().max(1));
        if !outcome.is_noted {
            self.keep_until_lease();
        }
    }

    /// Begins nothing more here, and does not give the lane back: what is noted nowhere would be tried again at once, again and again.
    fn keep_until_lease(&mut self) {
        (self.is_lost, self.is_kept) = (true, true);
    }

    /// Says again that this node works on the lane, if it is time to.
    async fn renew(&mut self) {
        if self.renewed.elapsed() < self.node.options.renew_every {
            return;
        }
        let now = Instant::now();
        match self.node.claim(&self.name).await {
            Ok(true) => (self.held_until, self.renewed) = (now + self.node.options.lease, now),
            Ok(false) => self.is_lost = true,
            Err(error) => tracing::debug!(%error, "a lane of jobs could not be kept: {error}"),
        }
    }

    async fn give_back(&self) -> Result<(), Error> {
        let claim = Claim { name: self.name.clone(), node: self.node.name.clone() };
        let operation = Operation::from("give a lane of jobs back").of_process();
        self.node.database.write(operation, GiveBack, claim).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        let seconds = [0, 1, 2, 3, 4, 5, 8, 9, 50, u32::MAX].map(|failures| pause(failures).as_secs());
        assert_eq!(seconds, [0, 0, 0, 5, 10, 20, 160, 300, 300, 300]);
    }
}
