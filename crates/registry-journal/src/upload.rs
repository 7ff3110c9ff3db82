//! Stores the kept commits, one entry at a time: while one is on its way, all commits that are made meanwhile gather for
//! the next. So a commit waits for at most two calls of the store, however many there are at once; and no entry is ever
//! stored behind a gap, where it would be in the way of the process that fills it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use registry_database::{Clock, SystemClock, clock::millis};
use registry_storage::Creation;
use rusqlite::Connection;

use super::{
    error::{JournalError, Result},
    ledger::{self, Kept},
    names,
    progress::Shared,
    record,
    store::Remote,
};

/// The size of an entry, unless one commit alone has more.
pub(crate) const ENTRY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How often an idle process looks whether another one writes.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// How long a process may believe that no other has written since it saw so. Far below the least age at which
/// entries are removed: if one that was removed could be written once more, a process that slept would not notice that
/// others went on without it.
const TRUST_MAX: Duration = Duration::from_secs(600);

/// The pauses after failures.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Stores kept commits.
pub(crate) struct Uploader {
    remote: Remote,
    /// Reads what is kept.
    database: Connection,
    shared: Arc<Shared>,
    /// When it was last seen that no other process has written.
    trusted: Trust,
}

/// A moment by two clocks, whatever the database's is: one of them stands still while a machine sleeps, the other can be
/// set.
#[derive(Clone, Copy)]
struct Trust(Instant, i64);

impl Trust {
    fn now() -> Trust {
        Trust(Instant::now(), SystemClock.now_ms())
    }

    fn is_over(self) -> bool {
        let elapsed_ms = SystemClock.now_ms() - self.1;
        self.0.elapsed() > TRUST_MAX || !(0..=millis(TRUST_MAX)).contains(&elapsed_ms)
    }
}

impl Uploader {
    /// To be made when it was just seen that the journal ends where `shared` says that it is stored.
    pub(crate) fn new(remote: Remote, database: Connection, shared: Arc<Shared>) -> Uploader {
        Uploader { remote, database, shared, trusted: Trust::now() }
    }

    /// Stores until the journal is closed or lost.
    pub(crate) fn run(&mut self) {
        let mut pause = PAUSE_MIN;
        loop {
            let outcome = match self.wait_for_work() {
                Ok(true) => self.store_next(),
                Ok(false) => self.look_for_others(),
                Err(error) => Err(error),
            };
            match outcome {
                Ok(()) => pause = PAUSE_MIN,
                Err(error) if error.is_passing() => {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(error, "the journal's store failed; it is tried again in {pause:?}");
                    self.shared.give_up_on_patience();
                    if self.remote.pause(pause).is_err() {
                        return self.shared.fail(Arc::new(JournalError::Stopping));
                    }
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                Err(error) => {
                    if !matches!(error, JournalError::Stopping) {
                        let error: &dyn std::error::Error = &error;
                        tracing::error!(error, "the journal has ended: nothing more is acknowledged");
                    }
                    return self.shared.fail(Arc::new(error));
                }
            }
        }
    }

    /// Whether there is something to store; if not, it is time to look for others.
    fn wait_for_work(&self) -> Result<bool> {
        let work = self.shared.until(|progress| progress.committed > progress.stored);
        Ok(self.remote.wait(LOOK_EVERY, work)?.is_some())
    }

    /// Stores the next entry.
    pub(crate) fn store_next(&mut self) -> Result<()> {
        let begun = Instant::now();
        let stored = self.shared.now().stored;
        let kept = self.read(|database| ledger::kept(database, stored, ENTRY_BYTES_MAX))?;
        let (Some(first), Some(last)) = (kept.first(), kept.last()) else {
            // Another process on this database stored and forgot them.
            let through = self.read(ledger::state)?.map_or(stored, |state| state.number);
            self.shared.stored(through, 0, begun);
            return Ok(());
        };
        let (name, through) = (names::entry(first.number), last.number);
        let entry = record::entry(kept.iter().map(|kept| &kept.record[..]));
        let trusted = Trust::now();
        let created = self.remote.create(&name, entry, || self.shared.give_up_on_patience())?;
        let through = match created {
            Creation::Created => {
                if self.trusted.is_over() {
                    self.check_nothing_after(&name, first.number)?;
                }
                through
            }
            Creation::Exists => self.recognise(&name, &kept)?,
        };
        self.trusted = trusted;
        let size_bytes =
            kept.iter().filter(|kept| kept.number <= through).map(|kept| kept.record.len() as u64);
        self.shared.stored(through, size_bytes.sum(), begun);
        Ok(())
    }

    /// The entry that is there under our name: ours, if an answer was lost, or if another process on this database was
    /// faster; then up to where it goes. Otherwise the process of another database writes to this journal.
    fn recognise(&self, name: &str, kept: &[Kept]) -> Result<i64> {
        let entry = self.remote.read_known(name)?;
        let records = record::records(&entry).ok_or_else(|| JournalError::damaged(name, "it is no entry"))?;
        let mut through = kept[0].number - 1;
        for record in records {
            let number = through + 1;
            let is_ours = match kept.iter().find(|kept| kept.number == number) {
                Some(kept) => kept.record == record,
                None => self.is_ours(number, record)?,
            };
            if !is_ours {
                return Err(JournalError::Fenced { number });
            }
            through = number;
        }
        Ok(through)
    }

    /// Whether a record after those that were read is of this database: it is kept, or was and is forgotten.
    fn is_ours(&self, number: i64, record: &[u8]) -> Result<bool> {
        match self.read(|database| ledger::kept_one(database, number))? {
            Some(kept) => Ok(kept == record),
            None => Ok(self.read(ledger::state)?.is_some_and(|state| state.number >= number)),
        }
    }

    /// An entry that came meanwhile can only be of another process on this database.
    fn look_for_others(&mut self) -> Result<()> {
        let trusted = Trust::now();
        let stored = self.shared.now().stored;
        let Some(next) = self.remote.is_there_more(names::ENTRIES, &names::entry(stored))? else {
            self.trusted = trusted;
            return Ok(());
        };
        let number =
            names::entry_number(&next).ok_or_else(|| JournalError::damaged(&next, "a strange name"))?;
        let state = self.read(ledger::state)?;
        if state.is_none_or(|state| state.number < number) {
            return Err(JournalError::Fenced { number });
        }
        self.store_next()
    }

    fn check_nothing_after(&self, name: &str, number: i64) -> Result<()> {
        match self.remote.is_there_more(names::ENTRIES, name)? {
            Some(_) => Err(JournalError::Fenced { number }),
            None => Ok(()),
        }
    }

    fn read<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        read(&self.database).map_err(JournalError::database("read what is to be stored"))
    }
}
