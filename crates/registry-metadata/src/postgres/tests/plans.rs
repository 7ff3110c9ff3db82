//! Every statement finds its rows by an index.

use std::collections::BTreeSet;

use futures_util::FutureExt;
use tokio_postgres::NoTls;

use registry_testing_postgres::PostgresServer;

use super::{super::sql as own, backend::open};
use crate::{Options, sql};

/// Statements over tables of one row.
const NO_INDEX: [&str; 2] = ["STORE_ID", "BIND_STORE"];

#[tokio::test]
async fn every_statement_is_understood_and_uses_an_index() {
    let url = PostgresServer::shared().database();
    let _store = open(&url, &Options::default()).await;
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    // The plan for whatever is bound, as a statement that is prepared once has. An index is dearer than an empty table.
    client.batch_execute("SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off").await.unwrap();
    let all = sql::all().chain(own::ALL.iter().copied());
    for (number, (name, sql)) in all.enumerate() {
        let count =
            client.prepare(sql).await.unwrap_or_else(|error| panic!("{name}: {error:?}")).params().len();
        let nulls = vec!["NULL"; count].join(", ");
        let arguments = if count > 0 { format!("({nulls})") } else { String::new() };
        client.batch_execute(&format!("PREPARE q{number} AS {sql}")).await.unwrap();
        let plan = client.query(&format!("EXPLAIN EXECUTE q{number}{arguments}"), &[]).await.unwrap();
        let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
        let scans = plan.iter().any(|line| line.contains("Seq Scan"));
        assert!(!scans || NO_INDEX.contains(&name), "{name}: {plan:#?}");
    }
}

#[test]
fn statements_have_texts_of_their_own() {
    let all: Vec<&str> = sql::all().chain(own::ALL.iter().copied()).map(|(_, sql)| sql).collect();
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
}

/// What is sent without waiting for answers must be prepared already, or it falls behind what comes after it.
#[tokio::test]
async fn what_is_ready_is_sent_at_once() {
    let store = open(&PostgresServer::shared().database(), &Options::default()).await;
    let connection = store.pool.connection().await.unwrap();
    for statements in
        [&super::super::blobs::LINK[..], &super::super::tags::SET, &crate::logic::manifests::GRANT]
    {
        connection.ready(statements).await.unwrap();
    }
    for sql in [
        sql::reclaim::ENQUEUE.postgres,
        sql::blobs::LINK.postgres,
        sql::blobs::LINK_WAITING.postgres,
        own::REMEMBER,
        own::MOVE_TAG,
    ] {
        assert!(connection.prepared(sql).now_or_never().is_some(), "{sql}");
    }
}
