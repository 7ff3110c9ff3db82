//! What every [`MetadataStore`] must do, as tests that an implementation runs over itself.
//!
//! An implementation writes a [`Backend`], which opens an empty database, and calls [`all`]. Each case panics where the
//! implementation breaks a promise. Cases look at tables with [`Probe::rows`], since what a collector will do, and when,
//! is told by rows and not by answers.

#![allow(clippy::unwrap_used, reason = "a suite of assertions: what fails is to panic")]

mod adopting;
mod audit;
mod blobs;
mod catalog;
mod collecting;
mod deleted;
mod deletes;
mod emptied;
mod events;
mod fixture;
mod held;
mod immutable;
mod leases;
mod manifests;
mod namespaces;
mod poison;
mod previews;
mod quotas;
mod races;
mod referrers;
mod restoring;
mod retention;
mod steps;
mod store;
mod tags;
mod uploads;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use registry_database::Owners;

use crate::{MetadataStore, Options, SCHEMA};

use self::fixture::Fixture;
/// Makes databases to test.
#[async_trait]
pub trait Backend: Send + Sync {
    /// A new, empty database whose clock stands still.
    async fn open(&self, options: Options) -> Subject;
}

/// A database to test.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The store.
    pub store: Arc<dyn MetadataStore>,
    /// The same database as another process would have it open, if the implementation can; else the same store.
    pub other: Arc<dyn MetadataStore>,
    /// A look behind the trait.
    pub probe: Arc<dyn Probe>,
}

/// A look at a database behind the trait, and a hand on its clock.
#[async_trait]
pub trait Probe: Send + Sync + std::fmt::Debug {
    /// The rows that a statement gives, the columns of each joined by `|`; null is empty.
    async fn rows(&self, sql: &str) -> Vec<String>;

    /// Runs statements that change rows, as nothing of ours would.
    async fn run(&self, sql: &str);

    /// Moves the database's clock forward.
    async fn advance(&self, by: Duration);
}

/// Lists the parts of the suite, once: as functions, as the whole of it, and as tests.
macro_rules! parts {
    ($($part:ident),* $(,)?) => {
        pub use self::{$($part::all as $part),*};

        /// The whole suite.
        pub async fn all(backend: &dyn Backend) {
            $($part(backend).await;)*
        }

        /// Makes a test of each part over a backend.
        #[cfg(test)]
        macro_rules! contract_tests {
            ($backend:expr) => {
                $(
                    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                    async fn $part() {
                        crate::contract::$part(&$backend).await;
                    }
                )*
            };
        }
        #[cfg(test)]
        pub(crate) use contract_tests;
    };
}

parts!(
    store, uploads, blobs, manifests, namespaces, tags, catalog, referrers, deletes, leases, races,
    collecting, previews, emptied, audit, restoring, deleted, retention, quotas, held, immutable, poison,
    events, steps, adopting,
);

/// The owners of a database with events.
pub(crate) const OWNERS_WITH_EVENTS: Owners =
    Owners::new(&[&SCHEMA, &registry_events::SCHEMA, &registry_database::SCHEMA]);

/// Opens a database with the options that most cases want.
async fn open(backend: &dyn Backend) -> Fixture {
    Fixture::new(backend, Options::default()).await
}
