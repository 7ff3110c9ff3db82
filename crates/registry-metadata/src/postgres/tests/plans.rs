//! Every statement finds its rows by an index.

use std::collections::BTreeSet;

use futures_util::FutureExt;
use serde_json::Value;
use tokio_postgres::{NoTls, SimpleQueryMessage, types::Type};

use registry_testing_postgres::PostgresServer;

use super::{super::sql as own, backend::open};
use crate::{Options, sql};

/// Tables of a few rows.
const SMALL: [&str; 4] = ["adoption", "store", "quotas", "quota_uploads"];

/// Statements that read a whole table or index, and why they may.
const READS_ALL: &[(&str, &str)] = &[
    ("COUNT_PREFIX", "counts all there is, once for a new quota"),
    ("TAGS_OF_PREFIX", "counts all there is, once for a new quota"),
    ("UPLOADS_OF_PREFIX", "counts all there is, once for a new quota"),
    ("COUNT_REPOSITORY", "counts a whole repository, when one is brought back"),
    ("AUDIT", "counts all there is, for `fsck`"),
    ("DELETED", "an index of what was deleted and nothing else"),
];

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

/// A node of a plan that reads a table.
struct Scan {
    /// How, and what of.
    name: String,
    table: String,
    /// Whether it goes to the rows that are asked for, and does not read all of an index.
    is_led: bool,
}

/// The nodes that read tables, and those below them.
fn scans(node: &Value, found: &mut Vec<Scan>) {
    let text = |key: &str| node[key].as_str().unwrap_or_default().to_owned();
    let how = text("Node Type");
    // What a bitmap of an index leads to is what the index was asked for.
    if ["Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Index Scan"].contains(&how.as_str()) {
        let (table, index) = (text("Relation Name"), text("Index Name"));
        let name = format!("{how} of {table} {index}");
        found.push(Scan { name, table, is_led: !node["Index Cond"].is_null() });
    }
    node["Plans"].as_array().into_iter().flatten().for_each(|below| scans(below, found));
}

/// A value that is like many in a filled database. As a limit it is small beside the rows that there are, as limits are.
fn some_value(kind: &Type, sql: &str) -> &'static str {
    match *kind {
        Type::INT8 | Type::INT4 | Type::NUMERIC => "5",
        Type::BYTEA => "'x'",
        Type::TEXT_ARRAY => "ARRAY['sha256:5', 'sha256:6']",
        Type::INT8_ARRAY => "ARRAY[5, 6]",
        Type::BOOL => "true",
        // A list.
        Type::TEXT if sql.contains("AS JSON") => "'[]'",
        _ => "'sha256:5'",
    }
}

#[tokio::test]
async fn statements_ask_an_index_for_their_rows_in_a_filled_database() {
    let url = PostgresServer::shared().database();
    let _store = open(&url, &Options::default()).await;
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute(sql::filled::FILL).await.unwrap();
    // Where a limit is bound, the plan for any would be one for a tenth of the table, and the server takes the one for this.
    client.batch_execute("SET plan_cache_mode = force_custom_plan").await.unwrap();
    let mut wrong = Vec::new();
    for (number, (name, sql)) in sql::all().chain(own::ALL.iter().copied()).enumerate() {
        let values: Vec<&str> =
            client.prepare(sql).await.unwrap().params().iter().map(|kind| some_value(kind, sql)).collect();
        let arguments = if values.is_empty() { String::new() } else { format!("({})", values.join(", ")) };
        client.batch_execute(&format!("PREPARE f{number} AS {sql}")).await.unwrap();
        let plan = client
            .simple_query(&format!("EXPLAIN (FORMAT JSON) EXECUTE f{number}{arguments}"))
            .await
            .unwrap();
        let text = plan.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        let plan: Value = serde_json::from_str(text.unwrap()).unwrap();
        let mut found = Vec::new();
        scans(&plan[0]["Plan"], &mut found);
        found.retain(|scan| !scan.is_led && !SMALL.contains(&scan.table.as_str()));
        if !found.is_empty() && !READS_ALL.iter().any(|(known, _)| *known == name) {
            let scans: Vec<String> = found.into_iter().map(|scan| scan.name).collect();
            wrong.push(format!("{name}: {}", scans.join(", ")));
        }
    }
    assert!(wrong.is_empty(), "{} read more than they are asked for:\n{}", wrong.len(), wrong.join("\n"));
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
