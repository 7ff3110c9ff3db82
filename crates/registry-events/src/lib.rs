//! What happens in a container registry, as rows of its database: a log that consumers read in one order, each at its own pace.
//!
//! An event is written by [`record`] in the transaction of what it tells of: it is there if and only if the change is. Afterwards
//! one node at a time gives events their [positions](Order). A consumer [takes](take) what comes after its own position in the
//! transaction that keeps what it makes of it. What all consumers have taken [goes](Prune). Each node runs [`watch`], which does
//! the last two, and tells the [`Recorder`] whether there is a consumer at all.
//!
//! The crate works on a [`Database`](registry_database::Database) of either engine, and has an owner's [`SCHEMA`]. It knows
//! nothing of what events tell of: metadata, accounts and builds record them, webhooks and builds take them.
//!
//! ```
//! use std::sync::Arc;
//! use registry_database::{Database, Fault, Migration, Owners, Schema, Session, Sqlite, Step, SystemClock, step};
//! use registry_events::{Event, Kind, NewEvent, Order, Recorder, add_consumer, record, take};
//! use registry_types::Cause;
//!
//! # const STORE: Schema = Schema {
//! #     owner: "store",
//! #     migrations: &[Migration {
//! #         number: 1,
//! #         oldest_binary: 1,
//! #         sql: "CREATE TABLE store (one BIGINT PRIMARY KEY, format BIGINT NOT NULL, oldest_binary BIGINT NOT NULL,
//! #             created_at BIGINT NOT NULL);",
//! #     }],
//! #     volatile: &[],
//! #     content: &[],
//! # };
//! /// Moves a tag; what is changed besides belongs here.
//! struct MoveTag(Recorder);
//!
//! impl Step for MoveTag {
//!     type Of = String;
//!     type Output = ();
//!
//!     async fn run<S: Session>(&self, session: &S, tag: &String) -> Result<(), Fault> {
//!         let cause = Cause::by("ada");
//!         let moved = NewEvent::in_repository(Kind::TagMoved, 7, "acme/app", &cause);
//!         record(session, &self.0, &[NewEvent { tag: Some(tag.as_str()), ..moved }]).await
//!     }
//! }
//!
//! /// Adds a consumer.
//! struct Listen;
//!
//! impl Step for Listen {
//!     type Of = ();
//!     type Output = ();
//!
//!     async fn run<S: Session>(&self, session: &S, (): &()) -> Result<(), Fault> {
//!         add_consumer(session, "mail").await
//!     }
//! }
//!
//! /// Takes events; what is made of them is written here.
//! struct Feed;
//!
//! impl Step for Feed {
//!     type Of = ();
//!     type Output = Vec<Event>;
//!
//!     async fn run<S: Session>(&self, session: &S, (): &()) -> Result<Vec<Event>, Fault> {
//!         take(session, "mail", 100).await
//!     }
//! }
//!
//! step!(MoveTag, Listen, Feed);
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! # const OWNERS: Owners = Owners::new(&[&STORE, &registry_events::SCHEMA, &registry_database::SCHEMA]);
//! let database = Database::Sqlite(Arc::new(Sqlite::open_in_memory(&OWNERS, Arc::new(SystemClock))?));
//! let recorder = Recorder::new(); // … `tokio::spawn(registry_events::watch(database.clone(), recorder.clone()))` …
//! database.write("add a consumer", Listen, ()).await?;
//! database.write("move a tag", MoveTag(recorder.clone()), "latest".to_owned()).await?;
//! recorder.committed(); // wakes what gives positions
//! # database.write("order events", Order, ()).await?;
//! let events = database.write("take events", Feed, ()).await?;
//! assert_eq!((events[0].kind, events[0].tag.as_deref()), (Kind::TagMoved, Some("latest")));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! # Promises
//!
//! - **With the change or not at all.** An event has the transaction, the durability and the journal of what it tells of.
//! - **In order.** All consumers see one order. Events of one thing, such as a tag, stand in it as their transactions held the
//!   thing's lock. An event of a transaction that ends late stands late, and is missed by none.
//! - **Once.** A consumer that keeps what it makes of events in the transaction that takes them has each of them once.
//! - **Free where nothing listens.** While there is no consumer, [`record`] is one atomic load. A consumer that another process adds is
//!   known within [`KNOWN_WITHIN`]; what happens until then may not be told. So a program that says that it added one waits so long.
//! - **Bounded.** A consumer that lags by more than [`EVENTS_KEPT_MAX`] events or [`EVENTS_AGE_MAX`] is moved on, and told how many
//!   events it lost: in its row, in the log, and in [`Numbers`].
//!
//! # Modules
//!
//! | Module | What |
//! |---|---|
//! | `event` | [`NewEvent`], [`Event`] |
//! | `recorder` | [`Recorder`], [`record`] |
//! | `order` | positions |
//! | `consumers` | [`add_consumer`], [`take`], [`remove_consumer`] |
//! | `prune` | what goes, and the bounds |
//! | `watch` | what each node does all the time |
//! | `numbers` | how events are doing, for metrics |
//! | `schema`, `sql` | tables and statements |

#![forbid(unsafe_code)]

mod consumers;
mod event;
mod numbers;
mod order;
mod prune;
mod recorder;
mod schema;
mod sql;
mod steps;
#[cfg(test)]
mod tests;
mod watch;

pub use consumers::{
    AddConsumerError, CONSUMER_NAME_BYTES_MAX, CONSUMERS_MAX, LOOKED_AT_MAX, TAKEN_MAX, add_consumer, behind,
    remove_consumer, repositories, take,
};
pub use event::{Event, NewEvent};
pub use numbers::{ConsumerNumbers, Numbers, WAITING_COUNTED_MAX};
pub use order::{ORDERED_MAX, Order, Ordered};
pub use prune::{Bounds, EVENTS_AGE_MAX, EVENTS_KEPT_MAX, PRUNED_MAX, Prune, Pruned};
pub use recorder::{Recorder, deferred, record};
pub use registry_types::{EventKind as Kind, ParseEventKindError};
pub use schema::SCHEMA;
pub use watch::{KNOWN_WITHIN, keep_informed, watch};

/// The statements of PostgreSQL that [`record`] sends, to be [ready](registry_database::Session::ready) before they are sent with others.
pub const STATEMENTS: &[&str] = &[sql::RECORD.postgres];
