//! What each side has on demand.

use std::sync::Arc;

use registry_testing_postgres::PostgresServer;
use tempfile::tempdir;

use super::transfer;
use crate::{
    Durability, Fault, Migration, Owners, Pool, PostgresOptions, SCHEMA, Schema, Sqlite, SystemClock,
    postgres::migrate, sqlite::tests::owners::BUILDS,
};

const THINGS: Schema = Schema {
    owner: "things",
    migrations: &[Migration {
        number: 1,
        oldest_binary: 1,
        sql: "CREATE TABLE store (one BIGINT PRIMARY KEY, format BIGINT NOT NULL, oldest_binary BIGINT NOT NULL,
                created_at BIGINT NOT NULL, id {text});",
    }],
    volatile: &[],
    content: &[],
};

const OWNERS: Owners = Owners::new(&[&THINGS, &SCHEMA]).on_demand(&[&BUILDS]);

/// The tables of an owner are moved wherever it is used, and a target that had it before keeps it.
#[tokio::test]
async fn owners_on_demand_are_moved() {
    for (is_in_source, is_in_target) in [(false, false), (true, false), (false, true), (true, true)] {
        let folder = tempdir().unwrap();
        let path = folder.path().join("things.db");
        let source = Sqlite::open(&path, &OWNERS, Arc::new(SystemClock)).unwrap();
        if is_in_source {
            source.use_owners(&["builds"]).await.unwrap();
            let insert = |connection: &rusqlite::Connection| -> Result<(), Fault> {
                Ok(connection.execute_batch("INSERT INTO builds (name) VALUES ('one')")?)
            };
            source.writer().run("insert", Durability::Full, (), insert).await.unwrap();
        }
        drop(source);
        let options: PostgresOptions = PostgresServer::shared().database().parse().unwrap();
        let pool = Pool::new(&options).unwrap();
        migrate(&pool, &OWNERS).await.unwrap();
        if is_in_target {
            pool.use_owners(&["builds"]).await.unwrap();
        }
        let moved = transfer(&path, &options, &OWNERS, |_, _| {}).await.unwrap();
        let builds = moved.iter().find(|moved| moved.table == "builds").map(|moved| moved.rows);
        assert_eq!(builds, (is_in_source || is_in_target).then_some(u64::from(is_in_source)));
        pool.use_owners(&["builds"]).await.unwrap();
        assert!(pool.has_owner("builds").await.unwrap());
    }
}
