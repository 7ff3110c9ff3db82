//! Messages and events that wait for webhooks, as rows.

use std::path::Path;

use anyhow::{Context, Result};
use rusqlite::{Transaction, params};

use super::{NUMBERS, open};

/// How many messages wait for a webhook at most, each with its job: what else is for it stays events.
const MESSAGES: i64 = 163;

/// Has as much wait for the first webhooks that a server has made as there may be after so many events: messages, and events behind the
/// position of each. The webhook after them has taken all events.
pub(crate) fn fill(database: &Path, webhooks: usize, events: u64) -> Result<()> {
    let mut connection = open(database)?;
    let transaction = connection.transaction()?;
    for number in 0..webhooks {
        let name = format!("w{number}");
        let found =
            transaction.query_row("SELECT id FROM webhooks WHERE name = $1", [&name], |row| row.get(0));
        let webhook: i64 = found.with_context(|| format!("the server has made the webhook {name}"))?;
        write_messages(&transaction, webhook, MESSAGES)?;
    }
    write_events(&transaction, i64::try_from(events)?, &format!("w{webhooks}"))?;
    transaction.commit()?;
    connection.execute_batch("PRAGMA journal_mode = WAL")?;
    Ok(())
}

/// What a message and an event have in common: columns, and a row of them.
const COLUMNS: &str =
    "kind, at_ms, repository, name, tag, digest, media_type, size_bytes, actor, request_id, request_address,
    request_host, request_method, request_user_agent";
const ROW: &str = "'tag.moved', unixepoch() * 1000, 1, 'bench/waiting', printf('v%d', i), printf('sha256:%064x', i),
    'application/vnd.oci.image.manifest.v1+json', 1000, 'ada', printf('%016x', i), '127.0.0.1', 'localhost', 'PUT', 'bench'";

fn write_messages(transaction: &Transaction<'_>, webhook: i64, count: i64) -> Result<()> {
    let messages = format!(
        "{NUMBERS} INSERT INTO webhook_deliveries (id, webhook, sequence, state, created_at_ms, event, position, {COLUMNS})
         SELECT 'msg_' || lower(hex(randomblob(16))), $2, i + 1, 0, unixepoch() * 1000, i, i, {ROW} FROM number"
    );
    transaction.execute(&messages, params![count, webhook])?;
    let jobs = "INSERT INTO jobs (kind, lane, subject, created_at_ms)
         SELECT 'webhook', CAST(webhook AS TEXT), id, created_at_ms FROM webhook_deliveries WHERE webhook = $1 ORDER BY number";
    transaction.execute(jobs, [webhook])?;
    let sequences = "INSERT INTO webhook_sequences (webhook, repository, last) VALUES ($1, 1, $2)";
    transaction.execute(sequences, [webhook, count])?;
    Ok(())
}

fn write_events(transaction: &Transaction<'_>, count: i64, told: &str) -> Result<()> {
    let events =
        format!("{NUMBERS} INSERT INTO events (position, {COLUMNS}) SELECT i + 1, {ROW} FROM number");
    transaction.execute(&events, [count])?;
    transaction.execute("UPDATE event_stream SET position = $1", [count])?;
    let taken = "UPDATE event_consumers SET position = $1
         WHERE name = (SELECT 'webhook:' || id FROM webhooks WHERE name = $2)";
    transaction.execute(taken, params![count, told])?;
    Ok(())
}
