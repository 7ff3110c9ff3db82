//! How much the statements read, over 100,000 events.

use registry_database::{Database, contract::Bench};
use serde_json::Value;

use crate::sql;

const EVENTS: u64 = 100_000;

/// Events as a push writes them, of which the first half has positions.
const FILL: &str = "
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
INSERT INTO events (position, kind, at_ms, repository, name, tag, digest, digest_before, media_type, size_bytes, actor,
        request_id, request_address, request_host, request_method, request_user_agent)
    SELECT CASE WHEN i <= 50000 THEN i END, 'tag.moved', i, i % 100, 'acme/app-' || (i % 100), 'v' || i,
        'sha256:' || (1000000000000000 + i) || '0123456789abcdef0123456789abcdef0123456789abcdef',
        'sha256:' || (1000000000000000 + i) || '0123456789abcdef0123456789abcdef0123456789abcdef',
        'application/vnd.oci.image.manifest.v1+json', 1234, 'ada', '0123456789abcdef0123456789abcdef', '192.0.2.1',
        'registry.example.com', 'PUT', 'docker/29.1.0 go/go1.25.3 kernel/6.12.0-amd64 os/linux arch/amd64'
    FROM n;
INSERT INTO event_stream (one, position) VALUES (1, 50000);
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20)
INSERT INTO event_consumers (name, position, created_at_ms) SELECT 'c' || i, 10000 + i, 0 FROM n;
";

/// The statements that read or change events, with values, and how many rows they have to do with.
const CASES: [(&str, &[&str], u64); 10] = [
    ("LOOK", &[], 1),
    ("IS_WAITING", &[], 1),
    ("GIVE_POSITIONS", &["50000"], 500),
    ("UNTAKEN", &["'c1'", "100"], 100),
    ("BEHIND", &["'c'", "'d'", "100"], 20),
    ("IS_PRUNABLE", &["1000", "1000000"], 1),
    ("LAST_TO_PRUNE", &["1000", "0", "1000"], 1_000),
    ("PRUNE", &["1000"], 1_000),
    ("EMPTY", &[], 1_000),
    ("WAITING", &["1000"], 1_000),
];

/// Steps of SQLite's machine for each row, and how often PostgreSQL reads each.
const STEPS_MAX: u64 = 150;
const READS_MAX: u64 = 4;

pub(super) async fn statements_read_what_they_are_asked_for(bench: &Bench) {
    bench.run(FILL).await;
    assert_eq!(bench.value("SELECT COUNT(*) FROM events").await, EVENTS.to_string());
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
        assert!(cost <= max, "{name}: {cost}, and {max} at most");
        eprintln!("{name}: {cost} of {max}");
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
fn statements_have_the_limits_that_are_told() {
    assert!(sql::GIVE_POSITIONS.sqlite.contains(&format!("LIMIT {}) AS waiting", crate::ORDERED_MAX)));
    assert!(sql::EMPTY.sqlite.contains(&format!("LIMIT {})", crate::PRUNED_MAX)));
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
