//! What happens to content, noted until the transaction ends and written then, with it.
//!
//! At the end all locks are held that a change needs. So of two transactions that change one tag, the one that comes later writes
//! its event later, too.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::atomic::{AtomicBool, Ordering},
};

use parking_lot::Mutex;
#[cfg(feature = "postgres")]
use registry_database::Deferred;
use registry_database::{Fault, Session, params};
use registry_digest::Digest;
#[cfg(feature = "postgres")]
use registry_events::deferred;
#[cfg(feature = "sqlite")]
use registry_events::record;
use registry_events::{Kind, NewEvent, Recorder};
use registry_types::{Cause, RepositoryName, Tag};

use crate::{Options, aside::former_name, sql::collecting as sql};

/// Something that happened in a repository.
#[derive(Clone, Debug)]
pub(crate) struct Happened {
    pub(crate) kind: Kind,
    pub(crate) repository: i64,
    pub(crate) tag: Option<String>,
    pub(crate) digest: Option<String>,
    pub(crate) digest_before: Option<String>,
    pub(crate) media_type: Option<String>,
    pub(crate) size_bytes: Option<u64>,
    pub(crate) cause: Cause,
}

impl Happened {
    pub(crate) fn in_repository(kind: Kind, repository: i64, cause: &Cause) -> Happened {
        Happened {
            kind,
            repository,
            tag: None,
            digest: None,
            digest_before: None,
            media_type: None,
            size_bytes: None,
            cause: cause.clone(),
        }
    }

    pub(crate) fn to_manifest(kind: Kind, repository: i64, digest: &Digest, cause: &Cause) -> Happened {
        let digest = Some(digest.to_string());
        Happened { digest, ..Happened::in_repository(kind, repository, cause) }
    }

    /// A tag leads to `digest` and no more to `before`.
    pub(crate) fn to_tag(
        kind: Kind,
        repository: i64,
        tag: &Tag,
        digest: Option<&Digest>,
        before: Option<&Digest>,
        cause: &Cause,
    ) -> Happened {
        Happened {
            tag: Some(tag.to_string()),
            digest: digest.map(Digest::to_string),
            digest_before: before.map(Digest::to_string),
            ..Happened::in_repository(kind, repository, cause)
        }
    }

    fn event<'a>(&'a self, name: &'a str) -> NewEvent<'a> {
        NewEvent {
            tag: self.tag.as_deref(),
            digest: self.digest.as_deref(),
            digest_before: self.digest_before.as_deref(),
            media_type: self.media_type.as_deref(),
            size_bytes: self.size_bytes,
            ..NewEvent::in_repository(self.kind, self.repository, name, &self.cause)
        }
    }
}

/// What happened in a transaction so far. Nothing is noted where nothing listens and no step asks.
#[derive(Debug)]
pub(crate) struct Events {
    is_wanted: AtomicBool,
    noted: Mutex<Noted>,
}

#[derive(Debug, Default)]
struct Noted {
    happened: Vec<Happened>,
    /// The names of repositories, as far as the transaction came across them.
    names: BTreeMap<i64, String>,
}

impl Events {
    pub(crate) fn new(options: &Options) -> Events {
        let is_wanted = options.recorder.is_wanted() || !options.steps.before_commit.is_empty();
        Events { is_wanted: AtomicBool::new(is_wanted), noted: Mutex::default() }
    }

    fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed)
    }

    /// Nothing of this transaction is told.
    pub(crate) fn mute(&self) {
        self.is_wanted.store(false, Ordering::Relaxed);
    }

    pub(crate) fn note(&self, happened: impl FnOnce() -> Happened) {
        if self.is_wanted() {
            self.noted.lock().happened.push(happened());
        }
    }

    /// This is the name of a repository in which something happens: it need not be looked for.
    pub(crate) fn name(&self, repository: i64, name: &RepositoryName) {
        if self.is_wanted() {
            self.noted.lock().names.insert(repository, name.to_string());
        }
    }

    /// Forgets what was noted.
    #[cfg(feature = "sqlite")]
    pub(crate) fn take(&self) {
        if self.is_wanted() {
            std::mem::take(&mut *self.noted.lock());
        }
    }

    /// What is to be written; after this nothing is noted. Of a repository that is deleted that has been told, and of what goes in
    /// it nothing is.
    pub(crate) async fn told(&self, session: &impl Session) -> Result<Told, Fault> {
        if !self.is_wanted() {
            return Ok(Told::default());
        }
        let Noted { mut happened, mut names } = std::mem::take(&mut *self.noted.lock());
        for event in &happened {
            if let Entry::Vacant(unknown) = names.entry(event.repository) {
                let name: Option<String> =
                    session.one(sql::REPOSITORY_NAME, params![event.repository]).await?;
                unknown.insert(name.unwrap_or_default());
            }
        }
        names.retain(|_, name| !name.is_empty() && former_name(name).is_none());
        happened.retain(|event| names.contains_key(&event.repository));
        Ok(Told { happened, names })
    }
}

/// The events of a transaction, to be written in it.
#[derive(Debug, Default)]
pub(crate) struct Told {
    happened: Vec<Happened>,
    /// The name of each repository.
    names: BTreeMap<i64, String>,
}

impl Told {
    pub(crate) fn is_empty(&self) -> bool {
        self.happened.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = NewEvent<'_>> {
        let name = |event: &Happened| self.names.get(&event.repository).map_or("", String::as_str);
        self.happened.iter().map(move |event| event.event(name(event)))
    }

    /// The events as statements that PostgreSQL gets with the commit.
    #[cfg(feature = "postgres")]
    pub(crate) fn deferred(&self, recorder: &Recorder) -> Vec<Deferred<'_>> {
        deferred(recorder, self.iter())
    }

    /// Writes the events, in the order in which they were noted.
    #[cfg(feature = "sqlite")]
    pub(crate) async fn write(&self, session: &impl Session, recorder: &Recorder) -> Result<(), Fault> {
        if self.is_empty() {
            return Ok(());
        }
        record(session, recorder, &self.iter().collect::<Vec<_>>()).await
    }
}
