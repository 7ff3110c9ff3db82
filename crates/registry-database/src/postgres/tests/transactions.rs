//! Work in transactions.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;

use super::{pool, value};
use crate::{
    Error, Fault, Limits, Operation,
    postgres::{Connection, Work, transact},
};

const PID: &str = "SELECT pg_backend_pid()::text";

/// Inserts a row, and panics.
struct Panics;

#[async_trait]
impl Work for Panics {
    type Output = ();

    async fn run(&self, connection: &Connection) -> Result<(), Fault> {
        connection.execute("INSERT INTO things (name) VALUES ('half done')", &[]).await?;
        panic!("a test of work that panics")
    }
}

/// Asks for one text.
struct Ask(&'static str);

#[async_trait]
impl Work for Ask {
    type Output = String;

    async fn run(&self, connection: &Connection) -> Result<String, Fault> {
        let row = connection.one(self.0, &[]).await?;
        Ok(row.map(|row| row.get(0)).unwrap_or_default())
    }
}

#[tokio::test]
async fn work_that_panics_is_not_kept_and_its_connection_is_closed() {
    let pool = pool().await;
    let before = value(&pool, PID).await;
    let error = transact(&pool, "try".into(), (), Panics).await.unwrap_err();
    assert!(matches!(error, Error::Failed { operation: "try", .. }), "{error:?}");
    assert_ne!(value(&pool, PID).await, before);
    assert_eq!(value(&pool, "SELECT COUNT(*)::text FROM things").await, "0");
}

/// Inserts a row, and others with the commit.
struct InsertsLast(&'static [&'static str]);

const INSERT: &str = "INSERT INTO things (name) VALUES ($1)";

#[async_trait]
impl Work for InsertsLast {
    type Output = &'static str;

    async fn run(&self, connection: &Connection) -> Result<&'static str, Fault> {
        connection.execute(INSERT, &[&"first"]).await?;
        Ok("first")
    }

    async fn last(&self, connection: &Connection, output: &mut &'static str) -> Result<(), Fault> {
        assert_eq!(*output, "first");
        let inserts = self.0.iter().map(|name| async move { connection.execute(INSERT, &[name]).await });
        join_all(inserts).await.into_iter().collect::<Result<Vec<_>, _>>().map(drop)
    }
}

#[tokio::test]
async fn what_is_sent_with_the_commit_is_kept_with_the_rest_or_nothing_is() {
    let pool = pool().await;
    let before = value(&pool, PID).await;
    let names = "SELECT string_agg(name, ' ' ORDER BY name) FROM things";
    // The second one has the same key as the row of the work, so the commit rolls back.
    for last in [&["a", "first"][..], &["first", "a"]] {
        let error = transact(&pool, "try".into(), (), InsertsLast(last)).await.unwrap_err();
        assert!(matches!(error, Error::Failed { .. } | Error::Unavailable { .. }), "{error:?}");
        assert_eq!(value(&pool, "SELECT COUNT(*)::text FROM things").await, "0", "{last:?}");
    }
    transact(&pool, "try".into(), (), InsertsLast(&["b", "a"])).await.unwrap();
    assert_eq!(value(&pool, names).await, "a b first");
    assert_eq!(value(&pool, PID).await, before, "the connection was as good as before");
}

#[tokio::test]
async fn an_operation_has_its_own_durability() {
    let pool = pool().await;
    let operation = Operation::from("try");
    for (operation, expected) in [(operation, "on"), (operation.of_process(), "off"), (operation, "on")] {
        let ask = Ask("SELECT current_setting('synchronous_commit')");
        assert_eq!(transact(&pool, operation, (), ask).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn an_operation_has_its_own_limits() {
    let pool = pool().await;
    let before = value(&pool, PID).await;
    let settings = "SELECT current_setting('statement_timeout') || ' ' || current_setting('lock_timeout')";
    let short = Limits { statement: Some(Duration::from_millis(50)), lock: Duration::from_millis(40) };
    for (limits, expected) in [(Limits::LONG, "0 1min"), (short, "50ms 40ms"), (Limits::REQUEST, "3s 2s")] {
        let operation = Operation::from("try").within(limits);
        assert_eq!(transact(&pool, operation, (), Ask(settings)).await.unwrap(), expected);
        assert_eq!(value(&pool, settings).await, "3s 2s");
    }
    let slow = Ask("SELECT pg_sleep(600)::text");
    let error = transact(&pool, Operation::from("try").within(short), (), slow).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    // The server said so, and the connection is as good as before.
    assert_eq!(value(&pool, PID).await, before);
}
