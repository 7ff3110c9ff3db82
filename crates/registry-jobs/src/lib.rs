//! Work that was asked for once: a delivery to a receiver, a mail. What recurs is no job, since it never dies.
//!
//! A transaction asks for a job with [`enqueue`]. Each node runs [`Jobs`] with a [`Handler`] for each kind, which tries jobs and
//! says what came of it: done, to be tried again, dead. A *lane* is what jobs wait for each other in, usually the receiver.
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use async_trait::async_trait;
//! use registry_database::{Database, Fault, Migration, Owners, Schema, Session, Sqlite, Step, SystemClock, step};
//! use registry_jobs::{Attempted, Backoff, Handler, Job, Jobs, JobsOptions, NewJob, Policy, Verdict, enqueue};
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
//! /// Asks for a mail; what else the transaction does belongs here.
//! struct Ask;
//!
//! impl Step for Ask {
//!     type Of = String;
//!     type Output = ();
//!
//!     async fn run<S: Session>(&self, session: &S, address: &String) -> Result<(), Fault> {
//!         enqueue(session, &[NewJob { kind: "mail", lane: "example.com", subject: address }]).await
//!     }
//! }
//!
//! step!(Ask);
//!
//! /// Sends mails.
//! struct Mail(tokio::sync::mpsc::Sender<String>);
//!
//! #[async_trait]
//! impl Handler for Mail {
//!     fn kind(&self) -> &'static str {
//!         "mail"
//!     }
//!
//!     fn policy(&self, _lane: &str) -> Policy {
//!         let (first, longest) = (Duration::from_secs(5), Duration::from_secs(60 * 60));
//!         let backoff = Backoff { first, factor: 4, longest };
//!         Policy { attempts_max: 8, backoff, attempt_within: Duration::from_secs(30) }
//!     }
//!
//!     async fn run(&self, job: &Job) -> Attempted {
//!         match self.0.send(job.subject.clone()).await {
//!             Ok(()) => Verdict::Done.into(),
//!             Err(error) => Verdict::Retry { after: None, error: error.to_string() }.into(),
//!         }
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! # const OWNERS: Owners = Owners::new(&[&STORE, &registry_jobs::SCHEMA, &registry_database::SCHEMA]);
//! let database = Database::Sqlite(Arc::new(Sqlite::open_in_memory(&OWNERS, Arc::new(SystemClock))?));
//! let (sender, mut sent) = tokio::sync::mpsc::channel(1);
//! let jobs = Jobs::new(database.clone(), vec![Arc::new(Mail(sender))], JobsOptions::default());
//! database.write("ask for a mail", Ask, "ada@example.com".to_owned()).await?;
//! jobs.wake();
//! jobs.run(async { assert_eq!(sent.recv().await.as_deref(), Some("ada@example.com")) }).await;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! # Promises
//!
//! - **Asked for once, done at least once.** A job is there if and only if its transaction is committed. A node that dies leaves
//!   its jobs to other nodes, which can not know how far it came: a message to a receiver has an id by which the receiver knows it again.
//! - **In order.** One node at a time works on a lane, for a lease that it renews; before each attempt it asks its own clock
//!   whether it still has the lane. Jobs that were never tried are begun one after the other, in the order of their numbers. A
//!   job that failed is tried again beside them when it is due, at most [`AGAIN_MAX`] at once.
//! - **What fails takes nothing from others.** After [`FAILURES_BEFORE_PAUSE`] failures in a row no new job is begun in the lane for
//!   a while, of [`PAUSE_MAX`] at most. Lanes that fail have a quarter of a node's slots.
//! - **What became of it is one transaction** with the [`Note`] of the handler. It survives a process that is killed; a power cut may
//!   take back the last of these transactions, and their jobs are done once more.
//! - **Work leaves the database to others.** Lanes of a node write what became of their jobs at the same moments, and then for twice as
//!   long as that took nothing, 2 to 50 ms.
//! - **Dead jobs are kept** for [`DEAD_KEPT`], and [`DEAD_MAX`] of a kind: to be [listed](list_dead), [replayed](replay) or
//!   [discarded](discard).
//! - **After the loss of a disk** what waited is there, if there is a journal, and is tried as if it were new.
//!
//! # Modules
//!
//! | Module | What |
//! |---|---|
//! | `job` | [`NewJob`], [`enqueue`], [`Job`] |
//! | `handler` | [`Handler`], [`Policy`], [`Verdict`] |
//! | `jobs` | [`Jobs`]: the loop of a node, which takes lanes |
//! | `lanes`, `lane` | which node has which lane, and its turn there |
//! | `attempt`, `settle` | an attempt, and noting what became of it |
//! | `slots` | how much is done at once |
//! | `dead` | jobs that are not tried any more |
//! | `inspector` | [`Inspector`]: jobs of every kind, for an operator that looks after them |
//! | `numbers` | how jobs are doing, for metrics |
//! | `schema`, `sql` | tables and statements |

#![forbid(unsafe_code)]

mod attempt;
mod dead;
mod handler;
mod inspector;
mod job;
mod jobs;
mod lane;
mod lanes;
mod numbers;
mod schema;
mod settle;
mod slots;
mod sql;
#[cfg(test)]
mod tests;

pub use dead::{DEAD_KEPT, DEAD_MAX, DeadJob, DeadPosition, LISTED_MAX, discard, list_dead, replay};
pub use handler::{Attempted, Backoff, Fate, Handler, Note, Policy, Settled, Verdict};
pub use inspector::{Inspector, KindNumbers, ListedJob, Listing};
pub use job::{
    DISCARDED_MAX, ERROR_BYTES_MAX, EnqueueError, Job, NAME_BYTES_MAX, NewJob, SUBJECT_BYTES_MAX, depth,
    discard_lane, enqueue, hasten_lane,
};
pub use jobs::{Jobs, JobsOptions};
pub use lane::{AGAIN_MAX, FAILURES_BEFORE_PAUSE, PAUSE_MAX};
pub use numbers::{Numbers, WAITING_COUNTED_MAX};
pub use schema::SCHEMA;
