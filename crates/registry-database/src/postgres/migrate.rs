//! From whatever schema a database has to the one that this binary writes.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};
use tokio_postgres::{Client, error::SqlState};

use super::{
    connection::{BEGIN, Connection},
    guard::Refusal,
    pool::{Pool, Pooled},
};
use crate::{
    Cause, Fault, Limits, OpenError, Owners, POSTGRES,
    schema::{FORMAT_WITH_OWNERS, NOTE_OWNER, Owner},
};

/// Nodes that start at once migrate one after the other under this lock: "RGMD".
const LOCK: i64 = 0x5247_4d44;

/// Marks the tables as ours.
const MARK: &str = "metadata of a container registry";

/// How long to wait at the start for a database that starts itself.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(300);

/// How long a node waits for another one that migrates, and how long it tries to get the locks of its own steps.
const LOCK_WAIT: Duration = Duration::from_secs(300);

/// How long a step waits for the lock of a table. Whatever comes after it waits as well, so it gives up soon and tries again.
const STEP_LOCK: Duration = Duration::from_secs(1);

/// The database's time. `STABLE`, and simple enough to become part of the statement that asks, so that what is compared
/// with it is found by an index.
const CLOCK: &str = "CREATE FUNCTION now_ms() RETURNS BIGINT LANGUAGE SQL STABLE PARALLEL SAFE
    AS 'SELECT CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)'";

/// Brings the schema up to date. Of several nodes that start at once, one does it and the others wait.
///
/// # Errors
/// See [`OpenError`].
pub async fn migrate(pool: &Arc<Pool>, owners: &Owners) -> Result<(), OpenError> {
    let connection = reach(pool).await?;
    // Nothing to do is the usual case, and needs no lock.
    if current(&connection, owners).await? == Some(owners.format()) {
        return Ok(());
    }
    connection.mark_unusable(true);
    connection.limit(Limits { statement: None, lock: LOCK_WAIT });
    let until = Instant::now() + LOCK_WAIT;
    loop {
        match attempt(&connection, owners).await {
            Err(OpenError::Database { source, .. }) if is_locked(&*source) && Instant::now() < until => {
                connection.batch("ROLLBACK").await.map_err(failed)?;
                tracing::warn!("waiting for a lock to update the database's schema");
                sleep(PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

async fn attempt(connection: &Connection, owners: &Owners) -> Result<(), OpenError> {
    let wait = Limits { statement: None, lock: LOCK_WAIT }.settings("SET LOCAL");
    let begin = format!("{BEGIN}; {wait}; SELECT pg_advisory_xact_lock({LOCK})");
    connection.batch(&begin).await.map_err(failed)?;
    let wait = Limits { statement: None, lock: STEP_LOCK }.settings("SET LOCAL");
    connection.batch(&wait).await.map_err(failed)?;
    let format = current(connection, owners).await?.unwrap_or(0);
    if format == 0 {
        connection.batch(CLOCK).await.map_err(failed)?;
    }
    for migration in owners.migrations().iter().filter(|migration| migration.number > format) {
        connection.batch(&POSTGRES.render(migration.sql)).await.map_err(failed)?;
        let (number, oldest) = (migration.number, owners.oldest_binary(migration.number));
        let noted = format!(
            "INSERT INTO store (one, format, oldest_binary, created_at) VALUES (1, {number}, {oldest}, now_ms())
            ON CONFLICT (one) DO UPDATE SET format = excluded.format, oldest_binary = excluded.oldest_binary;
            COMMENT ON TABLE store IS '{MARK}'"
        );
        connection.batch(&noted).await.map_err(failed)?;
    }
    if format < owners.format() {
        note_owners(connection, owners).await.map_err(failed)?;
    }
    connection.batch("COMMIT").await.map_err(failed)
}

async fn note_owners(connection: &Connection, owners: &Owners) -> Result<(), Fault> {
    for Owner { owner, format, oldest_binary, volatile } in Owner::all(owners) {
        connection.execute(NOTE_OWNER, &[&owner, &format, &oldest_binary, &volatile]).await?;
    }
    Ok(())
}

/// Whether a lock could not be had in time.
fn is_locked(error: &(dyn std::error::Error + 'static)) -> bool {
    let code = error.downcast_ref::<tokio_postgres::Error>().and_then(tokio_postgres::Error::code);
    code == Some(&SqlState::LOCK_NOT_AVAILABLE)
}

/// A connection; waits a little for a server that is starting.
async fn reach(pool: &Arc<Pool>) -> Result<Pooled, OpenError> {
    let until = Instant::now() + PATIENCE;
    let mut is_said = false;
    loop {
        match pool.connection().await {
            Ok(connection) => return Ok(connection),
            Err(Fault::NoConnection(source)) if Instant::now() < until && !is_final(&*source) => {
                if !is_said {
                    tracing::warn!(error = &*source as &dyn std::error::Error, "waiting for the database");
                    is_said = true;
                }
                sleep(PAUSE).await;
            }
            Err(fault) => return Err(failed_to("connect to the database", fault)),
        }
    }
}

/// Whether waiting does not help: a wrong password, no such database.
fn is_final(error: &(dyn std::error::Error + 'static)) -> bool {
    if Refusal::is_cause_of(error) {
        return true;
    }
    let code = error.downcast_ref::<tokio_postgres::Error>().and_then(tokio_postgres::Error::code);
    code.is_some_and(|code| *code != SqlState::TOO_MANY_CONNECTIONS && !code.code().starts_with("57"))
}

/// The number of the schema that is there, none for none.
async fn current(connection: &Connection, owners: &Owners) -> Result<Option<i64>, OpenError> {
    let client = connection.client();
    let found = "SELECT to_regclass('store') IS NOT NULL,
        COALESCE(obj_description(to_regclass('store'), 'pg_class') = $1, FALSE),
        EXISTS (SELECT 1 FROM pg_class WHERE relnamespace = to_regnamespace(current_schema()) AND relkind = 'r')";
    let row = client.query_one(found, &[&MARK]).await.map_err(|error| failed(error.into()))?;
    match (row.get(0), row.get(1), row.get(2)) {
        (true, true, _) => {}
        (false, _, false) => return Ok(None),
        (true, false, _) | (false, _, true) => return Err(OpenError::ForeignTables),
    }
    let format = "SELECT format, oldest_binary FROM store";
    let row = client.query_one(format, &[]).await.map_err(|error| failed(error.into()))?;
    let (format, oldest_binary): (i64, i64) = (row.get(0), row.get(1));
    let known = owners.format();
    if oldest_binary > known {
        return Err(OpenError::TooNew { format, oldest_binary, known });
    }
    refuse_unknown_owner(client, owners, format).await?;
    // A newer one that this binary can work with is as good as its own.
    Ok(Some(format.min(known)))
}

async fn refuse_unknown_owner(client: &Client, owners: &Owners, format: i64) -> Result<(), OpenError> {
    if format < FORMAT_WITH_OWNERS {
        return Ok(());
    }
    let rows = client.query("SELECT owner FROM owners ORDER BY owner", &[]).await;
    let there = rows.map_err(|error| failed(error.into()))?.into_iter().map(|row| row.get::<_, String>(0));
    match there.into_iter().find(|owner| !owners.know(owner)) {
        Some(owner) => Err(OpenError::UnknownOwner { owner }),
        None => Ok(()),
    }
}

fn failed(fault: Fault) -> OpenError {
    failed_to("update the database's schema", fault)
}

pub(crate) fn failed_to(operation: &'static str, fault: Fault) -> OpenError {
    let source: Cause = match fault {
        Fault::NoConnection(source) => source,
        Fault::Postgres(error) => error.into(),
        other => other.explain(operation).into(),
    };
    OpenError::Database { operation, source }
}
