//! Decisions about content, written once for SQLite and PostgreSQL: `async fn`s over a [`Session`], each beside the module of
//! `sql` with its statements. What is tuned by hand for each database is in its own folder.
//!
//! A function that only reads takes a session, which is a connection or a transaction; one that changes something takes a
//! [`Tx`].

/// Asks for several statements together, one round trip on PostgreSQL; gives the answers, or the first failure: after it the
/// transaction is over, and other failures say only that.
macro_rules! pipeline {
    ($($statement:expr),+ $(,)?) => {
        registry_database::Answers::all(tokio::join!(biased; $(async { $statement.await }),+))
    };
}
#[cfg(feature = "postgres")]
pub(crate) use pipeline;

pub(crate) mod adoption;
pub(crate) mod audit;
pub(crate) mod blobs;
pub(crate) mod collect;
pub(crate) mod deleted;
pub(crate) mod empty;
pub(crate) mod ending;
pub(crate) mod events;
pub(crate) mod expiry;
pub(crate) mod manifests;
pub(crate) mod namespaces;
mod page;
pub(crate) mod quota;
pub(crate) mod reclaim;
pub(crate) mod repositories;
pub(crate) mod restore;
pub(crate) mod retention;
mod steps;
pub(crate) mod tags;
pub(crate) mod tuned;
pub(crate) mod undelete;

use std::{
    error::Error as StdError,
    ops::Deref,
    str::FromStr,
    sync::atomic::{AtomicBool, Ordering},
};

use registry_database::{Fault, FromRow, IfReadable, Param, Row, Session, Statement, Text};

use registry_digest::Digest;

use self::events::Events;
use crate::{Options, quota::Ledger};

/// What work is done with: a transaction, and what was configured.
pub(crate) struct Tx<'a, S> {
    pub(crate) session: &'a S,
    pub(crate) options: &'a Options,
    /// What it changes that quotas count.
    pub(crate) quota: Ledger,
    /// What happens in it that events tell.
    pub(crate) events: Events,
    takes_over: AtomicBool,
}

impl<'a, S> Tx<'a, S> {
    pub(crate) fn new(session: &'a S, options: &'a Options) -> Tx<'a, S> {
        let (quota, events) = (Ledger::new(options), Events::new(options));
        Tx { session, options, quota, events, takes_over: AtomicBool::new(false) }
    }

    /// Another registry decides what is here: adopted repositories may be changed, nothing is told or refused by a quota, and what
    /// goes can not be restored.
    pub(crate) fn take_over(&self) {
        self.takes_over.store(true, Ordering::Relaxed);
        self.events.mute();
        self.quota.refuse_nothing();
    }

    pub(crate) fn takes_over(&self) -> bool {
        self.takes_over.load(Ordering::Relaxed)
    }

    /// How long what is deleted by this transaction can be restored.
    pub(crate) fn undelete_window_ms(&self) -> i64 {
        if self.takes_over() { 0 } else { self.options.undelete_window_ms() }
    }
}

impl<S> Deref for Tx<'_, S> {
    type Target = S;

    fn deref(&self) -> &S {
        self.session
    }
}

/// A digest as the database keeps it.
fn digest(text: &str) -> Result<Digest, Fault> {
    text.parse().map_err(|error: registry_digest::ParseDigestError| Fault::Unreadable(error.into()))
}

/// The first column of each row, as what it was before it was stored.
async fn all_parsed<T>(
    session: &impl Session,
    statement: Statement,
    params: &[Param<'_>],
) -> Result<Vec<T>, Fault>
where
    T: FromStr<Err: StdError + Send + Sync + 'static>,
{
    let rows: Vec<Text<T>> = session.all(statement, params).await?;
    Ok(rows.into_iter().map(|text| text.0).collect())
}

/// The rows that can be read. One that can not must not keep the others from their turn: it is passed over.
async fn all_readable<T: FromRow>(
    session: &impl Session,
    statement: Statement,
    params: &[Param<'_>],
) -> Result<Vec<T>, Fault> {
    let rows: Vec<IfReadable<T>> = session.all(statement, params).await?;
    Ok(rows.into_iter().filter_map(|row| row.0).collect())
}

/// A row's first columns, which the next page begins after, and the row, if it can be read.
struct Keyed<K, T> {
    key: K,
    value: Option<T>,
}

impl<K: FromRow, T: FromRow> FromRow for Keyed<K, T> {
    fn from_row(row: &Row<'_>) -> Result<Self, Fault> {
        Ok(Keyed { key: K::from_row(row)?, value: IfReadable::from_row(row)?.0 })
    }
}
