//! Numbers of repositories that are gone.

use registry_database::{Fault, Session, Step, params, signed, step};

use crate::{WebhookId, sql};

/// A row of numbers: a webhook, and a repository.
pub(crate) type Numbered = (WebhookId, i64);

/// The rows after one, at most so many, and without those of events that are about no repository.
pub(crate) struct SequencesAfter;

impl Step for SequencesAfter {
    type Of = (Numbered, usize);
    type Output = Vec<Numbered>;

    async fn run<S: Session>(&self, session: &S, (after, limit): &Self::Of) -> Result<Vec<Numbered>, Fault> {
        session.all(sql::SEQUENCES_AFTER, params![after.0, after.1, signed(*limit)]).await
    }
}

/// The repositories of which events are still to be told; none, if there are too many events to look at.
pub(crate) struct Awaited;

impl Step for Awaited {
    type Of = ();
    type Output = Option<std::collections::BTreeSet<i64>>;

    async fn run<S: Session>(&self, session: &S, (): &()) -> Result<Self::Output, Fault> {
        registry_events::repositories(session).await
    }
}

/// Forgets rows.
pub(crate) struct ForgetSequences;

impl Step for ForgetSequences {
    type Of = Vec<Numbered>;
    type Output = ();

    async fn run<S: Session>(&self, session: &S, gone: &Vec<Numbered>) -> Result<(), Fault> {
        let rows: Vec<_> =
            gone.iter().map(|(webhook, repository)| [(*webhook).into(), (*repository).into()]).collect();
        session.execute_many(sql::FORGET_SEQUENCE, &rows).await.map(drop)
    }
}

step!(SequencesAfter, Awaited, ForgetSequences);
