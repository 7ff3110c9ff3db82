use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use registry_testing_postgres::PostgresServer;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage, error::SqlState};

use super::super::PostgresStore;
use crate::{
    Options, PoolOptions, PostgresOptions,
    clock::millis,
    contract::{Backend, Probe, Subject},
};

/// Some day in 2026.
const START_MS: i64 = 1_790_000_000_000;

/// A database for each case, opened twice, as two nodes would.
pub(super) struct OnServer;

/// A connection of its own.
pub(super) struct PostgresProbe(Client);

impl std::fmt::Debug for PostgresProbe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PostgresProbe")
    }
}

#[async_trait]
impl Backend for OnServer {
    async fn open(&self, options: Options) -> Subject {
        let url = PostgresServer::shared().database();
        let (store, other) = (open(&url, &options).await, open(&url, &options).await);
        let probe = PostgresProbe::connect(&url).await;
        probe.stop_the_clock().await;
        Subject { store: Arc::new(store), other: Arc::new(other), probe: Arc::new(probe) }
    }
}

pub(super) fn at(url: &str) -> PostgresOptions {
    let options: PostgresOptions = url.parse().unwrap();
    options.with_pool(PoolOptions { size: 4, ..PoolOptions::default() })
}

pub(super) async fn open(url: &str, options: &Options) -> PostgresStore {
    PostgresStore::open(&at(url), options.clone()).await.unwrap()
}

impl PostgresProbe {
    pub(super) async fn connect(url: &str) -> PostgresProbe {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        tokio::spawn(connection);
        PostgresProbe(client)
    }

    /// The database's clock is a function; here it reads what a test wrote.
    async fn stop_the_clock(&self) {
        let stopped = format!(
            "CREATE TABLE clock (now_ms BIGINT NOT NULL);
            INSERT INTO clock VALUES ({START_MS});
            CREATE OR REPLACE FUNCTION now_ms() RETURNS BIGINT LANGUAGE SQL STABLE AS 'SELECT now_ms FROM clock'"
        );
        self.0.batch_execute(&stopped).await.unwrap();
    }

    /// None if the server ends the transaction for the sake of another one.
    pub(super) async fn try_run(&self, sql: &str) -> Option<()> {
        match self.0.batch_execute(sql).await {
            Ok(()) => Some(()),
            Err(error) if error.code() == Some(&SqlState::T_R_DEADLOCK_DETECTED) => None,
            Err(error) => panic!("{sql}: {error:?}"),
        }
    }

    pub(super) async fn run(&self, sql: &str) {
        self.0.batch_execute(sql).await.unwrap();
    }
}

#[async_trait]
impl Probe for PostgresProbe {
    async fn rows(&self, sql: &str) -> Vec<String> {
        let text = |row: tokio_postgres::SimpleQueryRow| {
            (0..row.len()).map(|column| row.get(column).unwrap_or_default()).collect::<Vec<_>>().join("|")
        };
        let messages = self.0.simple_query(sql).await.unwrap();
        let row = |message| match message {
            SimpleQueryMessage::Row(row) => Some(text(row)),
            _ => None,
        };
        messages.into_iter().filter_map(row).collect()
    }

    async fn run(&self, sql: &str) {
        PostgresProbe::run(self, sql).await;
    }

    async fn advance(&self, by: Duration) {
        PostgresProbe::run(self, &format!("UPDATE clock SET now_ms = now_ms + {}", millis(by))).await;
    }
}
