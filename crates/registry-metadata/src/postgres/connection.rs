//! One connection: how it is set, and running a statement of `crate::sql` on it.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use parking_lot::Mutex;
use tokio::time::timeout;
use tokio_postgres::{Client, Config, Row, RowStream, Statement, types::ToSql};

use super::{fault::Fault, tls::Tls};

/// How long the server works on one statement. Those of requests take milliseconds.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long the server has a statement wait for a lock. Longer than the server's `deadlock_timeout` of one second, or no
/// deadlock would ever be found.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the server keeps a transaction, and its locks, of a node from which nothing comes.
const IDLE_IN_TRANSACTION_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an answer is waited for: a little longer than the server may take, so that a server that is only busy says
/// so itself. Whoever does not answer by then is cut off or hangs.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);

/// How long bytes may stay unacknowledged.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(2);

/// When an idle connection is asked whether it is still there, how often, and how often in vain.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
const KEEPALIVE_RETRIES: u32 = 3;

/// Begins a transaction that is as durable as the server, or the role, is set to.
pub(super) const BEGIN: &str =
    "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit TO DEFAULT";

/// What a statement is given.
pub(super) type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A connection that somebody has for himself.
#[derive(Debug)]
pub(super) struct Connection {
    client: Client,
    /// By their text. Not by its address: a constant may have several.
    statements: Mutex<HashMap<&'static str, Statement>>,
    /// Whether it can not be used again: a transaction was left open, or an answer never came.
    is_spoilt: AtomicBool,
    opened: Instant,
}

/// Sets what keeps a connection from hanging. `wait` limits each attempt to connect.
pub(super) fn tune(config: &mut Config, wait: Duration) {
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
    pub(super) async fn open(config: &Config, tls: &Tls) -> Result<Connection, tokio_postgres::Error> {
        let (client, connection) = config.connect(tls.clone()).await?;
        tokio::spawn(async move {
            // Whoever uses the connection is told as well, and says it to somebody.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the database ended: {error}");
            }
        });
        // Statements by themselves concern sessions of uploads, which a crash of the server may cost; transactions ask for
        // what the server is set to.
        let set = format!(
            "SET statement_timeout = {}; SET lock_timeout = {}; SET idle_in_transaction_session_timeout = {}; \
             SET client_min_messages = warning; SET synchronous_commit = off",
            STATEMENT_TIMEOUT.as_millis(),
            LOCK_TIMEOUT.as_millis(),
            IDLE_IN_TRANSACTION_TIMEOUT.as_millis(),
        );
        client.batch_execute(&set).await?;
        Ok(Connection {
            client,
            statements: Mutex::default(),
            is_spoilt: AtomicBool::new(false),
            opened: Instant::now(),
        })
    }

    /// How long it has been open.
    pub(super) fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    /// Whether it may be used once more.
    pub(super) fn is_usable(&self) -> bool {
        !self.is_spoilt.load(Ordering::Relaxed) && !self.client.is_closed()
    }

    /// Whether it is to be closed instead of being used again.
    pub(super) fn set_spoilt(&self, is_spoilt: bool) {
        self.is_spoilt.store(is_spoilt, Ordering::Relaxed);
    }

    /// All rows.
    pub(super) async fn all(&self, sql: &'static str, parameters: Parameters<'_>) -> Result<Vec<Row>, Fault> {
        self.answer(async { Ok(self.client.query(&self.prepared(sql).await?, parameters).await?) }).await
    }

    /// The first row, if there is one.
    pub(super) async fn one(
        &self,
        sql: &'static str,
        parameters: Parameters<'_>,
    ) -> Result<Option<Row>, Fault> {
        Ok(self.all(sql, parameters).await?.into_iter().next())
    }

    /// Whether there is a row.
    pub(super) async fn exists(&self, sql: &'static str, parameters: Parameters<'_>) -> Result<bool, Fault> {
        Ok(self.one(sql, parameters).await?.is_some())
    }

    /// Changes rows, and says how many.
    pub(super) async fn execute(&self, sql: &'static str, parameters: Parameters<'_>) -> Result<u64, Fault> {
        self.answer(async { Ok(self.client.execute(&self.prepared(sql).await?, parameters).await?) }).await
    }

    /// Rows as they come.
    pub(super) async fn stream(
        &self,
        sql: &'static str,
        parameters: Parameters<'_>,
    ) -> Result<RowStream, Fault> {
        self.answer(async {
            let statement = self.prepared(sql).await?;
            Ok(self.client.query_raw(&statement, parameters.iter().copied()).await?)
        })
        .await
    }

    /// Something without parameters and rows, not prepared.
    pub(super) async fn batch(&self, sql: &str) -> Result<(), Fault> {
        self.answer(async { Ok(self.client.batch_execute(sql).await?) }).await
    }

    /// As [`batch`](Self::batch), however long it takes: for commands that an operator waits for.
    pub(super) async fn batch_patiently(&self, sql: &str) -> Result<(), Fault> {
        Ok(self.client.batch_execute(sql).await?)
    }

    /// The client, for what is not a request.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Prepares what is not prepared yet. To be called before statements are sent one after the other without waiting
    /// for answers: one that had to be prepared first would fall behind.
    pub(super) async fn ready(&self, statements: &[&'static str]) -> Result<(), Fault> {
        let missing = || {
            let known = self.statements.lock();
            statements.iter().filter(|sql| !known.contains_key(*sql)).copied().collect::<Vec<_>>()
        };
        let prepare = missing().into_iter().map(|sql| self.prepared(sql));
        self.answer(try_join_all(prepare)).await.map(drop)
    }

    /// Waits for an answer, but not for ever.
    pub(super) async fn answer<T>(&self, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        timeout(ANSWER_TIMEOUT, work).await.unwrap_or_else(|_| {
            self.set_spoilt(true);
            Err(Fault::Silent)
        })
    }

    /// A statement, prepared; without waiting if it was before.
    pub(super) async fn prepared(&self, sql: &'static str) -> Result<Statement, Fault> {
        if let Some(statement) = self.statements.lock().get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql).await?;
        self.statements.lock().insert(sql, statement.clone());
        Ok(statement)
    }
}
