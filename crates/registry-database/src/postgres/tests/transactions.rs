//! Work in transactions.

use std::time::Duration;

use async_trait::async_trait;

use super::{pool, value};
use crate::{
    Deferred, Error, Fault, Limits, Operation, Statement,
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
struct InsertsLast(Vec<String>);

const INSERT: &str = "INSERT INTO things (name) VALUES ($1)";

/// Not prepared before they are sent with the commit.
const INSERT_LAST: [Statement; 2] = [
    Statement::same("INSERT INTO things (name) VALUES (lower($1))"),
    Statement::same("INSERT INTO things (name) VALUES (trim($1))"),
];

#[async_trait]
impl Work for InsertsLast {
    type Output = &'static str;

    async fn run(&self, connection: &Connection) -> Result<&'static str, Fault> {
        connection.execute(INSERT, &[&"first"]).await?;
        Ok("first")
    }

    fn last<'a>(&'a self, output: &'a &'static str) -> Vec<Deferred<'a>> {
        assert_eq!(*output, "first");
        let insert = |(place, name): (usize, &'a String)| Deferred {
            statement: INSERT_LAST[place % INSERT_LAST.len()],
            params: vec![name.into()],
        };
        self.0.iter().enumerate().map(insert).collect()
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn what_is_sent_with_the_commit_is_kept_with_the_rest_or_nothing_is() {
    let pool = pool().await;
    let before = value(&pool, PID).await;
    let many = || (0..200).map(|number| format!("n{number:03}"));
    // One of them has the same key as the row of the work, so the commit rolls back: also if it is sent long before it.
    let refused = [
        names(&["a", "first"]),
        names(&["first", "a"]),
        many().chain(names(&["first"])).collect(),
        names(&["first"]).into_iter().chain(many()).collect(),
    ];
    for last in refused {
        let error = transact(&pool, "try".into(), (), InsertsLast(last)).await.unwrap_err();
        assert!(matches!(error, Error::Failed { .. } | Error::Unavailable { .. }), "{error:?}");
        assert_eq!(value(&pool, "SELECT COUNT(*)::text FROM things").await, "0");
    }
    let transactions = "SELECT COUNT(*)::text || ' ' || COUNT(DISTINCT xmin::text)::text FROM things";
    for (last, expected) in [(Vec::new(), "1 1"), (names(&["b", "a"]), "3 1"), (many().collect(), "201 1")] {
        pool.connection().await.unwrap().batch("DELETE FROM things").await.unwrap();
        transact(&pool, "try".into(), (), InsertsLast(last)).await.unwrap();
        assert_eq!(value(&pool, transactions).await, expected, "rows and transactions");
    }
    assert_eq!(value(&pool, PID).await, before, "the connection was as good as before");
}

/// A connection that has never seen the statements sends none of them after the commit.
#[tokio::test]
async fn what_is_not_prepared_yet_is_sent_before_the_commit() {
    for count in [1, 2, 3] {
        let pool = pool().await;
        let last = (0..count).map(|number| format!("n{number}")).collect();
        transact(&pool, "try".into(), (), InsertsLast(last)).await.unwrap();
        let transactions = "SELECT COUNT(*)::text || ' ' || COUNT(DISTINCT xmin::text)::text FROM things";
        assert_eq!(value(&pool, transactions).await, format!("{} 1", count + 1));
    }
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
