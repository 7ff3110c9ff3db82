//! Everything that a container registry knows besides bytes: which repositories there are, what their tags lead to, which
//! manifests and blobs they have, where the bytes of a blob lie, which uploads are under way, and what may be deleted.
//!
//! [`MetadataStore`] is the trait, whose parts are traits for code that needs no more. `SqliteStore` (feature
//! `sqlite`, on by default) keeps it in one SQLite file, for one node; `PostgresStore` (feature
//! `postgres`) in a PostgreSQL database, for any number of them. What is *not* here: bytes (a
//! [`Blob`] says where they lie, and nobody here looks), HTTP, who may do what, and the collector. The collector works
//! on the tables that this crate keeps such that it can: see `schema` in the source for what each table is for.
//!
//! ```
//! # #[cfg(feature = "sqlite")]
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! use std::sync::Arc;
//! use registry_digest::{Algorithm, Digest};
//! use registry_metadata::{FinishUpload, NewUpload, Options, Purpose, SqliteStore, SystemClock, traits::*};
//! use registry_types::{Location, RepositoryName, UploadId};
//!
//! let store = SqliteStore::open_in_memory(Options::default(), Arc::new(SystemClock))?;
//! let (id, repository): (_, RepositoryName) = (UploadId::from_random([7; 16]), "team/app".parse()?);
//! let (location, algorithm) = (Location::of_upload(&id), Algorithm::Sha256);
//! store.start_upload(&NewUpload { id, repository: repository.clone(), location: location.clone(), algorithm }).await?;
//!
//! let claim = store.claim_upload(&repository, &id).await?; // nobody else writes to this upload now
//! let digest = Digest::of(algorithm, b"hello"); // … the bytes are written to `claim.location` and are durable …
//! let (epoch, replaces) = (claim.epoch, None);
//! store.finish_upload(&FinishUpload { repository: repository.clone(), id, epoch, digest, size_bytes: 5, replaces }).await?;
//! store.release_upload(&id, epoch);
//!
//! assert_eq!(store.blob(&repository, &digest, Purpose::Read).await?.unwrap().location, location);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! # Two promises, and why they hold
//!
//! **1. Integrity**: what an acknowledged manifest references in its repository is there until that manifest is deleted.
//!
//! A manifest goes in with a row for each blob and each manifest that it refers to, in one transaction. If the target is
//! in the repository, the row's foreign key holds it, and the database refuses to remove a row that a foreign key leads
//! to: not only this crate's code but also a collector, another version, or a person at a prompt is refused. The chain
//! goes on: the blob's link holds its digest, the digest its object, and an object's bytes are given up only in the
//! transaction that removes the object's row. If the target is not in the repository, which the pusher must have been
//! allowed, the row is kept by digest, and the transaction that brings the target in also sets the foreign key. No clock
//! has a part in any of this.
//!
//! Of two transactions that race, one puts a manifest that needs a blob and one removes the blob, the later one either
//! sees what the first one did, and answers that, or fails by the foreign key.
//!
//! **2. No surprise**: a client that was told that a blob or manifest exists has at least one
//! [lease](Options::lease) to push something that uses it.
//!
//! A collector takes nothing that is referenced and nothing whose `lease_until` is still to come. So it is enough that
//! whenever a client is told, the row is referenced or has a whole lease left:
//!
//! - An upload that is finished, a mount, and a push without a tag write a new lease of one and a half.
//! - [`Purpose::Promise`] of something unreferenced with less than one lease left writes a new lease, and answers only if
//!   that write hit a row.
//! - [`Purpose::Promise`] of something referenced writes nothing: hot base layers cost nothing. If the last reference
//!   goes right after the look, then the transaction that removes it writes a new lease, because *every* transaction
//!   that removes a reference does so for what nothing refers to afterwards. If that transaction came before the look,
//!   the look saw that lease.
//!
//! Whatever is granted a lease is put on `gc_queue` for the moment when it ends, and so is whatever else may have become
//! garbage; hence nothing is forgotten, though the queue itself protects nothing. The half lease above what is promised
//! lets clocks differ by as much, and spares a write for what is asked for all the time.
//!
//! A client's own deletes are no surprise: `DELETE` of a blob that nothing references removes it whatever its lease.
//!
//! # Two databases
//!
//! The databases themselves are `registry-database`'s. Here is what is in them.
//!
//! The schema, every statement that both understand, and the decisions about content are written once. The decisions are
//! `async` functions over a [`Session`](registry_database::Session): on SQLite they are done at their first poll, by the
//! thread that polls them; on PostgreSQL statements that need not wait for each other are one round trip. A statement has two
//! texts where it takes many values at once, or locks. Written by hand for each database is what a client waits for most: reads
//! with a promise, pushes of manifests, sessions of uploads and their claims.
//!
//! What differs is how two transactions that race are kept apart. SQLite has one writer, so there are none. PostgreSQL runs
//! them side by side as READ COMMITTED, where each statement sees what was committed when it began; there a transaction that
//! decides by what is there locks a row first and looks in a new statement. Nothing but rows is locked (and the counters of
//! quotas, once, when one is new), so that a PostgreSQL that is spread over machines can do it too. `sql/postgres.rs` says
//! which decision locks what, in which order, and against what. A transaction that loses, to a foreign key, a unique key, a deadlock, or a tag
//! that appeared between two looks, is run again from its start.
//!
//! # Events
//!
//! What happens to repositories, manifests and tags is told by [events](registry_events), where a consumer listens: the
//! [recorder](Options::recorder) says so, and the database has the tables ([`Options::owners`]). Each transaction notes what it does
//! and writes it at its end, with the [cause](registry_types::Cause) that its caller gave. A transaction that is refused, rolled back or
//! run again leaves no event of the earlier run.
//!
//! | Change | Events, in this order |
//! |---|---|
//! | [`put_manifest`](Content::put_manifest) | `repository.created`, if it had no manifest; `manifest.pushed`, also of what was there; `tag.moved` for each tag that led elsewhere or is new |
//! | [`delete_tag`](Content::delete_tag), and a tag that expires or that a policy lets go | `tag.deleted` |
//! | [`delete_manifest`](Content::delete_manifest), and a manifest that a collection removes | `manifest.deleted`, then `tag.deleted` for each of its tags |
//! | [`restore`](Trash::restore) | `manifest.restored` for each, what is listed before its index; `tag.restored` for each |
//! | [`set_tag`](Trash::set_tag) | `manifest.restored` as above; `tag.reverted`, if it led elsewhere |
//! | [`delete_repository`](Trash::delete_repository), [`restore_repository`](Trash::restore_repository) | `repository.deleted`, `repository.restored`; nothing of what is in it, also when that goes for good |
//!
//! # Modules
//!
//! | Module | What |
//! |---|---|
//! | `store` | [`MetadataStore`] and its parts: [`Content`], [`Uploads`], [`Trash`], [`Quotas`], [`Collecting`], [`Audit`], [`Adopting`], [`Identity`] |
//! | `record`, `adoption`, `collecting`, `audit`, `restoring`, `retention` | what goes in and comes out |
//! | `options` | leases and windows |
//! | `steps` | what other owners do in transactions of content |
//! | `quota` | what groups of repositories may hold, and how that is counted |
//! | `error`, `opening` | [`MetadataError`], [`OpenError`] |
//! | `schema` | the tables, which promise each of them keeps, migrations; all [`OWNERS`] |
//! | `sql` | every statement, written once for SQLite and PostgreSQL; `sql/sqlite` and `sql/postgres`, what only one of them understands |
//! | `dispatch` | which logic answers which method of both stores |
//! | `logic` | what is decided, one module for each noun, beside the module of `sql` with its statements |
//! | `sqlite` (feature) | `SqliteStore`: the thread that writes, claims, and what is tuned for it; with a journal, if one is asked for |
//! | `postgres` (feature) | `PostgresStore`: transactions of content, claims that nodes share, and what is tuned for it |
//! | `transfer` (both features) | from SQLite to PostgreSQL, compared row by row |
//! | `contract` (feature) | what every implementation must do, as tests to run over it |

#![forbid(unsafe_code)]
#![cfg_attr(
    not(any(feature = "sqlite", feature = "postgres")),
    allow(
        dead_code,
        unused_imports,
        unused_macros,
        reason = "the trait alone, for a store of an embedder's"
    )
)]

mod adoption;
mod aside;
mod audit;
mod collecting;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod dispatch;
mod error;
mod expiry;
mod facts;
mod logic;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod opening;
mod options;
#[cfg(feature = "postgres")]
pub mod postgres;
mod present;
mod push;
mod quota;
mod record;
mod restoring;
mod retention;
mod schema;
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;
mod steps;
mod store;
#[cfg(all(feature = "sqlite", feature = "postgres"))]
pub mod transfer;

pub use adoption::{AdoptedBlob, AdoptedManifest, AdoptedTag, Adoption, AdoptionState};
pub use audit::{ManifestPosition, StoredObject, UnknownObject};
pub use collecting::{
    Candidate, CandidateKind, CollectRules, Collected, EXPIRES_AFTER, Kept, Preview, QueuePosition, Verdict,
};
pub use error::{MetadataError, Result};
pub use expiry::EXPIRES_AFTER_MAX;
pub use facts::{FindRepository, RepositoryFacts};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use opening::OpenError;
pub use options::Options;
#[cfg(feature = "postgres")]
pub use postgres::PostgresStore;
pub use present::PresentRepositories;
pub use quota::{ByteSize, COUNTED_UNTOUCHED_MAX, QuotaExceeded, QuotaKind, QuotaUsage, UploadRoom, Usage};
pub use record::{
    Blob, ClaimedUpload, FinishUpload, FoundManifest, NewUpload, Purpose, PutManifest, Reclaim,
    StoredManifest, UploadStatus,
};
pub use registry_database::{Clock, SystemClock, clock};
#[cfg(feature = "postgres")]
pub use registry_database::{PoolOptions, PostgresOptions};
pub use registry_types::{ImmutableTags, Quota};
pub use restoring::{DeletedRepository, EndedWindows, Restored, TagChange, Trashed};
pub use retention::{Hold, Image, ImagePage, ImagePosition, PULLS_APART, Pull};
pub use schema::{OWNERS, SCHEMA};
#[cfg(feature = "sqlite")]
pub use sqlite::{JournalPlace, SqliteStore};
pub use steps::{Changes, GoneNamespace, GoneRepository, StepOf, Steps};
pub use store::{
    Adopting, Audit, Collecting, Content, Identity, MANIFESTS_BYTES_MAX, MetadataStore, Quotas,
    REFERRERS_BYTES_MAX, REFERRING_MAX, TAG_HISTORY_MAX, Trash, UPLOADS_MAX, Uploads,
};

/// All parts of a [`MetadataStore`], for code that calls their methods on a database of one kind.
pub mod traits {
    pub use crate::store::{
        Adopting, Audit, Collecting, Content, Identity, MetadataStore, Quotas, Trash, Uploads,
    };
}
