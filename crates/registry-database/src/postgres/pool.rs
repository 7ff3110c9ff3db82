//! The connections of a process: so many, and nobody waits long.
//!
//! What this adds to a queue of connections is what happens when the database is gone: whoever comes is told at once, and
//! one request after the other tries whether it is back.

use std::{
    fmt,
    ops::Deref,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_postgres::Config;

use super::{
    connection::{self, Connection},
    options::{PoolOptions, PostgresOptions},
    tls::Tls,
};
use crate::{Fault, Limits, OpenError, Owners};

/// After how long a connection is replaced, so that a name which leads elsewhere now is followed.
const AGE_MAX: Duration = Duration::from_secs(30 * 60);

/// How long nobody tries again after the database could not be reached.
const PAUSE: Duration = Duration::from_millis(200);

/// Connections to one database.
pub struct Pool {
    config: Config,
    tls: Tls,
    options: PoolOptions,
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    state: Mutex<State>,
    pub(super) owners: OnceLock<Owners>,
}

#[derive(Default)]
struct State {
    /// The one that was used last is at the end.
    idle: Vec<Connection>,
    /// Counts how often the connections were given up, so that one which was out meanwhile does not come back.
    generation: u64,
    /// Until when the database counts as gone.
    gone_until: Option<Instant>,
}

impl Pool {
    /// No connection is opened yet.
    ///
    /// # Errors
    /// [`OpenError::Certificate`], or what sets up TLS.
    pub fn new(options: &PostgresOptions) -> Result<Arc<Pool>, OpenError> {
        let mut config = options.config.clone();
        connection::tune(&mut config, options.pool.wait);
        Ok(Arc::new(Pool {
            config,
            tls: Tls::new(&options.tls)?,
            options: options.pool.clone(),
            permits: Arc::new(Semaphore::new(options.pool.size.max(1))),
            waiting: AtomicUsize::new(0),
            state: Mutex::default(),
            owners: OnceLock::new(),
        }))
    }

    /// The database has these owners now; only the first list counts.
    pub(super) fn remember_owners(&self, owners: Owners) {
        let _ = self.owners.set(owners);
    }

    /// A connection, within [`PoolOptions::wait`]; at once an error if the database was not there a moment ago, or if
    /// too many wait already.
    ///
    /// # Errors
    /// [`Fault::NoConnection`].
    pub async fn connection(self: &Arc<Pool>) -> Result<Pooled, Fault> {
        self.refuse_while_gone()?;
        let permit = match self.permits.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => self.wait().await?,
        };
        let generation = match self.idle() {
            Ok(connection) => return Ok(self.pooled(connection.0, connection.1, permit)),
            Err(generation) => generation,
        };
        match timeout(self.options.wait, Connection::open(&self.config, &self.tls)).await {
            Ok(Ok(connection)) => {
                self.state.lock().gone_until = None;
                Ok(self.pooled(connection, generation, permit))
            }
            Ok(Err(error)) => {
                let is_ours = error.code().is_some_and(|code| !code.code().starts_with("57"));
                // A server that refuses this connection alone (too many, a wrong password) is there.
                if !is_ours {
                    self.lost(true);
                }
                Err(Fault::NoConnection(error.into()))
            }
            Err(_) => {
                self.lost(true);
                Err(Fault::NoConnection(format!("no connection after {:?}", self.options.wait).into()))
            }
        }
    }

    /// Gives up all connections: one has shown that the server was stopped, or does not answer. If it is gone, nobody
    /// tries again for a moment.
    pub fn lost(&self, is_gone: bool) {
        let mut state = self.state.lock();
        state.generation += 1;
        state.idle.clear();
        if is_gone {
            state.gone_until = Some(Instant::now() + PAUSE);
        }
    }

    /// While the database counts as gone, everybody is told so at once. When the pause is over, the one who comes first
    /// tries, and the others are told so for as long as that may take.
    fn refuse_while_gone(&self) -> Result<(), Fault> {
        let mut state = self.state.lock();
        let now = Instant::now();
        match state.gone_until {
            Some(until) if now < until => {
                Err(Fault::NoConnection("the database could not be reached a moment ago".into()))
            }
            Some(_) => {
                state.gone_until = Some(now + self.options.wait);
                Ok(())
            }
            None => Ok(()),
        }
    }

    async fn wait(&self) -> Result<OwnedSemaphorePermit, Fault> {
        let waiting = Waiting::begin(&self.waiting);
        if waiting.ahead >= self.options.waiting_max {
            return Err(Fault::NoConnection("too many requests wait for the database".into()));
        }
        match timeout(self.options.wait, self.permits.clone().acquire_owned()).await {
            Ok(permit) => Ok(permit.expect("the semaphore is never closed")),
            Err(_) => Err(Fault::NoConnection(
                format!("all connections are busy for {:?}", self.options.wait).into(),
            )),
        }
    }

    /// A connection that is open, or the present generation for a new one.
    fn idle(&self) -> Result<(Connection, u64), u64> {
        let mut state = self.state.lock();
        while let Some(connection) = state.idle.pop() {
            if connection.is_usable() && connection.age() < AGE_MAX {
                return Ok((connection, state.generation));
            }
        }
        Err(state.generation)
    }

    fn pooled(
        self: &Arc<Pool>,
        connection: Connection,
        generation: u64,
        permit: OwnedSemaphorePermit,
    ) -> Pooled {
        Pooled { connection: Some(connection), generation, pool: self.clone(), _permit: permit }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("options", &self.options).finish_non_exhaustive()
    }
}

/// A connection until it is dropped; then it goes back, if it is still good.
#[derive(Debug)]
pub struct Pooled {
    /// None only while this is being dropped.
    connection: Option<Connection>,
    generation: u64,
    pool: Arc<Pool>,
    // Dropped last: who waits finds the connection.
    _permit: OwnedSemaphorePermit,
}

impl Deref for Pooled {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("the connection is there until this is dropped")
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let connection = self.connection.take().filter(Connection::is_usable);
        if let Some(connection) = &connection {
            connection.limit(Limits::REQUEST);
        }
        let mut state = self.pool.state.lock();
        if let Some(connection) = connection
            && self.generation == state.generation
        {
            state.idle.push(connection);
        }
    }
}

/// Somebody who waits.
struct Waiting<'a> {
    count: &'a AtomicUsize,
    ahead: usize,
}

impl Waiting<'_> {
    fn begin(count: &AtomicUsize) -> Waiting<'_> {
        Waiting { ahead: count.fetch_add(1, Ordering::Relaxed), count }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}
