//! What statements read on a filled database.

use serde_json::Value;

use super::Bench;
use crate::{Database, Durability, Fault, Sqlite, Statement};

/// Steps of SQLite's machine for each row, and how often PostgreSQL reads each.
const STEPS_MAX: u64 = 150;
const READS_MAX: u64 = 4;

/// Looks what each of some statements reads: with these values it has to do with so many rows. Each statement is run and not kept.
///
/// # Panics
/// If one reads many more.
pub async fn statements_read_little(
    bench: &Bench,
    statements: &[(&str, Statement)],
    cases: &[(&str, &[&str], u64)],
) {
    // Nothing makes statistics of SQLite by itself. A server of PostgreSQL does so within a minute, and guesses before.
    if bench.is_sqlite() {
        measure(bench, statements, cases).await;
    }
    bench.run("ANALYZE").await;
    measure(bench, statements, cases).await;
}

async fn measure(bench: &Bench, statements: &[(&str, Statement)], cases: &[(&str, &[&str], u64)]) {
    for (name, values, rows) in cases {
        let (_, statement) = statements.iter().find(|(known, _)| known == name).unwrap();
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
async fn steps(sqlite: &Sqlite, sql: &str, values: &[&str]) -> u64 {
    let sql = filled_in(sql, values);
    let (sender, steps) = std::sync::mpsc::channel();
    let run = move |connection: &rusqlite::Connection| {
        let mut statement = connection.prepare(&sql)?;
        let mut rows = statement.raw_query();
        while rows.next()?.is_some() {}
        drop(rows);
        sender.send(statement.get_status(rusqlite::StatementStatus::VmStep)).unwrap();
        Err::<(), _>(Fault::refused("nothing is kept"))
    };
    sqlite.writer().run("count steps", Durability::Full, (), run).await.unwrap_err();
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

/// PostgreSQL numbers parameters by their digits, SQLite by their first appearance: both must come to the same.
///
/// # Panics
/// If they do not in one of the statements.
pub fn parameters_appear_in_order(statements: &[(&str, Statement)]) {
    for (name, statement) in statements {
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
