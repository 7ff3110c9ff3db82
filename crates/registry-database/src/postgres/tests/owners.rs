//! Owners on demand.

use std::sync::Arc;

use registry_testing_postgres::PostgresServer;

use super::{THINGS, value};
use crate::{
    Database, Migration, OpenError, Owners, Pool, PostgresOptions, SCHEMA, Schema,
    postgres::{has_content, migrate},
};

const BUILDS: Schema = Schema {
    owner: "builds",
    migrations: &[
        Migration {
            number: 5,
            oldest_binary: 5,
            sql: "CREATE TABLE builds (id {id}, name {text} NOT NULL);",
        },
        Migration { number: 9, oldest_binary: 1, sql: "ALTER TABLE builds ADD COLUMN state BIGINT;" },
    ],
    volatile: &[],
    content: &["builds"],
};

/// Its second step fails.
const BROKEN: Schema = Schema {
    owner: "broken",
    migrations: &[
        Migration { number: 10, oldest_binary: 1, sql: "CREATE TABLE whole (id {id});" },
        Migration { number: 11, oldest_binary: 1, sql: "CREATE TABLE whole (id {id});" },
    ],
    volatile: &[],
    content: &[],
};

const SMALL: Owners = Owners::new(&[&THINGS, &SCHEMA]);
const ALL: Owners = Owners::new(&[&THINGS, &SCHEMA]).on_demand(&[&BUILDS, &BROKEN]);

async fn node(options: &PostgresOptions, owners: &Owners) -> Result<Arc<Pool>, OpenError> {
    let pool = Pool::new(options)?;
    migrate(&pool, owners).await.map(|()| pool)
}

fn new_database() -> PostgresOptions {
    PostgresServer::shared().database().parse().unwrap()
}

#[tokio::test]
async fn a_program_without_a_feature_opens_what_never_used_it() {
    let options = new_database();
    let pool = node(&options, &ALL).await.unwrap();
    let state = "SELECT format || ' ' || oldest_binary FROM store";
    assert_eq!(value(&pool, state).await, "7 1");
    assert!(!has_content(&pool.connection().await.unwrap(), &ALL).await.unwrap());
    node(&options, &SMALL).await.unwrap();

    let database = Database::Postgres(pool.clone());
    assert!(!database.has_owner("builds").await.unwrap());
    database.use_owners(&["builds"]).await.unwrap();
    database.use_owners(&["builds"]).await.unwrap();
    assert!(database.has_owner("builds").await.unwrap());
    // Step 5 came after step 7.
    assert_eq!(value(&pool, state).await, "9 5");
    let insert = "INSERT INTO builds (name, state) VALUES ('first', 1)";
    pool.connection().await.unwrap().execute(insert, &[]).await.unwrap();
    assert!(has_content(&pool.connection().await.unwrap(), &ALL).await.unwrap());

    let refused = node(&options, &SMALL).await;
    assert!(matches!(&refused, Err(OpenError::UnknownOwner { owner }) if owner == "builds"), "{refused:?}");
    node(&options, &ALL).await.unwrap();
}

#[tokio::test]
async fn nodes_that_use_an_owner_at_once_make_it_once() {
    let options = new_database();
    let mut using = Vec::new();
    for _ in 0..4 {
        let node = node(&options, &ALL).await.unwrap();
        using.push(tokio::spawn(async move { node.use_owners(&["builds"]).await }));
    }
    for outcome in using {
        outcome.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn of_owners_that_are_used_together_all_come_or_none() {
    let pool = node(&new_database(), &ALL).await.unwrap();
    let failed = pool.use_owners(&["builds", "broken"]).await;
    assert!(matches!(failed, Err(OpenError::Database { .. })), "{failed:?}");
    let there = "SELECT CAST(COUNT(*) AS TEXT) FROM pg_class WHERE relname IN ('builds', 'whole')";
    assert_eq!(value(&pool, there).await, "0");
    pool.use_owners(&["builds"]).await.unwrap();
    assert_eq!(value(&pool, there).await, "1");
}
