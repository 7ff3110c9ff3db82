//! What a start does before anything else: it makes database and journal one again, or refuses.

use std::path::Path;

use registry_database::{Owners, sqlite::has_content};
use rusqlite::{Connection, OpenFlags};

use super::{
    error::{JournalError, Result},
    history::History,
    ledger::{self, State},
    replay::{Replayed, replay},
    restore::restore,
    store::Remote,
};

/// How often a start begins again, if entries are removed while it reads them.
const ATTEMPTS_MAX: u32 = 3;

/// What a start found and did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// There is no journal yet.
    NoJournal,
    /// Every commit up to `stored` is in the journal and in the database.
    Joined { stored: i64, restored: Option<i64>, applied: i64 },
}

/// Brings the database at `path`, whose file is there, to the end of the journal. No other process may have it open.
pub(crate) fn reconcile(path: &Path, owners: &Owners, remote: &Remote) -> Result<Found> {
    for _ in 1..ATTEMPTS_MAX {
        match attempt(path, owners, remote) {
            Err(JournalError::Gone { name }) => {
                tracing::info!("{name} was removed while it was to be read; beginning again");
            }
            result => return result,
        }
    }
    attempt(path, owners, remote)
}

fn attempt(path: &Path, owners: &Owners, remote: &Remote) -> Result<Found> {
    let history = History::list(remote)?;
    let local = Local::read(path, owners)?;
    match (local, history.entries.is_empty()) {
        (Local::Journalled { state, first_kept }, true) => match first_kept {
            // The journal was about to begin.
            Some(1) => Ok(Found::Joined { stored: 0, restored: None, applied: 0 }),
            _ => Err(JournalError::Ahead { number: state.number, stored: 0 }),
        },
        (_, true) => Ok(Found::NoJournal),
        (Local::Content, false) => Err(JournalError::Foreign),
        (Local::Empty, false) => rebuild(path, owners, &history, remote, false),
        (Local::Journalled { state, first_kept }, false) => {
            let mut database = open(path)?;
            match replay(&mut database, owners, state, &history, remote, i64::MAX)? {
                Replayed::ToTheEnd { applied, stored } => {
                    Ok(Found::Joined { stored, restored: None, applied })
                }
                Replayed::TooOld | Replayed::BeforeRebase { .. } => {
                    drop(database);
                    rebuild(path, owners, &history, remote, first_kept.is_some())
                }
            }
        }
    }
}

fn rebuild(
    path: &Path,
    owners: &Owners,
    history: &History,
    remote: &Remote,
    keep_old: bool,
) -> Result<Found> {
    let restored = restore(path, history, remote, keep_old)?;
    let mut database = open(path)?;
    let state = ledger::state(&database).map_err(JournalError::database("read the database's journal"))?;
    let state = state.ok_or(JournalError::NoSnapshot)?;
    match replay(&mut database, owners, state, history, remote, i64::MAX)? {
        Replayed::ToTheEnd { applied, stored } => {
            Ok(Found::Joined { stored, restored: Some(restored), applied })
        }
        // Its snapshot was stored before the commit was.
        Replayed::BeforeRebase { .. } | Replayed::TooOld => Err(JournalError::NoSnapshot),
    }
}

fn open(path: &Path) -> Result<Connection> {
    let failed = JournalError::database("open the database");
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(path, flags).map_err(failed)?;
    database.pragma_update(None, "foreign_keys", true).map_err(failed)?;
    database.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    Ok(database)
}

/// What a database is, as far as the journal cares.
enum Local {
    /// No owner has any content in it.
    Empty,
    /// It has content and no journal.
    Content,
    Journalled {
        state: State,
        first_kept: Option<i64>,
    },
}

impl Local {
    fn read(path: &Path, owners: &Owners) -> Result<Local> {
        let database = open(path)?;
        Self::read_from(&database, owners).map_err(JournalError::database("look at the database"))
    }

    fn read_from(database: &Connection, owners: &Owners) -> rusqlite::Result<Local> {
        if let Some(state) = ledger::state(database)? {
            return Ok(Local::Journalled { state, first_kept: ledger::first_kept(database)? });
        }
        Ok(if has_content(database, owners)? { Local::Content } else { Local::Empty })
    }
}
