//! Nodes whose handler does what a test says.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use parking_lot::Mutex;
use registry_database::Database;
use tokio::{sync::oneshot, task::JoinHandle};

use super::{KIND, PATIENCE};
use crate::{Attempted, Backoff, Handler, Job, Jobs, JobsOptions, Policy, Verdict};

/// Attempts in the order in which they began: lane, subject, and how often the job had failed before.
#[derive(Clone, Debug, Default)]
pub(super) struct Log(Arc<Mutex<Vec<(String, String, u32)>>>);

impl Log {
    /// The subjects of the attempts in a lane.
    pub(super) fn of(&self, lane: &str) -> Vec<String> {
        let log = self.0.lock();
        log.iter().filter(|(of, _, _)| of == lane).map(|(_, subject, _)| subject.clone()).collect()
    }

    /// The subjects of the first attempts in a lane.
    pub(super) fn first_of(&self, lane: &str) -> Vec<String> {
        let log = self.0.lock();
        let first = log.iter().filter(|(of, _, attempts)| of == lane && *attempts == 0);
        first.map(|(_, subject, _)| subject.clone()).collect()
    }

    /// The lanes of all attempts.
    pub(super) fn lanes(&self) -> Vec<String> {
        self.0.lock().iter().map(|(lane, _, _)| lane.clone()).collect()
    }
}

/// A handler that does what it is told.
pub(super) struct Script<F> {
    act: F,
    log: Log,
    policy: Policy,
    /// The only lane that it takes.
    lane: Option<&'static str>,
}

#[async_trait]
impl<F, Acting> Handler for Script<F>
where
    F: Fn(Job) -> Acting + Send + Sync + 'static,
    Acting: Future<Output = Attempted> + Send,
{
    fn kind(&self) -> &'static str {
        KIND
    }

    fn takes(&self, lane: &str) -> bool {
        self.lane.is_none_or(|only| only == lane)
    }

    /// Panics, if there are to be no attempts at all.
    fn policy(&self, lane: &str) -> Policy {
        if self.policy.attempts_max == 0 {
            self.log.0.lock().push((lane.to_owned(), "policy".to_owned(), 0));
            panic!("a test of a handler that panics");
        }
        self.policy.clone()
    }

    async fn run(&self, job: &Job) -> Attempted {
        self.log.0.lock().push((job.lane.clone(), job.subject.clone(), job.attempts));
        (self.act)(job.clone()).await
    }
}

/// Tries three times, at once.
pub(super) fn policy() -> Policy {
    let backoff = Backoff { first: Duration::ZERO, factor: 2, longest: Duration::ZERO };
    Policy { attempts_max: 3, backoff, attempt_within: PATIENCE }
}

/// Looks often, so that tests are quick.
pub(super) fn options() -> JobsOptions {
    JobsOptions { look_every: Duration::from_millis(10), ..JobsOptions::default() }
}

pub(super) fn retry(after: Option<Duration>) -> Attempted {
    Verdict::Retry { after, error: "not now".to_owned() }.into()
}

/// A node that runs until this is dropped.
pub(super) struct Node {
    pub(super) jobs: Jobs,
    pub(super) log: Log,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Node {
    pub(super) fn start<F, Acting>(database: &Database, act: F) -> Node
    where
        F: Fn(Job) -> Acting + Send + Sync + 'static,
        Acting: Future<Output = Attempted> + Send + 'static,
    {
        Self::start_with(database, options(), policy(), None, act)
    }

    pub(super) fn start_with<F, Acting>(
        database: &Database,
        options: JobsOptions,
        policy: Policy,
        lane: Option<&'static str>,
        act: F,
    ) -> Node
    where
        F: Fn(Job) -> Acting + Send + Sync + 'static,
        Acting: Future<Output = Attempted> + Send + 'static,
    {
        let log = Log::default();
        let handler = Arc::new(Script { act, log: log.clone(), policy, lane });
        let jobs = Jobs::new(database.clone(), vec![handler], options);
        let (stop, stopped) = oneshot::channel::<()>();
        let running = jobs.clone();
        let task = tokio::spawn(async move {
            running
                .run(async {
                    let _ = stopped.await;
                })
                .await;
        });
        Node { jobs, log, stop: Some(stop), task }
    }

    /// Asks it to stop.
    pub(super) fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    /// Waits until it has stopped.
    pub(super) async fn stopped(mut self) {
        tokio::time::timeout(PATIENCE, &mut self.task).await.expect("the node stops").unwrap();
    }

    /// Ends it as a machine does that loses its power.
    pub(super) async fn kill(mut self) {
        self.task.abort();
        assert!((&mut self.task).await.unwrap_err().is_cancelled());
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.task.abort();
    }
}
