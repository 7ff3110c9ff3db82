//! Opening: schemas of other versions, of other programs, and several nodes at once.

use registry_database::OpenError as DatabaseError;
use registry_testing_postgres::PostgresServer;

use super::{
    super::PostgresStore,
    backend::{PostgresProbe, at, open},
};
use crate::{OpenError, Options, contract::Probe, schema::OWNERS, traits::*};

#[tokio::test]
async fn several_nodes_open_a_new_database_at_once() {
    let url = PostgresServer::shared().database();
    let opening: Vec<_> = (0..8)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move { open(&url, &Options::default()).await })
        })
        .collect();
    for store in opening {
        store.await.unwrap().check().await.unwrap();
    }
    let probe = PostgresProbe::connect(&url).await;
    assert_eq!(
        probe.rows("SELECT format, oldest_binary FROM store").await,
        [format!("{}|1", OWNERS.format())]
    );
}

#[tokio::test]
async fn a_schema_that_is_too_new_is_refused_and_a_compatible_one_is_not() {
    let url = PostgresServer::shared().database();
    drop(open(&url, &Options::default()).await);
    let probe = PostgresProbe::connect(&url).await;
    probe.run("UPDATE store SET format = 1000").await;
    open(&url, &Options::default()).await.check().await.unwrap();
    assert_eq!(probe.rows("SELECT format FROM store").await, ["1000"], "it is left as it is");
    probe.run("UPDATE store SET oldest_binary = 1000").await;
    let refused = PostgresStore::open(&at(&url), Options::default()).await.unwrap_err();
    let expected = OWNERS.format();
    assert!(
        matches!(
            refused,
            OpenError::Database(DatabaseError::TooNew { format: 1000, oldest_binary: 1000, known }) if known == expected
        ),
        "{refused:?}"
    );
}

#[tokio::test]
async fn tables_of_another_program_are_left_alone() {
    for table in ["CREATE TABLE store (id TEXT)", "CREATE TABLE users (id TEXT)"] {
        let url = PostgresServer::shared().database();
        let probe = PostgresProbe::connect(&url).await;
        probe.run(table).await;
        let refused = PostgresStore::open(&at(&url), Options::default()).await.unwrap_err();
        assert!(matches!(refused, OpenError::Database(DatabaseError::ForeignTables)), "{refused}");
        probe.run("CREATE SCHEMA registry").await;
        let own = format!("{url}?options=-c%20search_path%3Dregistry");
        open(&own, &Options::default()).await.check().await.unwrap();
    }
}

#[tokio::test]
async fn names_are_in_the_order_of_bytes_whatever_the_database_speaks() {
    let url = PostgresServer::shared().database();
    drop(open(&url, &Options::default()).await);
    let collations = "SELECT DISTINCT collation_name FROM information_schema.columns
        WHERE table_schema = 'public' AND data_type = 'text'";
    assert_eq!(PostgresProbe::connect(&url).await.rows(collations).await, ["C"]);
}

#[tokio::test]
async fn the_clock_is_the_databases() {
    let url = PostgresServer::shared().database();
    drop(open(&url, &Options::default()).await);
    let drift = "SELECT abs(now_ms() - extract(epoch FROM clock_timestamp()) * 1000) < 1000";
    assert_eq!(PostgresProbe::connect(&url).await.rows(drift).await, ["t"]);
}
