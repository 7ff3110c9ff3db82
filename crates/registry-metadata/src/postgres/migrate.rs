//! From whatever schema a database has to the one that this binary writes.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};
use tokio_postgres::{Client, error::SqlState};

use super::{
    connection::BEGIN,
    fault::Fault,
    guard::Refusal,
    pool::{Pool, Pooled},
};
use crate::{
    OpenError,
    schema::{FORMAT, MIGRATIONS, POSTGRES},
};

/// Nodes that start at once migrate one after the other under this lock: "RGMD".
const LOCK: i64 = 0x5247_4d44;

/// Marks the tables as ours.
const MARK: &str = "metadata of a container registry";

/// How long to wait at the start for a database that starts itself.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(300);

/// How long a node waits for another one that migrates.
const LOCK_WAIT: Duration = Duration::from_secs(300);

/// The database's time. `STABLE`, and simple enough to become part of the statement that asks, so that what is compared
/// with it is found by an index.
const CLOCK: &str = "CREATE FUNCTION now_ms() RETURNS BIGINT LANGUAGE SQL STABLE PARALLEL SAFE
    AS 'SELECT CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)'";

/// Brings the schema up to date. Of several nodes that start at once, one does it and the others wait.
pub(super) async fn migrate(pool: &Arc<Pool>) -> Result<(), OpenError> {
    let connection = reach(pool).await?;
    // Nothing to do is the usual case, and needs no lock.
    if current(connection.client()).await? == Some(FORMAT) {
        return Ok(());
    }
    connection.set_spoilt(true);
    let begin = format!(
        "{BEGIN}; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = {}; SELECT pg_advisory_xact_lock({LOCK})",
        LOCK_WAIT.as_millis()
    );
    connection.batch_patiently(&begin).await.map_err(failed)?;
    let format = current(connection.client()).await?.unwrap_or(0);
    if format == 0 {
        connection.batch_patiently(CLOCK).await.map_err(failed)?;
    }
    for migration in MIGRATIONS.iter().filter(|migration| migration.number > format) {
        connection.batch_patiently(&POSTGRES.render(migration.sql)).await.map_err(failed)?;
        let (number, oldest) = (migration.number, migration.oldest_binary);
        let noted = format!(
            "INSERT INTO store (one, format, oldest_binary, created_at) VALUES (1, {number}, {oldest}, now_ms())
            ON CONFLICT (one) DO UPDATE SET format = excluded.format, oldest_binary = excluded.oldest_binary;
            COMMENT ON TABLE store IS '{MARK}'"
        );
        connection.batch_patiently(&noted).await.map_err(failed)?;
    }
    connection.batch_patiently("COMMIT").await.map_err(failed)
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
async fn current(client: &Client) -> Result<Option<i64>, OpenError> {
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
    let (format, oldest_binary) = (row.get(0), row.get(1));
    if oldest_binary > FORMAT {
        return Err(OpenError::TooNew { format, oldest_binary, known: FORMAT });
    }
    // A newer one that this binary can work with is as good as its own.
    Ok(Some(format.min(FORMAT)))
}

fn failed(fault: Fault) -> OpenError {
    failed_to("update the database's schema", fault)
}

pub(super) fn failed_to(operation: &'static str, fault: Fault) -> OpenError {
    let source: Box<dyn std::error::Error + Send + Sync> = match fault {
        Fault::NoConnection(source) => source,
        Fault::Sql(error) => error.into(),
        other => other.explain(operation).into(),
    };
    OpenError::Database { operation, source }
}
