//! How much the statements read, over 100,000 events.

use registry_database::contract::{Bench, parameters_appear_in_order, statements_read_little};

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

pub(super) async fn statements_read_what_they_are_asked_for(bench: &Bench) {
    bench.run(FILL).await;
    assert_eq!(bench.value("SELECT COUNT(*) FROM events").await, EVENTS.to_string());
    statements_read_little(bench, sql::ALL, &CASES).await;
}

#[test]
fn statements_have_the_limits_that_are_told() {
    assert!(sql::GIVE_POSITIONS.sqlite.contains(&format!("LIMIT {}) AS waiting", crate::ORDERED_MAX)));
    assert!(sql::EMPTY.sqlite.contains(&format!("LIMIT {})", crate::PRUNED_MAX)));
}

#[test]
fn parameters_appear_in_the_order_of_their_numbers() {
    parameters_appear_in_order(sql::ALL);
}
