//! What came of an attempt, and what is forgotten.

use registry_database::{Fault, Session, Step, params, signed, step};

use registry_jobs::{Settled, hasten_lane};

use super::feed::{KIND, lane};
use crate::{Attempt, DeliveryState, WebhookId, sql, stored::State};

/// How many attempts are kept of a message.
pub(crate) const ATTEMPTS_KEPT_MAX: i64 = 10;

/// Notes an attempt, and how its message stands: in the transaction that notes what became of the job.
pub(crate) struct Outcome {
    /// The message's number.
    pub(crate) delivery: i64,
    pub(crate) webhook: WebhookId,
    /// None where nothing was sent.
    pub(crate) attempt: Option<Attempt>,
    /// Waiting, if it is to be tried again.
    pub(crate) state: DeliveryState,
    /// Why the receiver wants nothing more.
    pub(crate) disable: Option<String>,
    /// Whether what failed before is to be sent now.
    pub(crate) is_well_again: bool,
}

impl Step for Outcome {
    type Of = Settled;
    type Output = ();

    async fn run<S: Session>(&self, session: &S, _: &Settled) -> Result<(), Fault> {
        let outcome = self;
        if outcome.state != DeliveryState::Waiting {
            session.execute(sql::END_DELIVERY, params![outcome.state.number(), outcome.delivery]).await?;
        }
        if let Some(reason) = &outcome.disable {
            let state = State::Disabled(reason.clone());
            session.execute(sql::SET_STATE, params![state.number(), state.reason(), outcome.webhook]).await?;
        }
        if outcome.is_well_again {
            hasten_lane(session, KIND, &lane(outcome.webhook)).await?;
        }
        match &outcome.attempt {
            // It went with its webhook meanwhile.
            Some(attempt) if session.exists(sql::IS_DELIVERY, params![outcome.delivery]).await? => {
                note(session, outcome.delivery, attempt).await
            }
            _ => Ok(()),
        }
    }
}

async fn note(session: &impl Session, delivery: i64, attempt: &Attempt) -> Result<(), Fault> {
    let last: Option<i64> = session.one::<Option<i64>>(sql::LAST_ATTEMPT, params![delivery]).await?.flatten();
    let number = last.unwrap_or(0) + 1;
    let values = params![
        delivery,
        number,
        attempt.at_ms,
        signed(attempt.latency_ms),
        attempt.status.map(i64::from),
        attempt.error.as_deref(),
        &attempt.request_headers,
        attempt.answer.as_deref(),
    ];
    session.execute(sql::ADD_ATTEMPT, values).await?;
    if number > ATTEMPTS_KEPT_MAX {
        session.execute(sql::FORGET_ATTEMPTS, params![delivery, number - ATTEMPTS_KEPT_MAX]).await?;
    }
    Ok(())
}

/// Gives up messages that wait too long, as those of a webhook that stays paused; forgets messages that ended long ago, and the oldest
/// where there are too many. Says how many.
pub(crate) struct Prune;

pub(crate) struct Pruning {
    pub(crate) webhooks: Vec<WebhookId>,
    pub(crate) waits_ms: i64,
    pub(crate) age_ms: i64,
    pub(crate) kept_max: i64,
    /// How many are removed at a time.
    pub(crate) limit: i64,
}

impl Step for Prune {
    type Of = Pruning;
    type Output = u64;

    async fn run<S: Session>(&self, session: &S, pruning: &Pruning) -> Result<u64, Fault> {
        let now_ms: i64 = session.one(sql::NOW, params![]).await?.unwrap_or_default();
        let mut pruned =
            session.execute(sql::PRUNE_OLD, params![now_ms - pruning.age_ms, pruning.limit]).await?;
        session.execute(sql::GIVE_UP, params![now_ms - pruning.waits_ms, pruning.limit]).await?;
        for webhook in &pruning.webhooks {
            for statement in [sql::PRUNE_MANY, sql::PRUNE_DEAD] {
                let values = params![*webhook, pruning.kept_max, pruning.limit];
                pruned += session.execute(statement, values).await?;
            }
        }
        Ok(pruned)
    }
}

step!(Outcome, Prune);
