//! What every [`MetadataStore`] must do, as tests that an implementation runs over itself.
//!
//! An implementation writes a [`Backend`], which opens an empty database, and calls [`all`]. Each case panics where the
//! implementation breaks a promise. Cases look at tables with [`Probe::rows`], since what a collector will do, and when,
//! is told by rows and not by answers.

#![allow(clippy::unwrap_used, reason = "a suite of assertions: what fails is to panic")]

mod audit;
mod blobs;
mod catalog;
mod collecting;
mod deletes;
mod fixture;
mod held;
mod immutable;
mod leases;
mod manifests;
mod poison;
mod quotas;
mod races;
mod referrers;
mod restoring;
mod retention;
mod store;
mod tags;
mod uploads;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::{MetadataStore, Options};

use self::fixture::Fixture;
pub use self::{
    audit::all as audit, blobs::all as blobs, catalog::all as catalog, collecting::all as collecting,
    deletes::all as deletes, held::all as held, immutable::all as immutable, leases::all as leases,
    manifests::all as manifests, poison::all as poison, quotas::all as quotas, races::all as races,
    referrers::all as referrers, restoring::all as restoring, retention::all as retention,
    store::all as store, tags::all as tags, uploads::all as uploads,
};

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

/// The whole suite.
pub async fn all(backend: &dyn Backend) {
    store(backend).await;
    uploads(backend).await;
    blobs(backend).await;
    manifests(backend).await;
    tags(backend).await;
    catalog(backend).await;
    referrers(backend).await;
    deletes(backend).await;
    leases(backend).await;
    races(backend).await;
    collecting(backend).await;
    audit(backend).await;
    restoring(backend).await;
    retention(backend).await;
    quotas(backend).await;
    held(backend).await;
    immutable(backend).await;
    poison(backend).await;
}

/// Opens a database with the options that most cases want.
async fn open(backend: &dyn Backend) -> Fixture {
    Fixture::new(backend, Options::default()).await
}
