//! What does the work.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use registry_database::AnyStep;

use crate::Job;

/// Does jobs of one kind.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// The kind.
    fn kind(&self) -> &'static str;

    /// Whether this node can work on a lane. All of them, if nothing else is said; a lane that no node works on waits.
    fn takes(&self, _lane: &str) -> bool {
        true
    }

    /// How a job of this lane is tried.
    fn policy(&self, lane: &str) -> Policy;

    /// Tries a job. It may have been tried before, to its end: a node can die before it notes what became of it. So what is
    /// told to others has a name by which they know it again.
    ///
    /// The attempt is dropped when it takes longer than its policy allows, or when the node stops.
    async fn run(&self, job: &Job) -> Attempted;
}

/// How a job is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How often, at most. It is dead after that.
    pub attempts_max: u32,
    /// How long to wait between attempts, unless the verdict says it.
    pub backoff: Backoff,
    /// How long an attempt may take.
    pub attempt_within: Duration,
}

/// How long to wait after an attempt that failed: `first`, then `factor` times as long each time, up to `longest`; made longer or
/// shorter by up to a fifth by chance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// After the first failure.
    pub first: Duration,
    /// By how much it grows.
    pub factor: u32,
    /// The longest.
    pub longest: Duration,
}

impl Backoff {
    /// How long to wait after so many failures, without chance.
    pub fn after(&self, failures: u32) -> Duration {
        let factor = self.factor.saturating_pow(failures.saturating_sub(1));
        self.first.saturating_mul(factor).min(self.longest)
    }
}

/// By how much a wait is made longer or shorter by chance, at most.
const JITTER: f64 = 0.2;

/// A wait, made longer or shorter by chance, so that what failed together is not tried together.
pub(crate) fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(1.0 - JITTER + 2.0 * JITTER * fastrand::f64())
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The job is done.
    Done,
    /// It failed, and is to be tried again, if its policy allows that.
    Retry {
        /// When, if not by the policy's backoff.
        after: Option<Duration>,
        /// Why, for people.
        error: String,
    },
    /// It failed, and is not to be tried again.
    Dead {
        /// Why, for people.
        error: String,
    },
}

impl Verdict {
    /// With a step that is run in the transaction that notes what became of the job.
    pub fn with(self, note: impl AnyStep<Of = Settled, Output = ()>) -> Attempted {
        Attempted { verdict: self, note: Some(Box::new(note)) }
    }
}

/// A step that is run in the transaction that notes what became of a job.
pub type Note = Box<dyn AnyStep<Of = Settled, Output = ()>>;

/// What came of an attempt, and what else is to be kept with it.
pub struct Attempted {
    /// What came of it.
    pub verdict: Verdict,
    /// Run in the transaction that notes it, if the job is still there. If the step is refused or panics, the attempt counts as
    /// failed, and nothing of the step is kept.
    pub note: Option<Note>,
}

impl From<Verdict> for Attempted {
    fn from(verdict: Verdict) -> Attempted {
        Attempted { verdict, note: None }
    }
}

impl fmt::Debug for Attempted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempted").field("verdict", &self.verdict).finish_non_exhaustive()
    }
}

/// What became of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The job's number.
    pub job: i64,
    /// How often it was tried, this attempt with it.
    pub attempts: u32,
    /// What becomes of it.
    pub fate: Fate,
}

/// What becomes of a job after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is done, and gone.
    Done,
    /// It waits to be tried again.
    Again {
        /// For how long.
        after: Duration,
    },
    /// It is dead.
    Dead,
}
