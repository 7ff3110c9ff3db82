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
            Some(attempt) => note(session, outcome.delivery, attempt).await,
            None => Ok(()),
        }
    }
}

async fn note(session: &impl Session, delivery: i64, attempt: &Attempt) -> Result<(), Fault> {
    let values = params![
        attempt.at_ms,
        signed(attempt.latency_ms),
        attempt.status.map(i64::from),
        attempt.error.as_deref(),
        &attempt.request_headers,
        attempt.answer.as_deref(),
        delivery,
    ];
    let number: Option<i64> = session.one(sql::ADD_ATTEMPT, values).await?;
    if let Some(number) = number.filter(|number| *number > ATTEMPTS_KEPT_MAX) {
        session.execute(sql::FORGET_ATTEMPTS, params![delivery, number - ATTEMPTS_KEPT_MAX]).await?;
    }
    Ok(())
}

/// Gives up messages that wait too long, as those of a webhook that stays paused; forgets messages that ended long ago. Says how many in
/// all.
pub(crate) struct PruneOld {
    pub(crate) waits_ms: i64,
    pub(crate) age_ms: i64,
}

/// Forgets the oldest messages of a webhook where there are too many. Says how many.
pub(crate) struct PruneMany {
    pub(crate) webhook: WebhookId,
    pub(crate) kept_max: i64,
}

impl Step for PruneOld {
    /// How many at most.
    type Of = u64;
    type Output = u64;

    async fn run<S: Session>(&self, session: &S, limit: &u64) -> Result<u64, Fault> {
        let now_ms: i64 = session.one(sql::NOW, params![]).await?.unwrap_or_default();
        let mut pruned =
            session.execute(sql::PRUNE_OLD, params![now_ms - self.age_ms, signed(*limit)]).await?;
        let before = now_ms - self.waits_ms;
        let waiting: Vec<WebhookId> = session.all(sql::WAIT_SINCE_BEFORE, params![before]).await?;
        for webhook in waiting {
            let left = signed(limit.saturating_sub(pruned));
            pruned += session.execute(sql::GIVE_UP, params![webhook, before, left]).await?;
        }
        Ok(pruned)
    }
}

impl Step for PruneMany {
    type Of = u64;
    type Output = u64;

    async fn run<S: Session>(&self, session: &S, limit: &u64) -> Result<u64, Fault> {
        let mut pruned = 0;
        for statement in [sql::PRUNE_MANY, sql::PRUNE_DEAD] {
            let left = signed(limit.saturating_sub(pruned));
            pruned += session.execute(statement, params![self.webhook, self.kept_max, left]).await?;
        }
        Ok(pruned)
    }
}

step!(Outcome, PruneOld, PruneMany);
