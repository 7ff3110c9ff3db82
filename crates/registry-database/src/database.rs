//! A handle to whichever engine was opened.

#[cfg(any(feature = "sqlite", feature = "postgres"))]
use std::sync::Arc;

use crate::{AnyStep, Error, Operation};

/// A database of either engine, for logic that is written once: [`Step`](crate::Step)s of any owner run on it. Clones are the
/// same database.
///
/// ```
/// # #[cfg(all(feature = "sqlite", feature = "postgres"))]
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use std::sync::Arc;
/// use registry_database::{
///     Database, Fault, Migration, Owners, SCHEMA, Schema, Session, Sqlite, Statement, Step, SystemClock, params, step,
/// };
///
/// const NOTES: Schema = Schema {
///     owner: "notes",
///     migrations: &[Migration {
///         number: 1,
///         oldest_binary: 1,
///         sql: "CREATE TABLE store (one BIGINT PRIMARY KEY, format BIGINT NOT NULL, oldest_binary BIGINT NOT NULL,
///                 created_at BIGINT NOT NULL);
///             CREATE TABLE notes (id {id}, text {text} NOT NULL);",
///     }],
///     volatile: &[],
///     content: &["notes"],
/// };
///
/// /// Keeps a note, and answers how many there are.
/// struct Keep;
///
/// impl Step for Keep {
///     type Of = String;
///     type Output = u64;
///
///     async fn run<S: Session>(&self, session: &S, text: &String) -> Result<u64, Fault> {
///         session.execute(Statement::same("INSERT INTO notes (text) VALUES ($1)"), params![text]).await?;
///         let count = session.one(Statement::same("SELECT COUNT(*) FROM notes"), params![]).await?;
///         Ok(count.unwrap_or_default())
///     }
/// }
///
/// step!(Keep);
///
/// // Or `Database::Postgres`, of a pool.
/// let sqlite = Sqlite::open_in_memory(&Owners::new(&[&NOTES, &SCHEMA]), Arc::new(SystemClock))?;
/// let database = Database::Sqlite(Arc::new(sqlite));
/// assert_eq!(database.write("keep a note", Keep, "buy milk".to_owned()).await?, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Database {
    /// A file, or memory, of this process.
    #[cfg(feature = "sqlite")]
    Sqlite(Arc<crate::Sqlite>),
    /// Connections to a server.
    #[cfg(feature = "postgres")]
    Postgres(Arc<crate::Pool>),
}

impl Database {
    /// Runs a step in a transaction and answers when that is committed. On PostgreSQL the step is run again if the transaction
    /// loses a race. On SQLite the limits of the operation are nothing: it works in the process.
    ///
    /// **Cancellation**: a step that has begun is done to its end.
    ///
    /// # Errors
    /// See [`Error`]: nothing of the step was kept, unless [`Error::Unavailable`] says otherwise.
    #[cfg_attr(
        not(any(feature = "sqlite", feature = "postgres")),
        allow(unused_variables, reason = "without an engine there is no database to ask")
    )]
    pub async fn write<T: AnyStep>(
        &self,
        operation: impl Into<Operation>,
        step: T,
        of: T::Of,
    ) -> Result<T::Output, Error>
    where
        T::Of: Send + 'static,
    {
        let operation: Operation = operation.into();
        match *self {
            #[cfg(feature = "sqlite")]
            Database::Sqlite(ref database) => {
                let work = move |connection: &rusqlite::Connection| {
                    step.on_sqlite(&crate::sqlite::Session::new(connection), &of)
                };
                database.writer().run(operation.name, operation.durability, (), work).await
            }
            #[cfg(feature = "postgres")]
            Database::Postgres(ref pool) => {
                crate::postgres::transact(pool, operation, (), on_postgres::Transaction { step, of }).await
            }
        }
    }

    /// Runs a step that only reads. Each of its statements by itself sees one state of the database; a step whose statements
    /// must agree is for [`write`](Self::write). On PostgreSQL the step is run once more if the connection turns out to be gone.
    ///
    /// # Errors
    /// See [`Error`].
    #[cfg_attr(
        not(any(feature = "sqlite", feature = "postgres")),
        allow(unused_variables, reason = "without an engine there is no database to ask")
    )]
    pub async fn read<T: AnyStep>(
        &self,
        operation: &'static str,
        step: T,
        of: T::Of,
    ) -> Result<T::Output, Error>
    where
        T::Of: Send + 'static,
    {
        match *self {
            #[cfg(feature = "sqlite")]
            Database::Sqlite(ref database) => database
                .readers()
                .read(operation, |connection| step.on_sqlite(&crate::sqlite::Session::new(connection), &of)),
            #[cfg(feature = "postgres")]
            Database::Postgres(ref pool) => {
                on_postgres::read(pool, &step, &of).await.map_err(|fault| fault.explain(operation))
            }
        }
    }
}

#[cfg(feature = "postgres")]
mod on_postgres {
    use std::sync::Arc;

    use async_trait::async_trait;

    use crate::{
        AnyStep, Fault, Pool, Remedy,
        postgres::{Connection, Work},
    };

    /// A step as the work of a transaction.
    pub(super) struct Transaction<T: AnyStep> {
        pub(super) step: T,
        pub(super) of: T::Of,
    }

    #[async_trait]
    impl<T: AnyStep> Work for Transaction<T>
    where
        T::Of: Send + 'static,
    {
        type Output = T::Output;

        async fn run(&self, connection: &Connection) -> Result<T::Output, Fault> {
            self.step.on_postgres(connection, &self.of).await
        }
    }

    /// Reads, with another connection if the first one is gone: the server may have been restarted.
    pub(super) async fn read<T: AnyStep>(pool: &Arc<Pool>, step: &T, of: &T::Of) -> Result<T::Output, Fault> {
        match once(pool, step, of).await {
            Err(fault) if fault.is_lost() => once(pool, step, of).await,
            answer => answer,
        }
    }

    async fn once<T: AnyStep>(pool: &Arc<Pool>, step: &T, of: &T::Of) -> Result<T::Output, Fault> {
        let connection = pool.connection().await?;
        let answer = step.on_postgres(&connection, of).await;
        if let Err(fault) = &answer
            && fault.remedy() == Remedy::Reconnect
        {
            connection.mark_unusable(true);
            pool.lost(matches!(fault, Fault::Silent));
        }
        answer
    }
}

#[cfg(test)]
#[cfg(all(feature = "sqlite", feature = "postgres"))]
mod tests;
