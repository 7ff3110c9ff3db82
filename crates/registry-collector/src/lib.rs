//! Gives back what a container registry does not need any more, beside pushes and pulls.
//!
//! [`Collector::collect`] works in two steps, and a row stands between them, so that a crash at any moment is finished by
//! whoever comes next:
//!
//! 1. **Rows.** Whatever may have become garbage is on a queue, with the time from which on it may go. For each whose time
//!    has come the [`MetadataStore`](registry_metadata::MetadataStore) looks again, in one short transaction: is it
//!    referenced, was it promised to somebody? If not, its row goes, and what depended on it is set down in turn. With the
//!    last row of an object its bytes are set down to be reclaimed.
//! 2. **Bytes.** What was set down, and for longer than a running read lasts, is deleted from the
//!    [`BlobStore`](registry_storage::BlobStore); then it is crossed out. Keys are never reused, so a deletion that is late
//!    or repeated hits only garbage.
//!
//! ```
//! use std::sync::Arc;
//! use registry_collector::{Collector, CollectorOptions};
//! use registry_metadata::{Options, SqliteStore, SystemClock};
//! use registry_storage::MemoryStore;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! let metadata = Arc::new(SqliteStore::open_in_memory(Options::default(), Arc::new(SystemClock))?);
//! let collector = Collector::new(metadata, Arc::new(MemoryStore::new()), CollectorOptions::default());
//! let report = collector.collect(&()).await;
//! assert!(report.is_complete());
//! println!("{report}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! What it is not: it decides nothing about references and leases by itself, and knows no SQL and no HTTP.
//!
//! | Module | What |
//! |---|---|
//! | `collector` | [`Collector`]: the two steps |
//! | `reclaim` | the second one |
//! | `mark` | whether the database is the one that the store has seen last |
//! | `sweep` | [`Sweep`]: bytes to which no row leads |
//! | `fsck`, `hash` | [`Fsck`]: rows against bytes, and bytes against digests |
//! | `labels` | images that say when their tags expire |
//! | `pace` | [`Pace`]: so much a second |
//! | `report` | [`Report`]: what went, and why the rest stayed |
//! | [`retention`] | which images are kept and which go, by policies |
//! | `watch` | [`Watch`]: is told of each thing when it happens |

#![forbid(unsafe_code)]

mod collector;
mod fsck;
mod hash;
mod labels;
mod mark;
mod pace;
mod reclaim;
mod report;
pub mod retention;
mod sweep;
mod watch;

pub use collector::{Collector, CollectorOptions};
pub use fsck::{Finding, Fsck, FsckOptions, FsckReport, Problem};
pub use mark::MarkError;
pub use pace::Pace;
pub use report::{ITEMS_MAX, Item, Report};
pub use sweep::{Sweep, SweepOptions, SweepReport};
pub use watch::Watch;
