//! Running work as a transaction, again if it loses a race, to its end even if its caller is gone.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use futures_util::future::join;
use tokio::time::sleep;

use super::{connection::Connection, pool::Pool};
use crate::{Deferred, Error, Fault, Operation, Remedy};

/// How often a transaction is run at most.
const RUNS_MAX: u32 = 10;

/// How long to wait before the second run; twice as long before each further one, and each time by chance between half
/// of that and all of it, so that transactions that met do not meet again.
const PAUSE: Duration = Duration::from_millis(4);

/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// Something to do in one transaction.
#[async_trait]
pub trait Work: Send + Sync + 'static {
    /// What it answers.
    type Output: Send + 'static;

    /// Does it. May be called several times; nothing of earlier calls is there any more.
    async fn run(&self, connection: &Connection) -> Result<Self::Output, Fault>;

    /// The last statements, whose answers decide nothing: they are sent with the commit, in its round trip; of more than some, the
    /// first ones before it. If one of them fails, nothing of the transaction is kept.
    fn last<'a>(&'a self, output: &'a Self::Output) -> Vec<Deferred<'a>> {
        let _ = output;
        Vec::new()
    }
}

/// How one run ended.
enum Run<T> {
    Done(T),
    /// Nothing of it was kept.
    Failed(Fault),
    /// Whether it was kept is not known: the answer to the commit is missing.
    Unknown(Fault),
}

/// Does work in a transaction and answers when that is committed. Once it has begun it is done to its end, even if the
/// future is dropped; `hold` is dropped after that.
///
/// # Errors
/// See [`Error`]. [`Error::Failed`], if the work panicked: then its connection was closed, and nothing of it was kept.
pub async fn transact<W: Work, H: Send + 'static>(
    pool: &Arc<Pool>,
    operation: Operation,
    hold: H,
    work: W,
) -> Result<W::Output, Error> {
    try_transact(pool, operation, hold, work).await.map_err(|fault| fault.explain(operation.name))
}

/// The same, for callers that look at what went wrong.
///
/// # Errors
/// See [`Fault`].
pub async fn try_transact<W: Work, H: Send + 'static>(
    pool: &Arc<Pool>,
    operation: Operation,
    hold: H,
    work: W,
) -> Result<W::Output, Fault> {
    let pool = pool.clone();
    let running = tokio::spawn(async move {
        let answer = run(&pool, &operation, &work).await;
        drop(hold);
        answer
    });
    running.await.unwrap_or_else(|error| {
        Err(match error.is_panic() {
            true => Fault::Broken("the work panicked, and nothing of it was kept"),
            // The runtime ends.
            false => Fault::NoConnection(error.into()),
        })
    })
}

async fn run<W: Work>(pool: &Arc<Pool>, operation: &Operation, work: &W) -> Result<W::Output, Fault> {
    let mut runs = 0;
    let mut has_reconnected = false;
    loop {
        runs += 1;
        let connection = pool.connection().await?;
        let ended = once(&connection, operation, work).await;
        drop(connection);
        let fault = match ended {
            Run::Done(output) => return Ok(output),
            Run::Unknown(fault) => {
                pool.lost(matches!(fault, Fault::Silent));
                return Err(fault);
            }
            Run::Failed(fault) => fault,
        };
        match fault.remedy() {
            Remedy::Rerun if runs < RUNS_MAX => sleep(pause(runs)).await,
            Remedy::Reconnect => {
                pool.lost(matches!(fault, Fault::Silent));
                // A server that was restarted is found by the second attempt.
                if !fault.is_lost() || has_reconnected {
                    return Err(fault);
                }
                has_reconnected = true;
            }
            _ => return Err(fault),
        }
    }
}

async fn once<W: Work>(connection: &Connection, operation: &Operation, work: &W) -> Run<W::Output> {
    // Until it is known how this ends, nothing else gets the connection; closing it ends the transaction. That is also what
    // happens if the work panics.
    connection.mark_unusable(true);
    // The first statement is sent without waiting for the answer to this.
    let (begun, outcome) = join(connection.begin(operation), work.run(connection)).await;
    let output = match begun.and(outcome) {
        Ok(output) => output,
        Err(fault) => return roll_back(connection, fault).await,
    };
    let last = work.last(&output);
    let with_commit = match connection.send_first(&last).await {
        Ok(rest) => rest,
        Err(fault) => return roll_back(connection, fault).await,
    };
    match connection.commit_with(with_commit).await {
        Ok(()) => {
            drop(last);
            Run::Done(output)
        }
        Err(fault) if fault.remedy() == Remedy::Reconnect => Run::Unknown(fault),
        Err(fault) => Run::Failed(fault),
    }
}

async fn roll_back<T>(connection: &Connection, fault: Fault) -> Run<T> {
    if fault.remedy() != Remedy::Reconnect && connection.batch("ROLLBACK").await.is_ok() {
        connection.mark_unusable(false);
    }
    Run::Failed(fault)
}

fn pause(runs: u32) -> Duration {
    let longest = PAUSE.saturating_mul(1 << runs.min(16)).min(PAUSE_MAX);
    // Each state hashes nothing to another number.
    let chance = RandomState::new().build_hasher().finish() % 1000;
    longest / 2 + longest.mul_f64(chance as f64 / 2000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        for runs in 1..100 {
            let pause = pause(runs);
            assert!(pause >= PAUSE && pause <= PAUSE_MAX, "{runs}: {pause:?}");
        }
    }
}
