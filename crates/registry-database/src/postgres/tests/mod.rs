//! A table of things on a server that is started here.

mod connections;
mod opening;
mod owners;
mod transactions;

use std::sync::Arc;

use registry_testing_postgres::PostgresServer;

use super::{Pool, PoolOptions, PostgresOptions, migrate};
use crate::{Migration, Owners, SCHEMA, Schema};

const THINGS: Schema = Schema {
    owner: "things",
    migrations: &[Migration {
        number: 1,
        oldest_binary: 1,
        sql: "CREATE TABLE store (one BIGINT PRIMARY KEY, format BIGINT NOT NULL, oldest_binary BIGINT NOT NULL,
                created_at BIGINT NOT NULL);
            CREATE TABLE things (name {text} NOT NULL PRIMARY KEY){clustered};",
    }],
    volatile: &["lost"],
    content: &["things"],
};

const OWNERS: Owners = Owners::new(&[&THINGS, &SCHEMA]);

/// A pool of one connection to a new database.
pub(crate) async fn pool() -> Arc<Pool> {
    let options: PostgresOptions = PostgresServer::shared().database().parse().unwrap();
    let pool = Pool::new(&options.with_pool(PoolOptions { size: 1, ..PoolOptions::default() })).unwrap();
    migrate(&pool, &OWNERS).await.unwrap();
    pool
}

/// The only value of a statement, as text.
async fn value(pool: &Arc<Pool>, sql: &'static str) -> String {
    let row = pool.connection().await.unwrap().one(sql, &[]).await.unwrap().unwrap();
    row.get(0)
}
