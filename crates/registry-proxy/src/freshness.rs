//! When which tag was looked at upstream. A node remembers it for itself: what is served is read from the database always, and a
//! node that has forgotten it asks once more.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use registry_api::Freshness;
use registry_types::RepositoryName;

/// How many tags, and manifests that are being fetched, are remembered.
const ENTRIES_MAX: usize = 100_000;

/// How long something that upstream does not have is not asked for again.
pub(crate) const ABSENT_FOR: Duration = Duration::from_secs(5);

/// What is known of each tag or digest of each repository. One request at a time looks upstream for it; the others wait, and take what it
/// found.
#[derive(Debug, Default)]
pub(crate) struct Looks(Mutex<HashMap<(RepositoryName, String), Arc<Look>>>);

/// What is known of one.
pub(crate) type Look = tokio::sync::Mutex<Known>;

#[derive(Debug, Default)]
pub(crate) struct Known {
    found: Option<(Instant, Found)>,
    /// Since when upstream answers that there is no such thing.
    pub(crate) absent_since: Option<Instant>,
}

/// What a look found.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    Is(Freshness),
    /// It failed, and nothing is here: why.
    Failed(String),
}

impl Looks {
    pub(crate) fn of(&self, repository: &RepositoryName, reference: String) -> Arc<Look> {
        let mut looks = self.0.lock();
        if looks.len() >= ENTRIES_MAX {
            looks.retain(|_, look| Arc::strong_count(look) > 1);
        }
        looks.entry((repository.clone(), reference)).or_default().clone()
    }
}

impl Known {
    /// What was found last, if that still counts.
    pub(crate) fn current(&self, freshness: Duration) -> Option<Found> {
        let (at, found) = self.found.as_ref()?;
        let counts_for = match found {
            Found::Is(Freshness::Absent) | Found::Failed(_) => ABSENT_FOR.min(freshness),
            Found::Is(_) => freshness,
        };
        (at.elapsed() < counts_for).then(|| found.clone())
    }

    pub(crate) fn put(&mut self, found: Found) {
        self.found = Some((Instant::now(), found));
    }
}
