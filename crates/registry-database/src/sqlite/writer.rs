//! The one thread that writes.
//!
//! Whatever is asked for while a commit is on its way to the disk goes into the next one together: group commit. Each
//! piece of work has a savepoint of its own, so that one which is refused takes nothing with it; and no work is answered
//! before the commit.
//!
//! Work that panics is rolled back like work that fails, and its caller is told. If the next piece of work panics too, the
//! writer itself is in doubt: it stops writing until the program is started again.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
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
    fault::{explain, is_failed_sync},
    hook::{CommitHook, HookError},
};
use crate::{Durability, Error, Fault};

/// How much work waits for the writer; more waits before the queue.
const QUEUE_MAX: usize = 256;

/// How much work one commit takes at most.
const BATCH_MAX: usize = 64;

/// After how many pieces of work in a row that panicked nothing is written any more.
const PANICS_MAX: u32 = 2;

/// Shared, because all work of a commit fails with it.
type SqlError = Arc<rusqlite::Error>;

/// Why a commit did not come to anything.
#[derive(Clone, Debug)]
enum Failure {
    /// SQLite failed.
    Sql(SqlError),
    /// The hook does not let it count.
    Hook(HookError),
    /// The writer has stopped.
    Stopped,
}

impl Failure {
    fn explain(self, operation: &'static str) -> Error {
        match self {
            Failure::Sql(error) => explain(operation, error),
            Failure::Hook(error) => Error::Unavailable { operation, source: Box::new(error) },
            Failure::Stopped => stopped(operation),
        }
    }
}

/// What came of a commit.
type Committed = Result<(), Failure>;

/// The way to the thread that writes.
#[derive(Debug)]
pub struct Writer {
    /// None only while it is being dropped.
    queue: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
    /// Whether nothing is written any more.
    is_broken: Arc<AtomicBool>,
}

impl Writer {
    /// `log` is none for a database that has none.
    pub(crate) fn start(
        connection: Arc<Mutex<Connection>>,
        log: Option<Log>,
        hook: Option<Box<dyn CommitHook>>,
    ) -> io::Result<Writer> {
        let (queue, jobs) = mpsc::channel(QUEUE_MAX);
        let is_broken = Arc::new(AtomicBool::new(false));
        let mut worker = Worker {
            log,
            hook,
            connection,
            durability: Durability::Full,
            broken: None,
            panics: 0,
            is_broken: is_broken.clone(),
        };
        let thread =
            thread::Builder::new().name("database-writer".to_owned()).spawn(move || worker.run(jobs))?;
        Ok(Writer { queue: Some(queue), thread: Some(thread), is_broken })
    }

    /// Does `work` in a transaction and answers when that is committed. Once it is queued it is done, even if the future
    /// is dropped; `hold` is dropped after the commit.
    ///
    /// # Errors
    /// See [`Error`]; nothing of the work was kept. [`Error::Failed`], if it panicked.
    pub async fn run<T, H>(
        &self,
        operation: &'static str,
        durability: Durability,
        hold: H,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Error>
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

    /// Whether anything can be written.
    ///
    /// # Errors
    /// [`Error::Unavailable`], if not.
    pub fn check(&self, operation: &'static str) -> Result<(), Error> {
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

fn stopped(operation: &'static str) -> Error {
    Error::Unavailable { operation, source: "the thread that writes has stopped".into() }
}

/// What came of a piece of work before the commit.
enum Done {
    Kept,
    /// Nothing of it may stay. With SQLite's error, if SQLite failed.
    Failed(Option<SqlError>),
    /// As `Failed`, by a panic.
    Panicked,
}

/// Work of any kind, from the queue to its answer.
trait Job: Send {
    fn durability(&self) -> Durability;

    /// Does the work and keeps its outcome.
    fn run(&mut self, connection: &Connection) -> Done;

    /// Answers, with the outcome or with why that was not committed.
    fn answer(self: Box<Self>, committed: Committed);
}

struct Request<T, W, H> {
    operation: &'static str,
    durability: Durability,
    work: Option<W>,
    outcome: Option<Result<T, Error>>,
    hold: H,
    reply: oneshot::Sender<Result<T, Error>>,
}

impl<T, W, H> Job for Request<T, W, H>
where
    T: Send,
    W: FnOnce(&Connection) -> Result<T, Fault> + Send,
    H: Send,
{
    fn durability(&self) -> Durability {
        self.durability
    }

    fn run(&mut self, connection: &Connection) -> Done {
        let work = self.work.take().expect("work is run once");
        // What it may have left half done is the database's, and is rolled back.
        let worked = catch_unwind(AssertUnwindSafe(|| work(connection)));
        let (outcome, done) = match worked {
            Ok(Ok(value)) => (Ok(value), Done::Kept),
            Ok(Err(Fault::Sqlite(error))) => {
                (Err(explain(self.operation, error.clone())), Done::Failed(Some(error)))
            }
            Ok(Err(fault)) => (Err(fault.explain(self.operation)), Done::Failed(None)),
            Err(_) => (Err(Fault::Broken(PANICKED).explain(self.operation)), Done::Panicked),
        };
        self.outcome = Some(outcome);
        done
    }

    fn answer(self: Box<Self>, committed: Committed) {
        let Request { operation, outcome, hold, reply, .. } = *self;
        let answer = match committed {
            Ok(()) => outcome.unwrap_or_else(|| Err(stopped(operation))),
            // That it panicked is more than that its commit failed because of it.
            Err(failure) => match outcome {
                Some(Err(error @ Error::Failed { .. })) => Err(error),
                _ => Err(failure.explain(operation)),
            },
        };
        drop(hold);
        // The caller may have gone.
        let _ = reply.send(answer);
    }
}

/// What the caller is told about work that panicked; the panic itself is in the log of the program.
const PANICKED: &str = "the work panicked, and nothing of it was kept";

struct Worker {
    // Its connection closes before the writer's.
    log: Option<Log>,
    /// What follows the commits, if anything does.
    hook: Option<Box<dyn CommitHook>>,
    connection: Arc<Mutex<Connection>>,
    /// How durable commits are as the connection is set.
    durability: Durability,
    /// Why nothing is written any more.
    broken: Option<Failure>,
    /// How many pieces of work have panicked in a row.
    panics: u32,
    /// Tells the health checks that nothing is written any more.
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

    /// Answers, now or when the hook lets the commit count. What a power cut may forget, the loss of the disk may forget as
    /// well.
    fn answer(&mut self, job: Box<dyn Job>, committed: Committed) {
        match (&mut self.hook, committed) {
            (Some(hook), Ok(())) if job.durability() == Durability::Full => {
                hook.when_stored(Box::new(|stored| job.answer(stored.map_err(Failure::Hook))));
            }
            (_, committed) => job.answer(committed),
        }
    }

    /// Commits the first of the work, usually all of it, and says how much.
    fn commit(&mut self, jobs: &mut [Box<dyn Job>]) -> (usize, Committed) {
        if let Some(failure) = &self.broken {
            return (jobs.len(), Err(failure.clone()));
        }
        if let Some(Err(error)) = self.hook.as_mut().map(|hook| hook.admit()) {
            return (jobs.len(), Err(Failure::Hook(error)));
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
        (done, committed.inspect_err(|failure| self.note(failure)))
    }

    /// Sets how durable the commit is: as the most demanding of the work wants it.
    fn set_durability(&mut self, connection: &Connection, jobs: &[Box<dyn Job>]) -> Committed {
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

    fn attempt(&mut self, connection: &Connection, jobs: &mut [Box<dyn Job>], done: &mut usize) -> Committed {
        run(connection, "BEGIN IMMEDIATE")?;
        for (index, job) in jobs.iter_mut().enumerate() {
            run(connection, "SAVEPOINT job")?;
            let outcome = job.run(connection);
            self.count_panics(&outcome)?;
            if let Done::Failed(_) | Done::Panicked = &outcome {
                if connection.is_autocommit() {
                    // SQLite gave the whole transaction up, with what others had done in it.
                    return Err(Failure::Sql(match outcome {
                        Done::Failed(Some(error)) => error,
                        _ => Arc::new(given_up()),
                    }));
                }
                run(connection, "ROLLBACK TO job")?;
            }
            run(connection, "RELEASE job")?;
            if let Some(hook) = &mut self.hook
                && hook.is_full(connection).map_err(failed)?
            {
                *done = index + 1;
                break;
            }
        }
        let Some(hook) = &mut self.hook else { return run(connection, "COMMIT") };
        hook.seal(connection).map_err(failed)?;
        let committed = run(connection, "COMMIT");
        hook.committed(committed.is_ok());
        committed
    }

    /// Two panics in a row are no matter of the work that was asked for.
    fn count_panics(&mut self, done: &Done) -> Committed {
        self.panics = if matches!(done, Done::Panicked) { self.panics + 1 } else { 0 };
        if self.panics < PANICS_MAX { Ok(()) } else { Err(Failure::Stopped) }
    }

    /// After a failed fsync it is not known what is on the disk, and a second one would report success. Only a
    /// new start, which reads what is there, can know.
    fn note(&mut self, failure: &Failure) {
        match failure {
            Failure::Sql(error) if is_failed_sync(error) => {
                tracing::error!(%error, "the database's disk failed; nothing is written until a restart: {error}");
            }
            Failure::Stopped => {
                tracing::error!(
                    "work on the database panicked again and again; nothing is written until a restart"
                );
            }
            _ => return,
        }
        self.broken = Some(failure.clone());
        self.is_broken.store(true, Ordering::Relaxed);
    }
}

fn run(connection: &Connection, sql: &str) -> Committed {
    let run = || connection.prepare_cached(sql)?.raw_execute().map(drop);
    run().map_err(failed)
}

fn failed(error: rusqlite::Error) -> Failure {
    Failure::Sql(Arc::new(error))
}

fn given_up() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_ABORT), None)
}
