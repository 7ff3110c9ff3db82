//! [`PostgresStore`]: metadata in a PostgreSQL database that several nodes share.

/// Asks on a connection, `$again` times once more if that turns out to be gone: the server may have been restarted. (A
/// macro, since a closure that borrows can not say that its future may move between threads.)
macro_rules! ask {
    ($self:ident, $again:expr, $operation:expr, |$connection:ident| $work:expr) => {{
        let mut again: u32 = $again;
        loop {
            let answer = match $self.pool.connection().await {
                Ok(pooled) => {
                    let $connection: &registry_database::postgres::Connection = &pooled;
                    let answer = $work.await;
                    $self.note($connection, &answer);
                    answer
                }
                Err(fault) => Err(fault),
            };
            match answer {
                Err(fault) if again > 0 && fault.is_lost() => again -= 1,
                answer => {
                    break answer.map_err(|fault| crate::MetadataError::from(fault.explain($operation)));
                }
            }
        }
    }};
}

/// Reads. Each statement by itself sees one state of the database.
macro_rules! read {
    ($self:ident, $operation:expr, |$connection:ident| $work:expr) => {
        ask!($self, 1, $operation, |$connection| $work)
    };
}

/// Writes with one statement, which is a transaction by itself. Not done again: what became of it is not known.
macro_rules! write {
    ($self:ident, $operation:expr, |$connection:ident| $work:expr) => {
        ask!($self, 0, $operation, |$connection| $work)
    };
}

/// The same, of what a crash of the server may lose: see `Durability::Process`.
macro_rules! write_of_process {
    ($self:ident, $operation:expr, |$connection:ident| $work:expr) => {
        ask!($self, 0, $operation, |$connection| $connection.of_process($work))
    };
}

/// Does something in a transaction. Named values are what the logic is given, by reference.
macro_rules! transact {
    ($self:ident, $operation:expr, $durability:ident, [$($name:ident = $value:expr),*], |$tx:ident| $logic:expr) => {{
        let operation = registry_database::Operation {
            durability: registry_database::Durability::$durability,
            ..$operation.into()
        };
        let logic = $crate::postgres::transaction::Logic::new(($($value,)*), |$tx, arguments| {
            let ($($name,)*) = arguments;
            Box::pin($logic)
        });
        $self.transact(operation, logic).await
    }};
}

/// Writes with one statement, which needs no transaction around it: the logic is given a connection. Named values are what the
/// logic is given, by reference.
macro_rules! write_alone {
    ($self:ident, $operation:expr, Full, [$($name:ident = $value:expr),*], |$session:ident| $logic:expr) => {{
        $(let $name = &$value;)*
        write!($self, $operation, |$session| $logic)
    }};
    ($self:ident, $operation:expr, Process, [$($name:ident = $value:expr),*], |$session:ident| $logic:expr) => {{
        $(let $name = &$value;)*
        write_of_process!($self, $operation, |$session| $logic)
    }};
}

mod blobs;
mod claims;
mod collect;
mod manifests;
mod namespaces;
mod put;
mod reclaim;
mod store;
mod tags;
#[cfg(test)]
#[cfg(feature = "postgres-server")]
mod tests;
mod transaction;
mod tuned;
mod uploads;
mod verify;

use std::{fmt, sync::Arc};

use registry_database::{
    Database, Operation, Pool, PostgresOptions,
    postgres::{Connection, connection, migrate, row},
};
use tokio::task::AbortHandle;

use self::{
    claims::Claims,
    fault::{Fault, Remedy},
    transaction::Work,
};
use crate::{OpenError, Options, Result, logic::namespaces::LookedAt, sql::postgres as sql};

/// What stops a piece of work, as the modules of content name it.
mod fault {
    pub(super) use registry_database::{Fault, Remedy};
}

/// Connections, as the modules of content name them.
mod pool {
    pub(super) use registry_database::Pool;
}

/// Metadata in a PostgreSQL database. Any number of processes may serve from one.
///
/// **Time** is the database's: nodes whose clocks differ agree on leases and claims.
///
/// **Uploads** may go on at any node. A node claims a session's row for as long as it works on it and renews that claim;
/// a node that dies, or is cut off, loses it after a minute. Giving a claim back is a write that
/// [`release_upload`](crate::Uploads::release_upload) does not wait for; a request that meets a claim of another
/// node therefore looks again for a second before it is told that the session is busy.
///
/// **Durability** is what the server is set to (`synchronous_commit`), also for what waits for a standby. Only sessions of
/// uploads do not wait for the server's disk: a crash of the server may cost those of the last second, and their clients
/// begin again.
///
/// **A database that is gone** is told of within a second, and to those who come right after at once, as
/// [`Unavailable`](crate::MetadataError::Unavailable). When it is back, the next request finds it. If the answer to a
/// commit is lost, it is not known whether it was done; that is `Unavailable` too, and doing the same again is right in
/// either case.
///
/// **Background work** that [`expire_uploads`](crate::Uploads::expire_uploads) and
/// [`reclaimable`](crate::Collecting::reclaimable) give out is given to one node: what `reclaimable` told one is told
/// to another only if it was not done after ten minutes.
///
/// Must be opened and used within a tokio runtime with its I/O and timers on.
pub struct PostgresStore {
    pool: Arc<Pool>,
    claims: Claims,
    options: Arc<Options>,
    looked_at: LookedAt,
    place: String,
    keeper: AbortHandle,
}

impl PostgresStore {
    /// Connects and brings the schema up to date. If the database is starting, waits for it some seconds.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(
        postgres: &PostgresOptions,
        options: Options,
    ) -> std::result::Result<PostgresStore, OpenError> {
        if let Some(warning) = postgres.warning() {
            tracing::warn!("{warning}");
        }
        let pool = Pool::new(postgres)?;
        migrate(&pool, &options.owners).await?;
        namespaces::place_all(&pool).await;
        let claims = Claims::default();
        let keeper = tokio::spawn(claims::keep(claims.clone(), pool.clone())).abort_handle();
        let (options, place) = (Arc::new(options), postgres.place());
        Ok(PostgresStore { pool, claims, options, looked_at: LookedAt::default(), place, keeper })
    }

    /// The database, for the tables of other owners.
    pub fn database(&self) -> Database {
        Database::Postgres(self.pool.clone())
    }

    async fn transact<W: Work>(&self, operation: impl Into<Operation>, work: W) -> Result<W::Output> {
        self.transact_holding(operation, (), work).await
    }

    async fn transact_holding<W: Work, H: Send + 'static>(
        &self,
        operation: impl Into<Operation>,
        hold: H,
        work: W,
    ) -> Result<W::Output> {
        transaction::transact(&self.pool, &self.options, operation.into(), hold, work).await
    }

    /// Gives up what is gone, so that the next attempt is with a new connection.
    fn note<T>(&self, connection: &Connection, answer: &std::result::Result<T, Fault>) {
        if let Err(fault) = answer
            && fault.remedy() == Remedy::Reconnect
        {
            connection.mark_unusable(true);
            self.pool.lost(matches!(fault, Fault::Silent));
        }
    }
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("place", &self.place).finish_non_exhaustive()
    }
}
