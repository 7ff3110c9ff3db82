//! The one thread that writes.
//!
//! Whatever is asked for while a commit is on its way to the disk goes into the next one together: group commit. Each
//! piece of work has a savepoint of its own, so that one which is refused takes nothing with it; and nobody is answered
//! before the commit.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use parking_lot::Mutex;
use rusqlite::{Connection, ffi};
use tokio::sync::{mpsc, oneshot};

use super::{
    checkpoint::Log,
    fault::{Failure, Fault, explain, is_failed_sync},
    journal, quota,
};
use crate::{MetadataError, Options, Result, quota::Ledger};

/// How much work waits for the writer; more waits before the queue.
const QUEUE_MAX: usize = 256;

/// How much work one commit takes at most.
const BATCH_MAX: usize = 64;

/// How durable work has to be before it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Durability {
    /// It survives a killed process, and a power cut once anything `Full` was committed after it. For upload sessions:
    /// a client whose session is gone begins another one.
    Process,
    /// It is on the disk.
    Full,
}

/// Shared, because all work of a commit fails with it.
type SqlError = Arc<rusqlite::Error>;

/// What came of a commit.
type Committed = std::result::Result<(), Failure>;

/// What work is done with: a transaction, and what was configured.
pub(super) struct Tx<'a> {
    pub(super) connection: &'a Connection,
    pub(super) options: &'a Options,
    /// What it changes that quotas count.
    pub(super) quota: Ledger,
}

#[derive(Debug)]
pub(super) struct Writer {
    /// None only while it is being dropped.
    queue: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
    /// Whether the disk failed, so that nothing is written any more.
    is_broken: Arc<AtomicBool>,
}

impl Writer {
    /// `log` is none for a database that has none, and so is `journal`.
    pub(super) fn start(
        connection: Arc<Mutex<Connection>>,
        log: Option<Log>,
        journal: Option<journal::Hook>,
        options: Options,
    ) -> io::Result<Writer> {
        let (queue, jobs) = mpsc::channel(QUEUE_MAX);
        let is_broken = Arc::new(AtomicBool::new(false));
        let mut worker = Worker {
            log,
            journal,
            connection,
            options,
            durability: Durability::Full,
            broken: None,
            is_broken: is_broken.clone(),
        };
        let thread =
            thread::Builder::new().name("metadata-writer".to_owned()).spawn(move || worker.run(jobs))?;
        Ok(Writer { queue: Some(queue), thread: Some(thread), is_broken })
    }

    /// Does `work` in a transaction and answers when that is committed. Once it is queued it is done, even if nobody
    /// waits for it any more; `hold` is dropped after the commit.
    pub(super) async fn run<T, H>(
        &self,
        operation: &'static str,
        durability: Durability,
        hold: H,
        work: impl FnOnce(&Tx<'_>) -> std::result::Result<T, Fault> + Send + 'static,
    ) -> Result<T>
    where
        T: Send + 'static,
        H: Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let request = Request { operation, durability, work: Some(work), outcome: None, hold, reply };
        let queue = self.queue.as_ref().expect("the queue is there until the writer is dropped");
        queue.send(Box::new(request)).await.map_err(|_| stopped(operation))?;
        answer.await.unwrap_or_else(|_| Err(stopped(operation)))
    }

    /// Fails if nothing can be written any more.
    pub(super) fn check(&self, operation: &'static str) -> Result<()> {
        let is_running = self.queue.as_ref().is_some_and(|queue| !queue.is_closed());
        if is_running && !self.is_broken.load(Ordering::Relaxed) { Ok(()) } else { Err(stopped(operation)) }
    }
}

impl Drop for Writer {
    /// Waits for what is queued, so that the database is closed when this returns.
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // The panic that ended the thread has been reported already.
            let _ = thread.join();
        }
    }
}

fn stopped(operation: &'static str) -> MetadataError {
    MetadataError::Unavailable { operation, source: "the thread that writes has stopped".into() }
}

/// Work of any kind, from the queue to its answer.
trait Job: Send {
    fn durability(&self) -> Durability;

    /// Does the work and keeps its outcome. An error says that nothing of it may stay: with SQLite's error if SQLite
    /// failed, and without one if the work was refused.
    fn run(&mut self, tx: &Tx<'_>) -> std::result::Result<(), Option<SqlError>>;

    /// Answers, with the outcome or with why that was not committed.
    fn answer(self: Box<Self>, committed: Committed);
}

struct Request<T, W, H> {
    operation: &'static str,
    durability: Durability,
    work: Option<W>,
    outcome: Option<Result<T>>,
    hold: H,
    reply: oneshot::Sender<Result<T>>,
}

impl<T, W, H> Job for Request<T, W, H>
where
    T: Send,
    W: FnOnce(&Tx<'_>) -> std::result::Result<T, Fault> + Send,
    H: Send,
{
    fn durability(&self) -> Durability {
        self.durability
    }

    fn run(&mut self, tx: &Tx<'_>) -> std::result::Result<(), Option<SqlError>> {
        let work = self.work.take().expect("work is run once");
        let settled = work(tx).and_then(|value| quota::settle(tx).map(|()| value));
        // What is refused counts nowhere.
        tx.quota.take();
        let (outcome, kept) = match settled {
            Ok(value) => (Ok(value), Ok(())),
            Err(Fault::Refused(error)) => (Err(error), Err(None)),
            Err(Fault::Sql(error)) => {
                let error = Arc::new(error);
                (Err(explain(self.operation, Failure::Sql(error.clone()))), Err(Some(error)))
            }
        };
        self.outcome = Some(outcome);
        kept
    }

    fn answer(self: Box<Self>, committed: Committed) {
        let Request { operation, outcome, hold, reply, .. } = *self;
        let answer = match committed {
            Ok(()) => outcome.unwrap_or_else(|| Err(stopped(operation))),
            Err(error) => Err(explain(operation, error)),
        };
        drop(hold);
        // Whoever asked may have gone.
        let _ = reply.send(answer);
    }
}

struct Worker {
    // Its connection closes before the writer's.
    log: Option<Log>,
    /// Which commits are journalled in, if they are.
    journal: Option<journal::Hook>,
    connection: Arc<Mutex<Connection>>,
    options: Options,
    /// How durable commits are as the connection is set.
    durability: Durability,
    /// The failure after which nothing is written any more.
    broken: Option<SqlError>,
    /// Tells the health checks of it.
    is_broken: Arc<AtomicBool>,
}

impl Worker {
    fn run(&mut self, mut queue: mpsc::Receiver<Box<dyn Job>>) {
        let mut jobs = Vec::with_capacity(BATCH_MAX);
        while queue.blocking_recv_many(&mut jobs, BATCH_MAX) > 0 {
            while !jobs.is_empty() {
                let (done, committed) = self.commit(&mut jobs);
                for job in jobs.drain(..done) {
                    self.answer(job, committed.clone());
                }
            }
            if let Some(log) = &mut self.log {
                log.tend(&self.connection.lock());
            }
        }
    }

    /// Answers, now or when the journal has what was committed. What a power cut may forget, the loss of the disk may
    /// forget as well.
    fn answer(&self, job: Box<dyn Job>, committed: Committed) {
        match (&self.journal, committed) {
            (Some(journal), Ok(())) if job.durability() == Durability::Full => {
                journal.when_stored(Box::new(|stored| job.answer(stored.map_err(Failure::Journal))));
            }
            (_, committed) => job.answer(committed),
        }
    }

    /// Commits the first of the work, usually all of it, and says how much.
    fn commit(&mut self, jobs: &mut [Box<dyn Job>]) -> (usize, Committed) {
        if let Some(error) = &self.broken {
            return (jobs.len(), Err(Failure::Sql(error.clone())));
        }
        if let Some(Err(error)) = self.journal.as_ref().map(journal::Hook::admit) {
            return (jobs.len(), Err(Failure::Journal(error)));
        }
        let connection = self.connection.clone();
        let connection = connection.lock();
        let mut done = jobs.len();
        let committed =
            self.set_durability(&connection, jobs).and_then(|()| self.attempt(&connection, jobs, &mut done));
        if !connection.is_autocommit() {
            // Nothing else can be done about a transaction that can be neither committed nor rolled back.
            let _ = connection.execute_batch("ROLLBACK");
        }
        (done, committed.inspect_err(|error| self.note(error)).map_err(Failure::Sql))
    }

    /// Sets how durable the commit is: as the most demanding of the work wants it.
    fn set_durability(
        &mut self,
        connection: &Connection,
        jobs: &[Box<dyn Job>],
    ) -> std::result::Result<(), SqlError> {
        let durability = jobs.iter().map(|job| job.durability()).max().unwrap_or(Durability::Full);
        if durability != self.durability {
            run(
                connection,
                match durability {
                    Durability::Process => "PRAGMA synchronous = NORMAL",
                    Durability::Full => "PRAGMA synchronous = FULL",
                },
            )?;
            self.durability = durability;
        }
        Ok(())
    }

    fn attempt(
        &self,
        connection: &Connection,
        jobs: &mut [Box<dyn Job>],
        done: &mut usize,
    ) -> std::result::Result<(), SqlError> {
        let tx = Tx { connection, options: &self.options, quota: Ledger::new(&self.options) };
        run(connection, "BEGIN IMMEDIATE")?;
        for (index, job) in jobs.iter_mut().enumerate() {
            run(connection, "SAVEPOINT job")?;
            if let Err(error) = job.run(&tx) {
                if connection.is_autocommit() {
                    // SQLite gave the whole transaction up, with what others had done in it.
                    return Err(error.unwrap_or_else(|| Arc::new(given_up())));
                }
                run(connection, "ROLLBACK TO job")?;
            }
            run(connection, "RELEASE job")?;
            if let Some(journal) = &self.journal
                && journal.is_full(connection)?
            {
                *done = index + 1;
                break;
            }
        }
        let Some(journal) = &self.journal else { return run(connection, "COMMIT") };
        let sealed = journal.seal(connection)?;
        let committed = run(connection, "COMMIT");
        journal.committed(sealed, committed.is_ok());
        committed
    }

    /// After a failed fsync nobody knows what is on the disk, and asking again would be told that all is well. Only a
    /// new start, which reads what is there, can know.
    fn note(&mut self, error: &SqlError) {
        if is_failed_sync(error) {
            tracing::error!(%error, "the database's disk failed; nothing is written until a restart: {error}");
            self.broken = Some(error.clone());
            self.is_broken.store(true, Ordering::Relaxed);
        }
    }
}

fn run(connection: &Connection, sql: &str) -> std::result::Result<(), SqlError> {
    let run = || connection.prepare_cached(sql)?.raw_execute().map(drop);
    run().map_err(Arc::new)
}

fn given_up() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_ABORT), None)
}
