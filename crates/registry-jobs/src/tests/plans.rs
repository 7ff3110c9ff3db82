//! How much the statements read, with 200,000 jobs waiting in one lane, and 10,000 dead ones.

use std::collections::BTreeSet;

use registry_database::{Database, contract::Bench};
use serde_json::Value;

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
const CASES: [(&str, &[&str], u64); 14] = [
    ("DEPTH", &["'test'", "'many'", "64"], 64),
    ("DUE_LANES", &["'test'", "''", "64"], 2_001),
    ("DUE_FAILING_LANES", &["'test'", "''", "16"], 300),
    ("FIRST", &["'test'", "'many'"], 60),
    ("AGAIN", &["'test'", "'many'", "5"], 5),
    ("DONE", &["77"], 1),
    ("DISCARD_LANE", &["'test'", "'many'"], 2_000),
    ("DEAD", &["'test'", "5000", "1000000", "100"], 100),
    ("PRUNE_OLD", &["'test'", "1789999999000"], 2_000),
    ("PRUNE_MANY", &["'test'", "9000"], 12_000),
    ("COUNT_WAITING", &["'test'", "10000"], 10_000),
    ("WAITING_SINCE", &["'test'", "''"], 2_001),
    ("COUNT_DEAD", &["'test'"], 10_000),
    ("FORGET_TRIES", &["5"], 1),
];

/// Steps of SQLite's machine for each row, and how often PostgreSQL reads each.
const STEPS_MAX: u64 = 150;
const READS_MAX: u64 = 4;

pub(super) async fn statements_read_what_they_are_asked_for(bench: &Bench) {
    ask(&bench.database, "many", &["first"]).await;
    bench.run(FILL).await;
    // Nothing makes statistics of SQLite by itself. A server of PostgreSQL does so within a minute, and guesses before.
    if bench.is_sqlite() {
        check(bench).await;
    }
    bench.run("ANALYZE").await;
    check(bench).await;
}

async fn check(bench: &Bench) {
    for (name, values, rows) in CASES {
        let (_, statement) = sql::ALL.iter().find(|(known, _)| *known == name).unwrap();
        let (cost, max) = match &bench.database {
            Database::Sqlite(sqlite) => {
                (steps(sqlite, statement.sqlite, values).await, STEPS_MAX * (rows + 10))
            }
            _ => (reads(bench, statement.postgres, values).await, READS_MAX * (rows + 10)),
        };
        eprintln!("{name}: {cost} of {max}");
        assert!(cost <= max, "{name}: {cost}, and {max} at most");
    }
}

fn filled_in(sql: &str, values: &[&str]) -> String {
    let numbered = values.iter().enumerate();
    numbered.fold(sql.to_owned(), |sql, (index, value)| sql.replace(&format!("${}", index + 1), value))
}

/// What SQLite does for a statement, which is not kept.
async fn steps(sqlite: &registry_database::Sqlite, sql: &str, values: &[&str]) -> u64 {
    let sql = filled_in(sql, values);
    let (sender, steps) = std::sync::mpsc::channel();
    let run = move |connection: &rusqlite::Connection| {
        let mut statement = connection.prepare(&sql)?;
        let mut rows = statement.raw_query();
        while rows.next()?.is_some() {}
        drop(rows);
        sender.send(statement.get_status(rusqlite::StatementStatus::VmStep)).unwrap();
        Err::<(), _>(registry_database::Fault::refused("nothing is kept"))
    };
    sqlite.writer().run("count steps", registry_database::Durability::Full, (), run).await.unwrap_err();
    u64::try_from(steps.recv().unwrap()).unwrap()
}

/// How many rows PostgreSQL reads for a statement, which is not kept.
async fn reads(bench: &Bench, sql: &str, values: &[&str]) -> u64 {
    let values = if values.is_empty() { String::new() } else { format!("({})", values.join(", ")) };
    let mut most = 0;
    for mode in ["force_generic_plan", "force_custom_plan"] {
        let explain = format!(
            "BEGIN; SET LOCAL plan_cache_mode = {mode}; PREPARE it AS {sql};
            EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE it{values}; ROLLBACK; DEALLOCATE it"
        );
        let plan: Value = serde_json::from_str(&bench.value(&explain).await).unwrap();
        most = most.max(rows_read(&plan[0]["Plan"]));
    }
    most
}

/// Of a node of a plan that reads a table, and of those below it.
fn rows_read(node: &Value) -> u64 {
    let number = |key: &str| node[key].as_f64().unwrap_or(0.0);
    let of_table = node["Relation Name"].is_string();
    let rows = (number("Actual Rows") + number("Rows Removed by Filter")) * number("Actual Loops");
    let below: u64 = node["Plans"].as_array().into_iter().flatten().map(rows_read).sum();
    below + if of_table { rows as u64 } else { 0 }
}

#[test]
fn statements_have_the_limits_that_are_told_and_texts_of_their_own() {
    assert!(sql::DISCARD_LANE.sqlite.contains(&format!("LIMIT {})", crate::DISCARDED_MAX)));
    assert_eq!(
        sql::ALL.iter().map(|(_, statement)| statement.postgres).collect::<BTreeSet<_>>().len(),
        sql::ALL.len()
    );
}

/// PostgreSQL numbers parameters by their digits, SQLite by their first appearance.
#[test]
fn parameters_appear_in_the_order_of_their_numbers() {
    for (name, statement) in sql::ALL {
        for text in [statement.sqlite, statement.postgres] {
            let mut known = 0;
            for number in text.split('$').skip(1) {
                let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
                let number: usize = digits.parse().unwrap();
                assert!(number <= known + 1, "{name}");
                known = known.max(number);
            }
        }
    }
}
