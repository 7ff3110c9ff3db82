//! Owners and their steps.

use super::{OWNERS, pool, value};
use crate::{OpenError, postgres::migrate};

#[tokio::test]
async fn a_new_database_says_whose_tables_it_has_and_is_refused_with_those_of_others() {
    let pool = pool().await;
    let owners =
        "SELECT string_agg(owner || ' ' || format || ' ' || volatile, ', ' ORDER BY owner) FROM owners";
    assert_eq!(value(&pool, owners).await, "database 7 , things 1 lost");
    migrate(&pool, &OWNERS).await.unwrap();
    let more = "INSERT INTO owners (owner, format, oldest_binary, volatile) VALUES ('builds', 9, 1, '')";
    pool.connection().await.unwrap().execute(more, &[]).await.unwrap();
    let refused = migrate(&pool, &OWNERS).await;
    assert!(matches!(&refused, Err(OpenError::UnknownOwner { owner }) if owner == "builds"), "{refused:?}");
}

/// A step that meets a lock gives up soon, so that others do not queue behind it, and is done when the lock is gone.
#[tokio::test]
async fn a_step_waits_for_a_lock_without_holding_others_up() {
    let pool = pool().await;
    let back = "UPDATE store SET format = 1; DROP TABLE owners";
    let reader = pool.connection().await.unwrap();
    reader.batch(back).await.unwrap();
    reader.batch("BEGIN; LOCK TABLE store IN EXCLUSIVE MODE").await.unwrap();
    let options = registry_testing_postgres::PostgresServer::shared();
    let name: String = reader.one("SELECT current_database()::text", &[]).await.unwrap().unwrap().get(0);
    let other: crate::PostgresOptions = options.url(&name).parse().unwrap();
    let migrating = tokio::spawn(async move { migrate(&super::Pool::new(&other).unwrap(), &OWNERS).await });
    // Until the step has met the lock and given up once.
    let waiting = "SELECT COUNT(*) FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
        WHERE NOT l.granted AND a.datname = current_database()";
    let count = async || -> i64 { reader.one(waiting, &[]).await.unwrap().unwrap().get(0) };
    while count().await == 0 {
        tokio::task::yield_now().await;
    }
    while count().await > 0 {
        tokio::task::yield_now().await;
    }
    assert!(!migrating.is_finished());
    reader.batch("COMMIT").await.unwrap();
    migrating.await.unwrap().unwrap();
}
