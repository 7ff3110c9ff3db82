//! Databases of both engines for the tests of owners' crates: feature `contract`, which needs `sqlite` and `postgres`.
//!
//! A crate writes each of its tests once, as a function that takes a [`Bench`], and lists them in
//! [`on_both_engines!`](crate::on_both_engines).

#![allow(clippy::unwrap_used, reason = "for tests: what fails is to panic")]

mod plans;

use std::{sync::Arc, time::Duration};

use rusqlite::types::ValueRef;
use tempfile::TempDir;
use tokio_postgres::SimpleQueryMessage;

pub use self::plans::{parameters_appear_in_order, statements_read_little};
use crate::{
    Database, Durability, Fault, Migration, Owners, Pool, PoolOptions, PostgresOptions, Schema, Sqlite,
    clock::{ManualClock, millis},
    postgres::migrate,
};

/// Some day in 2026.
pub const START_MS: i64 = 1_790_000_000_000;

/// An owner of nothing but the table `store`, for tests in which no other owner makes it.
pub const STORE: Schema = Schema {
    owner: "store",
    migrations: &[Migration {
        number: 1,
        oldest_binary: 1,
        sql: "CREATE TABLE store (one BIGINT PRIMARY KEY, format BIGINT NOT NULL, oldest_binary BIGINT NOT NULL,
                created_at BIGINT NOT NULL);",
    }],
    volatile: &[],
    content: &[],
};

/// How many connections each handle to PostgreSQL has.
const CONNECTIONS: usize = 4;

/// A new database whose clock stands still, opened twice, as two processes would.
#[derive(Clone, Debug)]
pub struct Bench {
    /// The database.
    pub database: Database,
    /// The same one, as another process has it open.
    pub other: Database,
    clock: ManualClock,
    _folder: Option<Arc<TempDir>>,
}

impl Bench {
    /// A file, which is gone with this.
    pub fn sqlite(owners: &Owners) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::at_ms(START_MS);
        let path = folder.path().join("bench.db");
        let open =
            || Database::Sqlite(Arc::new(Sqlite::open(&path, owners, Arc::new(clock.clone())).unwrap()));
        Bench { database: open(), other: open(), clock, _folder: Some(Arc::new(folder)) }
    }

    /// An empty database on a server of PostgreSQL.
    pub async fn postgres(url: &str, owners: &Owners) -> Bench {
        let open = || {
            let options: PostgresOptions = url.parse().unwrap();
            let pool = PoolOptions { size: CONNECTIONS, ..PoolOptions::default() };
            Pool::new(&options.with_pool(pool)).unwrap()
        };
        let (pool, other) = (open(), open());
        migrate(&pool, owners).await.unwrap();
        migrate(&other, owners).await.unwrap();
        let bench = Bench {
            database: Database::Postgres(pool),
            other: Database::Postgres(other),
            clock: ManualClock::at_ms(START_MS),
            _folder: None,
        };
        // The database's clock is a function; here it reads what a test wrote.
        let stopped = "CREATE OR REPLACE FUNCTION now_ms() RETURNS BIGINT LANGUAGE SQL STABLE
            AS 'SELECT now_ms FROM clock'";
        bench.run(&format!("CREATE TABLE clock (now_ms BIGINT NOT NULL); INSERT INTO clock VALUES ({START_MS}); {stopped}"))
            .await;
        bench
    }

    /// Whether it is SQLite, where transactions wait for each other.
    pub fn is_sqlite(&self) -> bool {
        matches!(self.database, Database::Sqlite(_))
    }

    /// Moves the database's clock forward.
    pub async fn advance(&self, by: Duration) {
        self.clock.advance(by);
        if !self.is_sqlite() {
            self.run(&format!("UPDATE clock SET now_ms = now_ms + {}", millis(by))).await;
        }
    }

    /// Runs statements that change rows, as nothing of ours would.
    pub async fn run(&self, sql: &str) {
        match &self.database {
            Database::Sqlite(sqlite) => {
                let sql = sql.to_owned();
                let run = move |connection: &rusqlite::Connection| Ok(connection.execute_batch(&sql)?);
                sqlite.writer().run("change rows", Durability::Process, (), run).await.unwrap();
            }
            Database::Postgres(pool) => {
                let connection = pool.connection().await.unwrap();
                // What fills a database takes longer than a request.
                let sql = format!("SET statement_timeout = 0; {sql}; SET statement_timeout = 3000");
                connection.client().batch_execute(&sql).await.unwrap();
            }
        }
    }

    /// The rows that a statement gives, the columns of each joined by `|`; null is empty.
    pub async fn rows(&self, sql: &str) -> Vec<String> {
        match &self.database {
            Database::Sqlite(sqlite) => {
                sqlite.readers().read("look", |connection| rows_of(connection, sql)).unwrap()
            }
            Database::Postgres(pool) => {
                let connection = pool.connection().await.unwrap();
                let messages = connection.client().simple_query(sql).await.unwrap();
                messages.iter().filter_map(row_of).collect()
            }
        }
    }

    /// The first row of a statement.
    pub async fn value(&self, sql: &str) -> String {
        self.rows(sql).await.swap_remove(0)
    }
}

fn rows_of(connection: &rusqlite::Connection, sql: &str) -> Result<Vec<String>, Fault> {
    let mut statement = connection.prepare(sql)?;
    let columns = statement.column_count();
    let row = |row: &rusqlite::Row<'_>| {
        let columns = (0..columns).map(|column| row.get_ref(column).map(text));
        columns.collect::<rusqlite::Result<Vec<_>>>().map(|columns| columns.join("|"))
    };
    Ok(statement.query_map([], row)?.collect::<rusqlite::Result<_>>()?)
}

fn text(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => String::new(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(text) | ValueRef::Blob(text) => String::from_utf8_lossy(text).into_owned(),
    }
}

fn row_of(message: &SimpleQueryMessage) -> Option<String> {
    let SimpleQueryMessage::Row(row) = message else { return None };
    let columns = (0..row.len()).map(|column| row.get(column).unwrap_or_default());
    Some(columns.collect::<Vec<_>>().join("|"))
}

/// Makes a test of each function for each engine, over a database with the tables of these owners. Those of PostgreSQL, where the
/// URL of an empty database is asked for, are made with the feature `postgres-server` of the calling crate.
#[macro_export]
macro_rules! on_both_engines {
    ($owners:expr, $url:expr; $($module:ident: [$($case:ident),* $(,)?]),* $(,)?) => {
        mod on_sqlite {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    super::$module::$case(&$crate::contract::Bench::sqlite(&$owners)).await;
                }
            )*)*
        }

        #[cfg(feature = "postgres-server")]
        mod on_postgres {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    super::$module::$case(&$crate::contract::Bench::postgres(&$url, &$owners).await).await;
                }
            )*)*
        }
    };
}
