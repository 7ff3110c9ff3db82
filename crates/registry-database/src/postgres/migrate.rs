//! From whatever schema a database has to the one that this binary writes.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};
use tokio_postgres::{error::SqlState, types::ToSql};

use super::{
    connection::{BEGIN, Connection},
    guard::Refusal,
    pool::{Pool, Pooled},
};
use crate::{
    Cause, Fault, Limits, OpenError, Owners, POSTGRES,
    owners::{FOUND_OWNERS, Found, NOTE_OWNER, NOTE_STEP, Plan},
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

/// Whether there is the table `store`, whether it is ours, and whether there is any table.
const LOOK: &str = "SELECT to_regclass('store') IS NOT NULL,
    COALESCE(obj_description(to_regclass('store'), 'pg_class') = $1, FALSE),
    EXISTS (SELECT 1 FROM pg_class WHERE relnamespace = to_regnamespace(current_schema()) AND relkind = 'r')";

/// Up to which step the database is, and which binaries may use it.
const FOUND_STORE: &str = "SELECT format, oldest_binary FROM store";

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
    make(&connection, owners, &[]).await?;
    pool.remember_owners(*owners);
    Ok(())
}

/// Does what is due, also for the owners that are `wanted`, in a transaction of its own.
///
/// # Errors
/// See [`OpenError`].
pub(super) async fn make(connection: &Connection, owners: &Owners, wanted: &[&str]) -> Result<(), OpenError> {
    // Nothing to do is the usual case, and needs no lock.
    if owners.plan(&found(connection).await?, wanted)?.is_empty() {
        return Ok(());
    }
    connection.mark_unusable(true);
    connection.limit(Limits { statement: None, lock: LOCK_WAIT });
    let until = Instant::now() + LOCK_WAIT;
    loop {
        match attempt(connection, owners, wanted).await {
            Err(OpenError::Database { source, .. }) if is_locked(&*source) && Instant::now() < until => {
                connection.batch("ROLLBACK").await.map_err(failed)?;
                tracing::warn!("waiting for a lock to update the database's schema");
                sleep(PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

async fn attempt(connection: &Connection, owners: &Owners, wanted: &[&str]) -> Result<(), OpenError> {
    let wait = Limits { statement: None, lock: LOCK_WAIT }.settings("SET LOCAL");
    let begin = format!("{BEGIN}; {wait}; SELECT pg_advisory_xact_lock({LOCK})");
    connection.batch(&begin).await.map_err(failed)?;
    let wait = Limits { statement: None, lock: STEP_LOCK }.settings("SET LOCAL");
    connection.batch(&wait).await.map_err(failed)?;
    let found = found(connection).await?;
    let plan = owners.plan(&found, wanted)?;
    perform(connection, &plan, found.format == 0).await.map_err(failed)?;
    connection.batch("COMMIT").await.map_err(failed)
}

async fn perform(connection: &Connection, plan: &Plan, is_new: bool) -> Result<(), Fault> {
    if is_new {
        connection.batch(CLOCK).await?;
    }
    for due in &plan.steps {
        connection.batch(&POSTGRES.render(due.sql)).await?;
        connection.execute(NOTE_STEP, &[&due.format, &due.oldest_binary]).await?;
    }
    if is_new {
        connection.batch(&format!("COMMENT ON TABLE store IS '{MARK}'")).await?;
    }
    for note in &plan.notes {
        let row: [&(dyn ToSql + Sync); 4] = [&note.owner, &note.format, &note.oldest_binary, &note.volatile];
        connection.execute(NOTE_OWNER, &row).await?;
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

/// What the database says of its schema.
///
/// # Errors
/// See [`OpenError`].
pub(super) async fn found(connection: &Connection) -> Result<Found, OpenError> {
    let row = connection.one(LOOK, &[&MARK]).await.map_err(failed)?;
    match row.map_or((false, false, false), |row| (row.get(0), row.get(1), row.get(2))) {
        (true, true, _) => {}
        (false, _, false) => return Ok(Found::default()),
        (true, false, _) | (false, _, true) => return Err(OpenError::ForeignTables),
    }
    let row = connection.one(FOUND_STORE, &[]).await.map_err(failed)?;
    let row = row.ok_or(OpenError::ForeignTables)?;
    let mut found = Found { format: row.get(0), oldest_binary: row.get(1), ..Found::default() };
    if found.has_owners() {
        let rows = connection.all(FOUND_OWNERS, &[]).await.map_err(failed)?;
        found.owners = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    }
    Ok(found)
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
