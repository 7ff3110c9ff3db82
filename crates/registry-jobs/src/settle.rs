//! Noting what came of an attempt.

use std::time::Duration;

use registry_database::{
    Database, Error, Fault, Followed, Operation, Session, Step, clock::millis, params, step,
};

use crate::{ERROR_BYTES_MAX, Fate, Job, Policy, Settled, Verdict, handler::Note, handler::jittered, sql};

/// An attempt that has ended.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) job: Job,
    pub(crate) fate: Fate,
    /// Why it failed, if it did.
    pub(crate) error: String,
    /// The node that has the lane.
    pub(crate) node: String,
    /// What is new about the lane, if anything is.
    pub(crate) lane: Option<LaneFailures>,
}

/// How often attempts in a lane failed in a row, and for how long no job is begun there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LaneFailures {
    pub(crate) failures: u32,
    pub(crate) pause: Duration,
}

/// What becomes of a job, and why it failed.
pub(crate) fn fate(job: &Job, verdict: Verdict, policy: &Policy) -> (Fate, String) {
    match verdict {
        Verdict::Done => (Fate::Done, String::new()),
        Verdict::Dead { error } => (Fate::Dead, cut(error)),
        Verdict::Retry { error, .. } if job.attempts + 1 >= policy.attempts_max => (Fate::Dead, cut(error)),
        Verdict::Retry { after, error } => {
            let after = after.unwrap_or_else(|| jittered(policy.backoff.after(job.attempts + 1)));
            (Fate::Again { after }, cut(error))
        }
    }
}

/// An error as it is kept. PostgreSQL takes no NUL.
fn cut(error: String) -> String {
    let end = (0..=ERROR_BYTES_MAX.min(error.len())).rev().find(|end| error.is_char_boundary(*end));
    error[..end.unwrap_or_default()].replace('\0', "")
}

/// Notes it, with a step of the handler. Says whether the job was still there: a node that has lost a lane may come late. What a power
/// cut takes back is found out by another attempt, as after an attempt whose node died.
pub(crate) async fn settle(database: &Database, ended: Ended, note: Option<Note>) -> Result<bool, Error> {
    let step = Followed { first: Settle, next: note };
    let operation = Operation::from("note what became of a job").of_process();
    Ok(database.write(operation, step, ended).await?.is_some())
}

struct Settle;

impl Step for Settle {
    type Of = Ended;
    type Output = Option<Settled>;

    async fn run<S: Session>(&self, session: &S, ended: &Ended) -> Result<Option<Settled>, Fault> {
        let Ended { job, fate, error, node, lane } = ended;
        let attempts = job.attempts + 1;
        if !note(session, job, fate, error).await? {
            return Ok(None);
        }
        if let Some(lane) = lane {
            let values = params![i64::from(lane.failures), millis(lane.pause), &job.kind, &job.lane, node];
            session.execute(sql::SET_FAILURES, values).await?;
        }
        Ok(Some(Settled { job: job.id, attempts, fate: fate.clone() }))
    }
}

/// Notes what becomes of a job, if it still waits and another node has not noted as many failures of it.
async fn note(session: &impl Session, job: &Job, fate: &Fate, error: &String) -> Result<bool, Fault> {
    if *fate == Fate::Done {
        return Ok(session.execute(sql::DONE, params![job.id]).await? > 0);
    }
    if session.one::<i64>(sql::LOCK_WAITING, params![job.id]).await?.is_none() {
        return Ok(false);
    }
    match fate {
        Fate::Again { after } => {
            let attempts = i64::from(job.attempts) + 1;
            let values = params![job.id, &job.kind, &job.lane, attempts, millis(*after), error];
            return Ok(session.execute(sql::TRY_AGAIN, values).await? > 0);
        }
        _ => {
            session.execute(sql::DIE, params![error, job.id]).await?;
            session.execute(sql::FORGET_TRIES, params![job.id]).await?;
        }
    }
    Ok(true)
}

step!(Settle);
