//! One connection of PostgreSQL as logic for both engines sees it.

use std::task::Poll;

use futures_util::TryStreamExt;

use super::Connection;
use crate::{Fault, FromRow, Limits, Param, Row, Session, Statement};

/// How many statements of [`Session::execute_many`] are under way at once.
const PIPELINED_MAX: usize = 256;

impl Session for Connection {
    async fn all<T: FromRow>(&self, statement: Statement, params: &[Param<'_>]) -> Result<Vec<T>, Fault> {
        let rows = self.rows(statement.postgres, params).await?;
        rows.iter().map(|row| T::from_row(&Row::from(row))).collect()
    }

    async fn one<T: FromRow>(&self, statement: Statement, params: &[Param<'_>]) -> Result<Option<T>, Fault> {
        let rows = self.rows(statement.postgres, params).await?;
        rows.first().map(|row| T::from_row(&Row::from(row))).transpose()
    }

    async fn exists(&self, statement: Statement, params: &[Param<'_>]) -> Result<bool, Fault> {
        Ok(!self.rows(statement.postgres, params).await?.is_empty())
    }

    async fn execute(&self, statement: Statement, params: &[Param<'_>]) -> Result<u64, Fault> {
        self.change(statement.postgres, params).await
    }

    async fn execute_many<const N: usize>(
        &self,
        statement: Statement,
        rows: &[[Param<'_>; N]],
    ) -> Result<u64, Fault> {
        let sql = statement.postgres;
        let mut changed = 0;
        for some in rows.chunks(PIPELINED_MAX) {
            changed += in_order(some.iter().map(|row| self.change(sql, row))).await?.iter().sum::<u64>();
        }
        Ok(changed)
    }

    async fn lock(&self, postgres: &'static str, params: &[Param<'_>]) -> Result<(), Fault> {
        self.rows(postgres, params).await.map(drop)
    }

    async fn ready(&self, postgres: &[&'static str]) -> Result<(), Fault> {
        Connection::ready(self, postgres).await
    }

    async fn extend(&self, limits: Limits) -> Result<(), Fault> {
        Connection::extend(self, limits).await
    }
}

impl Connection {
    async fn rows(&self, sql: &'static str, params: &[Param<'_>]) -> Result<Vec<tokio_postgres::Row>, Fault> {
        self.answer(async {
            let (statement, turn) = self.take_turn(sql).await?;
            let rows = super::connection::sent(self.client().query_raw(&statement, params), turn).await?;
            Ok(rows.try_collect().await?)
        })
        .await
    }

    pub(super) async fn change(&self, sql: &'static str, params: &[Param<'_>]) -> Result<u64, Fault> {
        self.answer(async {
            let (statement, turn) = self.take_turn(sql).await?;
            Ok(super::connection::sent(self.client().execute_raw(&statement, params), turn).await?)
        })
        .await
    }
}

/// Polls futures in the order given until all are done: all answers, or the first failure in that order once no other is
/// under way.
pub(super) async fn in_order<T>(
    futures: impl Iterator<Item = impl Future<Output = Result<T, Fault>>>,
) -> Result<Vec<T>, Fault> {
    let mut running: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        let mut is_done = true;
        for (future, answer) in &mut running {
            if answer.is_none() {
                match future.as_mut().poll(context) {
                    Poll::Ready(outcome) => *answer = Some(outcome),
                    Poll::Pending => is_done = false,
                }
            }
        }
        if is_done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    running.into_iter().filter_map(|(_, answer)| answer).collect()
}
