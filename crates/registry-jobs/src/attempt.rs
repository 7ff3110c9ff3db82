//! An attempt at a job, from its beginning until what came of it is noted.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    task::Poll,
    time::Duration,
};

use registry_database::Error;
use tokio::time::timeout;

use crate::{
    Attempted, Fate, Handler, Job, Policy, Verdict,
    handler::Note,
    jobs::Node,
    lane::pause,
    numbers::Counters,
    settle::{Ended, LaneFailures, fate, settle},
};

/// An attempt that is about to begin.
pub(crate) struct Attempt {
    pub(crate) node: Arc<Node>,
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) counters: Arc<Counters>,
    /// How many first attempts of the lane failed since one attempt succeeded.
    pub(crate) failures: Arc<AtomicU32>,
    pub(crate) job: Job,
}

/// An attempt that has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub(crate) job: i64,
    /// Whether it is noted what came of it.
    pub(crate) is_noted: bool,
}

impl Attempt {
    pub(crate) async fn run(self) -> Outcome {
        let policy = self.handler.policy(&self.job.lane);
        let Attempted { verdict, note } = attempted(&*self.handler, &self.job, policy.attempt_within).await;
        let noted = match self.note(verdict, note, &policy).await {
            // The step of the handler is what failed.
            Err(error @ (Error::Refused(_) | Error::Failed { .. })) => {
                let error = format!("what came of the attempt could not be kept: {error}");
                self.note(Verdict::Retry { after: None, error }, None, &policy).await
            }
            noted => noted,
        };
        if let Err(error) = &noted {
            tracing::warn!(%error, job = self.job.id, "it could not be noted what became of a job: {error}");
        }
        Outcome { job: self.job.id, is_noted: noted.is_ok() }
    }

    async fn note(&self, verdict: Verdict, note: Option<Note>, policy: &Policy) -> Result<(), Error> {
        let (fate, error) = fate(&self.job, verdict, policy);
        let before = self.failures.load(Relaxed);
        let failures = match fate {
            Fate::Done => 0,
            // A job that always fails, while others are done beside it, says nothing about the lane.
            _ if self.job.attempts > 0 => before,
            _ => before.saturating_add(1),
        };
        // Nothing is new about a lane that does not fail.
        let lane = (failures != before).then(|| LaneFailures { failures, pause: pause(failures) });
        let (job, node) = (self.job.clone(), self.node.name.clone());
        let ended = Ended { job, fate: fate.clone(), error, node, lane };
        if self.node.pace.write(settle(&self.node.database, ended, note)).await? {
            self.counters.count(&fate);
        }
        self.failures.store(failures, Relaxed);
        Ok(())
    }
}

/// What the handler says, within its time; what panics has failed.
async fn attempted(handler: &dyn Handler, job: &Job, within: Duration) -> Attempted {
    let failed = |error: String| Verdict::Retry { after: None, error }.into();
    match timeout(within, caught(handler.run(job))).await {
        Ok(Some(attempted)) => attempted,
        Ok(None) => failed("the attempt panicked".to_owned()),
        Err(_) => failed(format!("the attempt took longer than {:?}", within)),
    }
}

/// What it comes to; nothing, if it panics.
async fn caught<T>(mut work: Pin<Box<dyn Future<Output = T> + Send + '_>>) -> Option<T> {
    poll_fn(|context| {
        // What it may have left half done is its own, and is dropped.
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(polled) => polled.map(Some),
            Err(_) => Poll::Ready(None),
        }
    })
    .await
}
