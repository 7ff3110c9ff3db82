//! How much the statements read, with 200,000 jobs waiting in one lane, and 10,000 dead ones.

use std::collections::BTreeSet;

use registry_database::contract::{Bench, parameters_appear_in_order, statements_read_little};

use super::ask;
use crate::sql;

/// One lane with many jobs, of which fifty have failed; two thousand lanes with ten, of which five have failed.
const FILL: &str = "
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000)
INSERT INTO jobs (kind, lane, subject, created_at_ms)
    SELECT 'test', 'many', 'msg_0123456789abcdef0123456789abcdef0123456789abcdef-' || i, i FROM n;
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
INSERT INTO jobs (kind, lane, subject, created_at_ms)
    SELECT 'test', 'some ' || (i % 2000), 'msg_0123456789abcdef0123456789abcdef0123456789abcdef-' || i, i FROM n;
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
INSERT INTO jobs (kind, lane, subject, created_at_ms, state, ended_at_ms, error)
    SELECT 'test', 'many', 'msg_0123456789abcdef0123456789abcdef0123456789abcdef-' || i, i, 1, i, 'no' FROM n;
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50)
INSERT INTO job_tries (job, kind, lane, attempts, due_at_ms) SELECT i, 'test', 'many', 1, i FROM n;
INSERT INTO job_tries (job, kind, lane, attempts, due_at_ms)
    SELECT id, kind, lane, 1, 2000000000000 FROM jobs WHERE lane <> 'many' AND created_at_ms > 10000;
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50)
INSERT INTO job_lanes (kind, lane, holder, until_ms, failures) SELECT 'test', 'some ' || i, 'x', 0, i % 2 FROM n;
";

/// Statements with values, and how many rows they have to do with.
const CASES: [(&str, &[&str], u64); 17] = [
    ("DEPTH", &["'test'", "'many'", "64"], 64),
    ("DUE_LANES", &["'test'", "''", "64"], 2_001),
    ("DUE_FAILING_LANES", &["'test'", "''", "16"], 300),
    ("FIRST", &["'test'", "'many'"], 60),
    ("AGAIN", &["'test'", "'many'", "5"], 5),
    ("DONE", &["77"], 1),
    ("DISCARD_LANE", &["'test'", "'many'"], 2_000),
    ("DEAD", &["'test'", "5000", "1000000", "100"], 100),
    ("KINDS", &[], 4),
    ("WAITING", &["'test'", "'many'", "5", "100"], 200),
    ("DISCARD_DEAD", &["'test'"], 2_000),
    ("PRUNE_OLD", &["'test'", "1789999999000"], 2_000),
    ("PRUNE_MANY", &["'test'", "9000"], 12_000),
    ("COUNT_WAITING", &["'test'", "10000"], 10_000),
    ("WAITING_SINCE", &["'test'", "''"], 2_001),
    ("COUNT_DEAD", &["'test'"], 10_000),
    ("FORGET_TRIES", &["5"], 1),
];

pub(super) async fn statements_read_what_they_are_asked_for(bench: &Bench) {
    ask(&bench.database, "many", &["first"]).await;
    bench.run(FILL).await;
    statements_read_little(bench, sql::ALL, &CASES).await;
}

#[test]
fn statements_have_the_limits_that_are_told_and_texts_of_their_own() {
    for statement in [sql::DISCARD_LANE, sql::DISCARD_DEAD] {
        assert!(statement.sqlite.contains(&format!("LIMIT {})", crate::DISCARDED_MAX)));
    }
    assert_eq!(
        sql::ALL.iter().map(|(_, statement)| statement.postgres).collect::<BTreeSet<_>>().len(),
        sql::ALL.len()
    );
}

#[test]
fn parameters_appear_in_the_order_of_their_numbers() {
    parameters_appear_in_order(sql::ALL);
}
