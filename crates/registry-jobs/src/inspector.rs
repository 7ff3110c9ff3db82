//! Jobs as a person looks after them, beside the nodes that do them.

use registry_database::{AnyStep, Database, Error, Fault, FromRow, Row, Session, Step, params, signed, step};

use crate::{DISCARDED_MAX, LISTED_MAX, SCHEMA, WAITING_COUNTED_MAX, discard, list_dead, replay, sql};

/// Shows jobs of every kind, and replays or discards those that are dead. Does none itself.
#[derive(Clone, Debug)]
pub struct Inspector(Database);

/// Which jobs are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Only this kind.
    pub kind: Option<String>,
    /// Only dead jobs.
    pub only_dead: bool,
    /// At most so many, and [`LISTED_MAX`].
    pub limit: usize,
}

/// A job as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedJob {
    /// Its number.
    pub id: i64,
    /// What kind of work.
    pub kind: String,
    /// Its lane.
    pub lane: String,
    /// What the handler is told.
    pub subject: String,
    /// When it was asked for, in milliseconds since 1970 UTC.
    pub created_at_ms: i64,
    /// How many attempts failed; none of a dead job, of which that is not kept.
    pub attempts: Option<u64>,
    /// When it is tried again, if it failed and waits.
    pub due_at_ms: Option<i64>,
    /// When it was given up, if it is dead.
    pub ended_at_ms: Option<i64>,
    /// Why the last attempt failed, if one did.
    pub error: Option<String>,
}

/// How many jobs there are of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindNumbers {
    /// The kind.
    pub kind: String,
    /// How many wait, counted up to [`WAITING_COUNTED_MAX`].
    pub waiting: u64,
    /// How many are dead.
    pub dead: u64,
}

impl ListedJob {
    /// Whether it is not tried any more.
    pub fn is_dead(&self) -> bool {
        self.ended_at_ms.is_some()
    }
}

impl FromRow for ListedJob {
    fn from_row(row: &Row<'_>) -> Result<ListedJob, Fault> {
        Ok(ListedJob {
            id: row.get(0)?,
            kind: String::new(),
            lane: row.get(1)?,
            subject: row.get(2)?,
            created_at_ms: row.get(3)?,
            attempts: Some(row.get::<Option<u64>>(4)?.unwrap_or(0)),
            due_at_ms: row.get(5)?,
            ended_at_ms: None,
            error: row.get(6)?,
        })
    }
}

impl Inspector {
    /// Of the jobs in this database.
    pub fn of(database: Database) -> Inspector {
        Inspector(database)
    }

    /// Jobs: first the dead ones of each kind, the one that ended last first; then those that wait, by kind and lane in the order of
    /// their turns.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list(&self, listing: Listing) -> Result<Vec<ListedJob>, Error> {
        self.read("list jobs", List, listing).await
    }

    /// How many jobs there are of each kind of which there is one.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn numbers(&self) -> Result<Vec<KindNumbers>, Error> {
        self.read("count jobs", Count, ()).await
    }

    /// Has a dead job tried again, as if it were new. Says whether there is one of this number.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn replay(&self, id: i64) -> Result<bool, Error> {
        self.change("replay a job", Replay, id).await
    }

    /// Removes a dead job. Says whether there was one of this number.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn discard(&self, id: i64) -> Result<bool, Error> {
        self.change("discard a job", Discard, id).await
    }

    /// Removes all dead jobs of a kind, up to [`DISCARDED_MAX`] in a transaction. Says how many. Dropped, it has removed some.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn discard_all(&self, kind: &str) -> Result<u64, Error> {
        let mut all = 0;
        loop {
            let some = self.change("discard jobs", DiscardKind, kind.to_owned()).await?;
            all += some;
            if some < DISCARDED_MAX as u64 {
                return Ok(all);
            }
        }
    }

    /// What is read; nothing where no program has asked for a job yet.
    async fn read<T: AnyStep>(&self, operation: &'static str, step: T, of: T::Of) -> Result<T::Output, Error>
    where
        T::Of: Send + 'static,
        T::Output: Default,
    {
        match self.has_jobs().await? {
            true => self.0.read(operation, step, of).await,
            false => Ok(T::Output::default()),
        }
    }

    async fn change<T: AnyStep>(
        &self,
        operation: &'static str,
        step: T,
        of: T::Of,
    ) -> Result<T::Output, Error>
    where
        T::Of: Send + 'static,
        T::Output: Default,
    {
        match self.has_jobs().await? {
            true => self.0.write(operation, step, of).await,
            false => Ok(T::Output::default()),
        }
    }

    async fn has_jobs(&self) -> Result<bool, Error> {
        let is_there = self.0.has_owner(SCHEMA.owner).await;
        is_there.map_err(|error| Error::Unavailable {
            operation: "look for the tables of jobs",
            source: error.into(),
        })
    }
}

struct List;

impl Step for List {
    type Of = Listing;
    type Output = Vec<ListedJob>;

    async fn run<S: Session>(&self, session: &S, listing: &Listing) -> Result<Vec<ListedJob>, Fault> {
        let limit = listing.limit.min(LISTED_MAX);
        let kinds = match &listing.kind {
            Some(kind) => vec![kind.clone()],
            None => kinds(session).await?,
        };
        let mut all = Vec::new();
        for kind in &kinds {
            all.extend(dead(session, kind, limit - all.len()).await?);
        }
        for kind in kinds.iter().filter(|_| !listing.only_dead) {
            let values = params![kind, "", 0_i64, signed(limit - all.len())];
            let waiting: Vec<ListedJob> = session.all(sql::WAITING, values).await?;
            all.extend(waiting.into_iter().map(|job| ListedJob { kind: kind.clone(), ..job }));
        }
        Ok(all)
    }
}

async fn kinds(session: &impl Session) -> Result<Vec<String>, Fault> {
    let mut kinds: Vec<String> = session.all(sql::KINDS, params![]).await?;
    kinds.sort_unstable();
    Ok(kinds)
}

async fn dead(session: &impl Session, kind: &str, limit: usize) -> Result<Vec<ListedJob>, Fault> {
    let dead = list_dead(session, kind, None, limit).await?;
    let listed = dead.into_iter().map(|job| ListedJob {
        id: job.id,
        kind: kind.to_owned(),
        lane: job.lane,
        subject: job.subject,
        created_at_ms: job.created_at_ms,
        attempts: None,
        due_at_ms: None,
        ended_at_ms: Some(job.ended_at_ms),
        error: Some(job.error),
    });
    Ok(listed.collect())
}

struct Count;

impl Step for Count {
    type Of = ();
    type Output = Vec<KindNumbers>;

    async fn run<S: Session>(&self, session: &S, (): &()) -> Result<Vec<KindNumbers>, Fault> {
        let mut all = Vec::new();
        for kind in kinds(session).await? {
            let counted = params![&kind, signed(WAITING_COUNTED_MAX)];
            let waiting = session.one(sql::COUNT_WAITING, counted).await?.unwrap_or(0);
            let dead = session.one(sql::COUNT_DEAD, params![&kind]).await?.unwrap_or(0);
            all.push(KindNumbers { kind, waiting, dead });
        }
        Ok(all)
    }
}

struct Replay;

impl Step for Replay {
    type Of = i64;
    type Output = bool;

    async fn run<S: Session>(&self, session: &S, id: &i64) -> Result<bool, Fault> {
        replay(session, *id).await
    }
}

struct Discard;

impl Step for Discard {
    type Of = i64;
    type Output = bool;

    async fn run<S: Session>(&self, session: &S, id: &i64) -> Result<bool, Fault> {
        discard(session, *id).await
    }
}

struct DiscardKind;

impl Step for DiscardKind {
    type Of = String;
    type Output = u64;

    async fn run<S: Session>(&self, session: &S, kind: &String) -> Result<u64, Fault> {
        session.execute(sql::DISCARD_DEAD, params![kind]).await
    }
}

step!(List, Count, Replay, Discard, DiscardKind);
