//! Retention: which images of a repository are kept, and which go.
//!
//! An image is a tag with what it leads to, or a manifest that nothing refers to; either stands for all that hangs on it. What
//! becomes of one is decided by the rules of all policies that are about its repository, from what the database tells of it
//! and from the database's clock: `evaluate`, which does no I/O. `run` reads a repository page by page, twice if a rule counts:
//! first for which are the newest, then for the verdicts. It holds one page, and for each rule that counts no more than it
//! counts. What goes, goes in a transaction that looks once more.
//!
//! | Module | What |
//! |---|---|
//! | `evaluate` | verdicts |
//! | `newest` | the newest of many, in bounded memory |
//! | `run` | [`Retention`]: a preview, or the same and deleting |
//! | [`import`] | policies of other registries as ours |

mod evaluate;
pub mod import;
mod newest;
mod run;

pub use evaluate::{Verdict, Why};
pub use run::{ACTOR, Judged, Outcome, Retention, RetentionReport};
