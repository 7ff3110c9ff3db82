//! Work of content in a transaction: done with what was configured, and counted for quotas before it is committed.

use std::{pin::Pin, sync::Arc};

use async_trait::async_trait;
use registry_database::{
    Deferred, Fault, Operation, Pool,
    postgres::{self, Connection},
};

use crate::{
    Changes, Options, Result,
    logic::{self, ending::end},
};

/// Something to do in one transaction.
#[async_trait]
pub(super) trait Work: Send + Sync + 'static {
    /// What it answers.
    type Output: Send + 'static;

    /// Does it. May be called several times; nothing of earlier calls is there any more.
    async fn run(&self, tx: &Tx<'_>) -> std::result::Result<Self::Output, Fault>;
}

/// A transaction of content.
pub(super) type Tx<'a> = logic::Tx<'a, Connection>;

/// What logic is to be done, and with what. (The logic is given what it works with by reference, since it may be run again.)
pub(super) struct Logic<A, F> {
    arguments: A,
    logic: F,
}

/// What logic answers, on any thread.
type Answer<'t, T> = Pin<Box<dyn Future<Output = std::result::Result<T, Fault>> + Send + 't>>;

impl<A, F> Logic<A, F> {
    pub(super) fn new<T>(arguments: A, logic: F) -> Logic<A, F>
    where
        F: for<'t> Fn(&'t Tx<'t>, &'t A) -> Answer<'t, T>,
    {
        Logic { arguments, logic }
    }
}

#[async_trait]
impl<A, F, T> Work for Logic<A, F>
where
    A: Send + Sync + 'static,
    F: for<'t> Fn(&'t Tx<'t>, &'t A) -> Answer<'t, T> + Send + Sync + 'static,
    T: Send + 'static,
{
    type Output = T;

    async fn run(&self, tx: &Tx<'_>) -> std::result::Result<T, Fault> {
        (self.logic)(tx, &self.arguments).await
    }
}

/// Work, and what was configured for it.
struct Configured<W> {
    work: W,
    options: Arc<Options>,
}

#[async_trait]
impl<W: Work> postgres::Work for Configured<W> {
    type Output = (W::Output, Changes);

    async fn run(&self, connection: &Connection) -> std::result::Result<(W::Output, Changes), Fault> {
        let tx = Tx::new(connection, &self.options);
        let output = self.work.run(&tx).await?;
        Ok((output, end(&tx).await?))
    }

    fn last<'a>(&'a self, (_, changes): &'a (W::Output, Changes)) -> Vec<Deferred<'a>> {
        changes.0.deferred(&self.options.recorder)
    }
}

/// Does work in a transaction and answers when that is committed. Once it has begun it is done to its end, even if the
/// future is dropped; `hold` is dropped after that.
pub(super) async fn transact<W: Work, H: Send + 'static>(
    pool: &Arc<Pool>,
    options: &Arc<Options>,
    operation: Operation,
    hold: H,
    work: W,
) -> Result<W::Output> {
    let configured = Configured { work, options: options.clone() };
    let (done, _) = postgres::transact(pool, operation, hold, configured).await?;
    options.recorder.committed();
    Ok(done)
}

/// The same, for callers that look at what went wrong.
pub(super) async fn try_transact<W: Work, H: Send + 'static>(
    pool: &Arc<Pool>,
    options: &Arc<Options>,
    hold: H,
    work: W,
) -> std::result::Result<W::Output, Fault> {
    let configured = Configured { work, options: options.clone() };
    let (done, _) = postgres::try_transact(pool, "collect garbage".into(), hold, configured).await?;
    options.recorder.committed();
    Ok(done)
}
