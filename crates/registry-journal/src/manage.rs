//! What an operator may ask about a journal, and have done with it, beside the server.

use std::{path::Path, sync::Arc};

use registry_database::{Owners, sqlite::place};
use registry_storage::SmallObjects;
use rusqlite::Connection;
use tokio::{runtime::Handle, sync::watch};

use super::{
    error::{JournalError, Result},
    history::{Entry, History},
    ledger, names,
    store::Remote,
    verify::{JournalReport, Verify, open},
};

/// Checks a journal: that its entries are one chain; that each snapshot is whole, and what the entries lead to; and that
/// the database at `path`, if there is one, has just the content that snapshot and entries lead to. Reads all of it, and
/// needs the room of three copies of the database beside `path`. Changes nothing.
///
/// # Errors
/// If the journal can not be read. What is wrong with it is in the report.
pub async fn verify_journal(
    path: &Path,
    owners: Owners,
    objects: Arc<dyn SmallObjects>,
) -> std::result::Result<JournalReport, JournalError> {
    let path = path.to_owned();
    on_a_thread(objects, move |remote| Verify { path, owners, remote }.run()).await
}

/// Looks at what there is of a journal, and where the database at `path` is in it, without checking anything.
///
/// # Errors
/// If journal or database can not be read.
pub async fn survey_journal(
    path: &Path,
    objects: Arc<dyn SmallObjects>,
) -> std::result::Result<JournalReport, JournalError> {
    let path = path.to_owned();
    on_a_thread(objects, move |remote| survey(&path, &remote)).await
}

/// Ends the journal of the database at `path` for good: everything of it is removed from the store, then the database
/// forgets it. The database must be in no other process.
///
/// # Errors
/// [`JournalError::Foreign`], if the journal in the store is not this database's; [`JournalError::InUse`].
pub async fn drop_journal(
    path: &Path,
    objects: Arc<dyn SmallObjects>,
) -> std::result::Result<(), JournalError> {
    let path = path.to_owned();
    on_a_thread(objects, move |remote| give_up(&path, &remote)).await
}

async fn on_a_thread<T: Send + 'static>(
    objects: Arc<dyn SmallObjects>,
    work: impl FnOnce(Remote) -> Result<T> + Send + 'static,
) -> Result<T> {
    let runtime = Handle::current();
    // Stops what still runs on the other thread, if this future is dropped.
    let (stop, stopped) = watch::channel(false);
    let stop = StopOnDrop(stop);
    let done = tokio::task::spawn_blocking(move || work(Remote::new(objects, runtime, stopped))).await;
    drop(stop);
    done.unwrap_or_else(|error| {
        Err(JournalError::Database { operation: "work on the journal", source: Box::new(error) })
    })
}

struct StopOnDrop(watch::Sender<bool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

fn survey(path: &Path, remote: &Remote) -> Result<JournalReport> {
    let mut report = JournalReport::default();
    if path.exists() {
        let state = ledger::state(&open(path)?).map_err(failed())?;
        report.database = state.map(|state| state.number);
    }
    let history = History::list(remote)?;
    report.entries = history.entries.len() as u64;
    report.entries_bytes = history.sizes.iter().sum();
    report.first = history.entries.first().copied().unwrap_or(0);
    report.snapshots = history.snapshots.iter().map(|name| name.number).collect();
    if let Some(last) = history.entries.last() {
        report.last = Entry::read(remote, *last)?.commits()?.last().map_or(0, |commit| commit.record.number);
    }
    Ok(report)
}

fn give_up(path: &Path, remote: &Remote) -> Result<()> {
    let _lock = place::lock(path).map_err(|error| JournalError::InUse { source: Box::new(error) })?;
    let database = open(path)?;
    let state = ledger::state(&database).map_err(failed())?.ok_or(JournalError::Foreign)?;
    let history = History::list(remote)?;
    if !history.entries.is_empty() {
        check_own(&database, &history, remote, &state)?;
    }
    // Snapshots first, so that no start makes a database of what is left.
    for folder in [names::SNAPSHOTS, names::PARTS] {
        for (name, _) in remote.list(folder)? {
            remote.remove(&name)?;
        }
    }
    // The newest entry last: until then an interrupted attempt is known as this database's.
    for first in &history.entries {
        remote.remove(&names::entry(*first))?;
    }
    database.execute_batch("DROP TABLE journal_entries; DROP TABLE journal_state").map_err(failed())
}

/// The journal ends with the database's last commit, or with one before that the database keeps.
fn check_own(database: &Connection, history: &History, remote: &Remote, state: &ledger::State) -> Result<()> {
    if history.has(remote, state.number, &state.hash)? {
        return Ok(());
    }
    let last = history.entries.last().copied().unwrap_or(0);
    let entry = Entry::read(remote, last)?;
    let end = entry.commits()?.last().map_or(0, |commit| commit.record.number);
    let next = ledger::kept_one(database, end + 1).map_err(failed())?;
    let hash = entry.commits()?.last().map(|commit| commit.hash);
    let is_own = next.and_then(|next| super::record::Record::decode(&next).map(|next| next.previous)) == hash;
    if is_own { Ok(()) } else { Err(JournalError::Foreign) }
}

fn failed() -> impl Fn(rusqlite::Error) -> JournalError + Copy {
    JournalError::database("look at the journal of the database")
}
