//! Which node works on which lane, and what is due there.

use std::time::Duration;

use registry_database::{Fault, Session, Step, clock::millis, params, signed, step};

use crate::{Job, job::Found, sql};

/// Lanes of a kind in which something is due and that no node works on: their names, and how often they failed in a row.
pub(crate) struct DueLanes {
    /// Those whose names are after this one.
    pub(crate) after: String,
    /// Those that fail, or those that do not.
    pub(crate) are_failing: bool,
    pub(crate) limit: usize,
}

impl Step for DueLanes {
    type Of = &'static str;
    type Output = Vec<(String, u64)>;

    async fn run<S: Session>(&self, session: &S, kind: &&'static str) -> Result<Vec<(String, u64)>, Fault> {
        let statement = if self.are_failing { sql::DUE_FAILING_LANES } else { sql::DUE_LANES };
        session.all(statement, params![*kind, &self.after, signed(self.limit)]).await
    }
}

/// A lane of a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LaneName {
    pub(crate) kind: &'static str,
    pub(crate) lane: String,
}

/// A lane, and the node that has it or wants it.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) name: LaneName,
    pub(crate) node: String,
}

/// Takes a lane for so long, or goes on with it. Says whether this node has it.
pub(crate) struct Take(pub(crate) Duration);

impl Step for Take {
    type Of = Claim;
    type Output = bool;

    async fn run<S: Session>(&self, session: &S, claim: &Claim) -> Result<bool, Fault> {
        let Claim { name, node } = claim;
        Ok(session.execute(sql::CLAIM, params![name.kind, &name.lane, node, millis(self.0)]).await? > 0)
    }
}

/// Gives a lane back.
pub(crate) struct GiveBack;

impl Step for GiveBack {
    type Of = Claim;
    type Output = ();

    async fn run<S: Session>(&self, session: &S, claim: &Claim) -> Result<(), Fault> {
        let values = params![claim.name.kind, &claim.name.lane, &claim.node];
        if session.execute(sql::FORGET_LANE, values).await? == 0 {
            session.execute(sql::GIVE_BACK, values).await?;
        }
        Ok(())
    }
}

/// What is due in a lane.
pub(crate) struct Due {
    /// Whether a job that was never tried is wanted.
    pub(crate) first: bool,
    /// How many of those that failed before are wanted.
    pub(crate) again: usize,
}

/// Jobs that are due.
#[derive(Debug, Default)]
pub(crate) struct DueJobs {
    pub(crate) first: Option<Job>,
    pub(crate) again: Vec<Job>,
}

impl Step for Due {
    type Of = LaneName;
    type Output = DueJobs;

    async fn run<S: Session>(&self, session: &S, name: &LaneName) -> Result<DueJobs, Fault> {
        let LaneName { kind, lane } = name;
        let first = async {
            match self.first {
                true => session.one::<Found>(sql::FIRST, params![*kind, lane]).await,
                false => Ok(None),
            }
        };
        let again =
            async { session.all::<Found>(sql::AGAIN, params![*kind, lane, signed(self.again)]).await };
        let (first, again) = tokio::join!(biased; first, again);
        Ok(DueJobs {
            first: first?.map(|found| found.in_lane(kind, lane)),
            again: again?.into_iter().map(|found| found.in_lane(kind, lane)).collect(),
        })
    }
}

step!(DueLanes, Take, GiveBack, Due);
