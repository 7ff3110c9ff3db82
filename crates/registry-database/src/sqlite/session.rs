//! One transaction of SQLite, or one connection that reads, as logic for both engines sees it.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

use rusqlite::{Connection, params_from_iter};

use super::statement;
use crate::{Fault, FromRow, Limits, Param, Row, Statement};

/// A connection that one piece of work has for itself. Its futures are ready when they are polled first.
#[derive(Debug)]
pub struct Session<'c> {
    connection: &'c Connection,
}

impl<'c> Session<'c> {
    /// On this connection, which is in a transaction or reads.
    pub fn new(connection: &'c Connection) -> Session<'c> {
        Session { connection }
    }

    /// The connection, for what is not a statement of both engines.
    pub fn connection(&self) -> &'c Connection {
        self.connection
    }
}

impl crate::Session for Session<'_> {
    async fn all<T: FromRow>(&self, statement: Statement, params: &[Param<'_>]) -> Result<Vec<T>, Fault> {
        let mut statement = self.connection.prepare_cached(statement.sqlite)?;
        let mut rows = statement.query(params_from_iter(params))?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            all.push(T::from_row(&Row::from(row))?);
        }
        Ok(all)
    }

    async fn one<T: FromRow>(&self, statement: Statement, params: &[Param<'_>]) -> Result<Option<T>, Fault> {
        let mut statement = self.connection.prepare_cached(statement.sqlite)?;
        let mut rows = statement.query(params_from_iter(params))?;
        rows.next()?.map(|row| T::from_row(&Row::from(row))).transpose()
    }

    async fn exists(&self, statement: Statement, params: &[Param<'_>]) -> Result<bool, Fault> {
        Ok(statement::exists(self.connection, statement.sqlite, params_from_iter(params))?)
    }

    async fn execute(&self, statement: Statement, params: &[Param<'_>]) -> Result<u64, Fault> {
        Ok(statement::execute(self.connection, statement.sqlite, params_from_iter(params))? as u64)
    }

    async fn execute_many<const N: usize>(
        &self,
        statement: Statement,
        rows: &[[Param<'_>; N]],
    ) -> Result<u64, Fault> {
        let mut statement = self.connection.prepare_cached(statement.sqlite)?;
        let mut changed = 0;
        for row in rows {
            changed += statement.execute(params_from_iter(row))? as u64;
        }
        Ok(changed)
    }

    async fn lock(&self, _postgres: &'static str, _params: &[Param<'_>]) -> Result<(), Fault> {
        Ok(())
    }

    async fn ready(&self, _postgres: &[&'static str]) -> Result<(), Fault> {
        Ok(())
    }

    async fn extend(&self, _limits: Limits) -> Result<(), Fault> {
        Ok(())
    }
}

/// Runs logic to its end by polling it once.
///
/// # Errors
/// What the logic says. [`Fault::Broken`], if it waits for anything but this database.
pub fn at_once<T>(logic: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    match pin!(logic).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => Err(Fault::Broken("work in a transaction waited for something else")),
    }
}
