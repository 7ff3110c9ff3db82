//! One connection: how it is set, and running a statement on it.

use std::{
    collections::HashMap,
    future::poll_fn,
    pin::pin,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    task::Poll,
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use parking_lot::Mutex;
use tokio::{sync::MutexGuard, time::timeout};
use tokio_postgres::{Client, Config, Row, RowStream, Statement, types::ToSql};

use super::tls::Tls;
use crate::{Durability, Fault, Limits, Operation, Remedy};

/// How long the server keeps a transaction, and its locks, of a node from which nothing comes.
const IDLE_IN_TRANSACTION_TIMEOUT: Duration = Duration::from_secs(5);

/// How long bytes may stay unacknowledged.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(2);

/// When an idle connection is asked whether it is still there, how often, and how often in vain.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
const KEEPALIVE_RETRIES: u32 = 3;

/// Begins a transaction that is as durable as the server, or the role, is set to.
pub const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// The server's setting for what a crash may lose, in a transaction.
const OF_PROCESS: &str = "SET LOCAL synchronous_commit = off";

/// Begins a transaction of one statement by itself. Spelled otherwise than those of several statements, so that a log of the
/// server tells them apart.
const ALONE_OF_PROCESS: &str =
    "START TRANSACTION ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit = off";

/// What a statement is given.
pub type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A connection that one piece of work has for itself.
///
/// Statements whose futures are polled together are sent one after the other without waiting for answers in between, in the
/// order of their first polls: one round trip. A statement that is used for the first time on a connection is prepared
/// first, and those that come after it wait for that.
#[derive(Debug)]
pub struct Connection {
    client: Client,
    /// By their text. Not by its address: a constant may have several.
    statements: Mutex<HashMap<&'static str, Statement>>,
    /// Held by the statement that is sent next, until it is sent.
    turn: tokio::sync::Mutex<()>,
    /// How many statements took their turn.
    turns: AtomicU64,
    /// How long the operation that has the connection may take.
    limits: Mutex<Limits>,
    /// Whether it can not be used again: a transaction was left open, or an answer never came.
    is_unusable: AtomicBool,
    opened: Instant,
}

/// Sets what keeps a connection from hanging. `wait` limits each attempt to connect.
pub(crate) fn tune(config: &mut Config, wait: Duration) {
    config
        .connect_timeout(config.get_connect_timeout().copied().unwrap_or(wait))
        .tcp_user_timeout(TCP_USER_TIMEOUT)
        .keepalives(true)
        .keepalives_idle(KEEPALIVE_IDLE)
        .keepalives_interval(KEEPALIVE_INTERVAL)
        .keepalives_retries(KEEPALIVE_RETRIES);
}

impl Connection {
    /// Connects. If the future is dropped, so is the attempt.
    pub(crate) async fn open(config: &Config, tls: &Tls) -> Result<Connection, tokio_postgres::Error> {
        let (client, connection) = config.connect(tls.clone()).await?;
        tokio::spawn(async move {
            // The work that uses the connection is told as well, and says it to its caller.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the database ended: {error}");
            }
        });
        // What holds where an operation says nothing else: a statement by itself is as durable as the server is set to, and
        // takes what a request may take.
        let set = format!(
            "{}; SET idle_in_transaction_session_timeout = {}; SET client_min_messages = warning",
            Limits::REQUEST.settings("SET"),
            IDLE_IN_TRANSACTION_TIMEOUT.as_millis(),
        );
        client.batch_execute(&set).await?;
        Ok(Connection {
            client,
            statements: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            turns: AtomicU64::new(0),
            limits: Mutex::new(Limits::REQUEST),
            is_unusable: AtomicBool::new(false),
            opened: Instant::now(),
        })
    }

    /// How long it has been open.
    pub(crate) fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    /// Whether it may be used once more.
    pub(crate) fn is_usable(&self) -> bool {
        !self.is_unusable.load(Ordering::Relaxed) && !self.client.is_closed()
    }

    /// Whether it is to be closed instead of being used again.
    pub fn mark_unusable(&self, is_unusable: bool) {
        self.is_unusable.store(is_unusable, Ordering::Relaxed);
    }

    /// All rows.
    ///
    /// # Errors
    /// See [`Fault`]; so do all that run statements.
    pub async fn all(&self, sql: &'static str, parameters: Parameters<'_>) -> Result<Vec<Row>, Fault> {
        self.answer(async {
            let (statement, turn) = self.take_turn(sql).await?;
            Ok(sent(self.client.query(&statement, parameters), turn).await?)
        })
        .await
    }

    /// The first row, if there is one.
    ///
    /// # Errors
    /// See [`Fault`].
    pub async fn one(&self, sql: &'static str, parameters: Parameters<'_>) -> Result<Option<Row>, Fault> {
        Ok(self.all(sql, parameters).await?.into_iter().next())
    }

    /// Whether there is a row.
    ///
    /// # Errors
    /// See [`Fault`].
    pub async fn exists(&self, sql: &'static str, parameters: Parameters<'_>) -> Result<bool, Fault> {
        Ok(self.one(sql, parameters).await?.is_some())
    }

    /// Changes rows, and says how many.
    ///
    /// # Errors
    /// See [`Fault`].
    pub async fn execute(&self, sql: &'static str, parameters: Parameters<'_>) -> Result<u64, Fault> {
        self.answer(async {
            let (statement, turn) = self.take_turn(sql).await?;
            Ok(sent(self.client.execute(&statement, parameters), turn).await?)
        })
        .await
    }

    /// Rows as they come.
    ///
    /// # Errors
    /// See [`Fault`].
    pub async fn stream(&self, sql: &'static str, parameters: Parameters<'_>) -> Result<RowStream, Fault> {
        self.answer(async {
            let (statement, turn) = self.take_turn(sql).await?;
            Ok(sent(self.client.query_raw(&statement, parameters.iter().copied()), turn).await?)
        })
        .await
    }

    /// Something without parameters and rows, not prepared.
    ///
    /// # Errors
    /// See [`Fault`].
    pub async fn batch(&self, sql: &str) -> Result<(), Fault> {
        self.answer(async {
            let turn = self.turn.lock().await;
            Ok(sent(self.client.batch_execute(sql), turn).await?)
        })
        .await
    }

    /// Runs one statement by itself, which a crash of the server may lose: in a transaction of its own that does not wait for
    /// the disk, begun and committed in the same round trip. A second statement would be sent after the end of that transaction.
    ///
    /// # Errors
    /// See [`Fault`].
    pub async fn of_process<T>(&self, statement: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        // Dropped half way it would leave the transaction open.
        self.mark_unusable(true);
        let before = self.turns.load(Ordering::Relaxed);
        let (begun, outcome, committed) =
            tokio::join!(biased; self.batch(ALONE_OF_PROCESS), statement, self.batch("END"));
        let sent = self.turns.load(Ordering::Relaxed) - before;
        debug_assert!(sent <= 1, "{sent} statements where one is promised");
        begun?;
        let is_gone = |fault: &Fault| fault.remedy() == Remedy::Reconnect;
        if committed.is_ok() && !outcome.as_ref().is_err_and(is_gone) {
            self.mark_unusable(false);
        }
        // A statement that fails has the commit roll back, and says more than that.
        let outcome = outcome?;
        committed?;
        Ok(outcome)
    }

    /// Begins a transaction for an operation, whose limits hold for the connection from now on.
    pub(crate) async fn begin(&self, operation: &Operation) -> Result<(), Fault> {
        self.limit(operation.limits);
        let mut begin = BEGIN.to_owned();
        if operation.durability == Durability::Process {
            begin = format!("{begin}; {OF_PROCESS}");
        }
        if operation.limits != Limits::REQUEST {
            begin = format!("{begin}; {}", operation.limits.settings("SET LOCAL"));
        }
        self.batch(&begin).await
    }

    /// How long answers are waited for from now on. The server is told when a transaction begins.
    pub fn limit(&self, limits: Limits) {
        *self.limits.lock() = limits;
    }

    /// The limits of the rest of a transaction that has begun.
    ///
    /// # Errors
    /// See [`Fault`].
    pub async fn extend(&self, limits: Limits) -> Result<(), Fault> {
        self.limit(limits);
        self.batch(&limits.settings("SET LOCAL")).await
    }

    /// The client, for what is not a statement of ours: it waits however long an answer takes.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Waits for an answer, but no longer than the operation may.
    ///
    /// # Errors
    /// [`Fault::Silent`], or what the work says.
    pub async fn answer<T>(&self, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        let limits = *self.limits.lock();
        let Some(limit) = limits.answer() else { return work.await };
        timeout(limit, work).await.unwrap_or_else(|_| {
            self.mark_unusable(true);
            Err(Fault::Silent)
        })
    }

    /// Prepares what is not prepared yet, all at once.
    ///
    /// # Errors
    /// See [`Fault`].
    pub async fn ready(&self, statements: &[&'static str]) -> Result<(), Fault> {
        let missing: Vec<_> = {
            let known = self.statements.lock();
            statements.iter().filter(|sql| !known.contains_key(*sql)).copied().collect()
        };
        self.answer(try_join_all(missing.into_iter().map(|sql| self.prepared(sql)))).await.map(drop)
    }

    /// A statement, prepared; without waiting if it was before.
    ///
    /// # Errors
    /// See [`Fault`].
    pub async fn prepared(&self, sql: &'static str) -> Result<Statement, Fault> {
        if let Some(statement) = self.statements.lock().get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql).await?;
        self.statements.lock().insert(sql, statement.clone());
        Ok(statement)
    }

    /// A statement that is prepared, and the turn to send it.
    pub(crate) async fn take_turn(
        &self,
        sql: &'static str,
    ) -> Result<(Statement, MutexGuard<'_, ()>), Fault> {
        let turn = self.turn.lock().await;
        let statement = self.prepared(sql).await?;
        self.turns.fetch_add(1, Ordering::Relaxed);
        Ok((statement, turn))
    }
}

/// Gives the turn on once the request is sent, which the first poll does, and waits for its answer.
pub(crate) async fn sent<F: Future>(request: F, turn: MutexGuard<'_, ()>) -> F::Output {
    let mut request = pin!(request);
    let answer = poll_fn(|context| Poll::Ready(request.as_mut().poll(context))).await;
    drop(turn);
    match answer {
        Poll::Ready(answer) => answer,
        Poll::Pending => request.await,
    }
}
