//! Logic that is written once for both engines.

#[cfg(feature = "postgres")]
use std::pin::Pin;

use crate::{Fault, FromRow, Limits, Param, Statement};

/// One transaction, or one connection that reads, on either database.
///
/// Logic is `async fn` over `impl Session`. On SQLite each future is ready when it is polled first, so the whole of it runs on
/// the thread that polls it and costs what calls cost. On PostgreSQL the futures of several statements that are polled
/// together, by `tokio::join!(biased; …)` or [`execute_many`](Self::execute_many), are one round trip; they are carried out in
/// the order of their first polls.
#[allow(
    async_fn_in_trait,
    reason = "whether the futures may move between threads is known where the engine is"
)]
pub trait Session {
    /// All rows.
    ///
    /// # Errors
    /// See [`Fault`]; so for the others.
    async fn all<T: FromRow>(&self, statement: Statement, params: &[Param<'_>]) -> Result<Vec<T>, Fault>;

    /// The first row, if there is one.
    ///
    /// # Errors
    /// See [`Fault`].
    async fn one<T: FromRow>(&self, statement: Statement, params: &[Param<'_>]) -> Result<Option<T>, Fault>;

    /// Whether there is a row.
    ///
    /// # Errors
    /// See [`Fault`].
    async fn exists(&self, statement: Statement, params: &[Param<'_>]) -> Result<bool, Fault>;

    /// Changes rows, and says how many.
    ///
    /// # Errors
    /// See [`Fault`].
    async fn execute(&self, statement: Statement, params: &[Param<'_>]) -> Result<u64, Fault>;

    /// The same for many lists of parameters, in their order. Says how many rows were changed in all.
    ///
    /// # Errors
    /// The first [`Fault`].
    async fn execute_many<const N: usize>(
        &self,
        statement: Statement,
        rows: &[[Param<'_>; N]],
    ) -> Result<u64, Fault>;

    /// Locks the rows that a statement of PostgreSQL selects. SQLite has one writer, so there is nothing to lock.
    ///
    /// # Errors
    /// See [`Fault`].
    async fn lock(&self, postgres: &'static str, params: &[Param<'_>]) -> Result<(), Fault>;

    /// Prepares all of these statements of PostgreSQL that are not prepared yet, in one round trip: before several of them are
    /// sent together. On SQLite a statement is prepared when it is used.
    ///
    /// # Errors
    /// See [`Fault`].
    async fn ready(&self, postgres: &[&'static str]) -> Result<(), Fault>;

    /// The limits of the rest of the transaction. Nothing on SQLite, where an operation has none.
    ///
    /// # Errors
    /// See [`Fault`].
    async fn extend(&self, limits: Limits) -> Result<(), Fault>;
}

/// A piece of logic that other crates hand to a transaction of either engine. [`step!`](crate::step) makes a [`AnyStep`] of
/// it.
///
/// It is bounded in rows, and never hashes, seals or asks the network: on SQLite everything else that writes waits for it.
#[allow(
    async_fn_in_trait,
    reason = "whether the futures may move between threads is known where the engine is"
)]
pub trait Step: Send + Sync + 'static {
    /// What it is about: the repository that goes, the event that is fanned out.
    type Of: Sync;

    /// What it answers.
    type Output: Send + 'static;

    /// Does it. May be called several times; nothing of earlier calls is there any more.
    ///
    /// # Errors
    /// See [`Fault`]; then nothing of the transaction is kept.
    async fn run<S: Session>(&self, session: &S, of: &Self::Of) -> Result<Self::Output, Fault>;
}

/// A [`Step`] of any type, for both engines: `Vec<Box<dyn AnyStep<Of = …, Output = ()>>>`.
pub trait AnyStep: Send + Sync + 'static {
    /// As [`Step::Of`].
    type Of: Sync;

    /// As [`Step::Output`].
    type Output: Send + 'static;

    /// Does it in a transaction of SQLite, at once.
    ///
    /// # Errors
    /// As [`Step::run`]; [`Fault::Broken`], if the step waits for anything but the database.
    #[cfg(feature = "sqlite")]
    fn on_sqlite(&self, session: &crate::sqlite::Session<'_>, of: &Self::Of) -> Result<Self::Output, Fault>;

    /// Does it in a transaction of PostgreSQL.
    #[cfg(feature = "postgres")]
    fn on_postgres<'a>(
        &'a self,
        session: &'a crate::postgres::Connection,
        of: &'a Self::Of,
    ) -> Pin<Box<dyn Future<Output = Result<Self::Output, Fault>> + Send + 'a>>;
}

/// Makes an [`AnyStep`] of each of these [`Step`]s. A macro, since no generic code can say that the future of a step may move
/// between threads.
#[macro_export]
macro_rules! step {
    ($($step:ty),+ $(,)?) => {
        $(
            impl $crate::AnyStep for $step {
                type Of = <$step as $crate::Step>::Of;
                type Output = <$step as $crate::Step>::Output;

                $crate::step_on_sqlite!();
                $crate::step_on_postgres!();
            }
        )+
    };
}

#[cfg(feature = "sqlite")]
#[doc(hidden)]
#[macro_export]
macro_rules! step_on_sqlite {
    () => {
        fn on_sqlite(
            &self,
            session: &$crate::sqlite::Session<'_>,
            of: &Self::Of,
        ) -> Result<Self::Output, $crate::Fault> {
            $crate::sqlite::at_once($crate::Step::run(self, session, of))
        }
    };
}

#[cfg(not(feature = "sqlite"))]
#[doc(hidden)]
#[macro_export]
macro_rules! step_on_sqlite {
    () => {};
}

#[cfg(feature = "postgres")]
#[doc(hidden)]
#[macro_export]
macro_rules! step_on_postgres {
    () => {
        fn on_postgres<'a>(
            &'a self,
            session: &'a $crate::postgres::Connection,
            of: &'a Self::Of,
        ) -> std::pin::Pin<Box<dyn Future<Output = Result<Self::Output, $crate::Fault>> + Send + 'a>> {
            Box::pin($crate::Step::run(self, session, of))
        }
    };
}

#[cfg(not(feature = "postgres"))]
#[doc(hidden)]
#[macro_export]
macro_rules! step_on_postgres {
    () => {};
}

#[cfg(test)]
#[cfg(all(feature = "sqlite", feature = "postgres"))]
mod tests;
