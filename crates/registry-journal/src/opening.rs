//! Opening a database with its journal.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use registry_database::{
    OpenError as DatabaseError,
    sqlite::{connection, refuse_foreign},
};
use rusqlite::{Connection, TransactionBehavior};
use tokio::{runtime::Handle, sync::watch};

use super::{
    Hook, Journal,
    error::{JournalError, Result},
    history::History,
    keeper::Keeper,
    ledger,
    names::SnapshotName,
    options::{JournalOptions, JournalRole},
    progress::Shared,
    reconcile::{Found, reconcile},
    snapshot::{self, Description, Made},
    store::{JournalStore, Remote},
    upload::Uploader,
};
use crate::{Clock, OpenError};

/// How often the end of the journal is stored at a start, with pauses.
const ATTEMPTS_MAX: u32 = 5;

/// A journal whose database is not open yet.
pub(in super::super) struct Opening {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    options: JournalOptions,
    remote: Remote,
    stop: watch::Sender<bool>,
    found: Found,
}

impl Opening {
    /// Makes database and journal one, as far as that needs nobody to write. The file is there, and if this is to serve
    /// it is locked.
    pub(in super::super) fn begin(
        path: &Path,
        clock: Arc<dyn Clock>,
        options: JournalOptions,
        store: Arc<dyn JournalStore>,
        runtime: Handle,
    ) -> std::result::Result<Opening, OpenError> {
        let failed = DatabaseError::database("open the database");
        let database = connection::writer(path, &clock).map_err(failed)?;
        refuse_foreign(&database, path)?;
        drop(database);
        let (stop, stopped) = watch::channel(false);
        let remote = Remote::new(store, runtime, stopped);
        let found = match options.role {
            JournalRole::Serving => reconcile(path, &remote)?,
            JournalRole::Beside => look_beside(path, &clock)?,
        };
        tell(found);
        Ok(Opening { path: path.to_owned(), clock, options, remote, stop, found })
    }

    /// Goes on when the schema is up to date: begins the journal, if there is none, stores what is kept, and starts to
    /// note what `writer` changes.
    pub(in super::super) fn finish(
        self,
        writer: &mut Connection,
    ) -> std::result::Result<(Journal, Hook), OpenError> {
        let failed = JournalError::database("begin the journal");
        let stored = match self.found {
            Found::NoJournal => 0,
            Found::Joined { stored, .. } => stored,
        };
        if self.found == Found::NoJournal {
            self.check_together(writer)?;
        }
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        ledger::rebase(&transaction).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        let number = ledger::state(writer).map_err(failed)?.map_or(0, |state| state.number);
        let shared = Arc::new(Shared::new(number, stored));
        let database = connection::reader(&self.path, &self.clock).map_err(failed)?;
        let mut uploader = Uploader::new(self.remote.clone(), database, shared.clone());
        self.store_kept(writer, &shared, &mut uploader)?;
        ledger::forget(writer, shared.now().stored).map_err(failed)?;
        let hook = Hook::new(writer, shared.clone(), self.remote.clone()).map_err(failed)?;
        Ok((self.start(shared, uploader)?, hook))
    }

    /// A database that is bound to a store without an identity may be on its way into its first start.
    fn check_together(&self, database: &Connection) -> Result<()> {
        let sql = "SELECT id, EXISTS (SELECT 1 FROM objects) FROM store";
        let (bound, has_content): (Option<String>, bool) = database
            .query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
            .map_err(JournalError::database("read the store's identity"))?;
        let store = &self.options.store_id;
        match bound == *store || (store.is_none() && !has_content) {
            true => Ok(()),
            false => Err(JournalError::NotTogether { store: store.clone(), database: bound }),
        }
    }

    fn store_kept(&self, writer: &Connection, shared: &Shared, uploader: &mut Uploader) -> Result<()> {
        let before = shared.now();
        let needs_snapshot = ledger::keeps_rebase(writer, before.stored);
        if needs_snapshot.map_err(JournalError::database("read what is to be stored"))? {
            shared.made(snapshot::make(&self.path, &self.remote, self.clock.now_ms())?);
        }
        let mut attempt = 1;
        while shared.now().stored < shared.now().committed {
            match uploader.store_next() {
                Err(error) if error.is_passing() && attempt < ATTEMPTS_MAX => {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(error, "the journal's store failed, trying again");
                    self.remote.pause(std::time::Duration::from_millis(200) * attempt)?;
                    attempt += 1;
                }
                result => result?,
            }
        }
        let count = before.committed - before.stored;
        if count > 0 && self.found != Found::NoJournal {
            tracing::info!("stored {count} commits in the journal which the last run had not");
        }
        Ok(())
    }

    fn start(self, shared: Arc<Shared>, mut uploader: Uploader) -> std::result::Result<Journal, OpenError> {
        let failed = DatabaseError::system;
        let mut journal = Journal { shared: shared.clone(), stop: self.stop, threads: Vec::new() };
        let upload = thread::Builder::new().name("metadata-journal".to_owned()).spawn(move || uploader.run());
        journal.threads.push(upload.map_err(failed("start the thread that stores the journal"))?);
        if self.options.role == JournalRole::Serving {
            let history = History::list(&self.remote)?;
            if shared.now().snapshot.is_none()
                && let Some(newest) = history.snapshots.last()
            {
                shared.made(found_snapshot(newest, &self.remote)?);
            }
            let (path, remote, options, clock) = (self.path, self.remote, self.options, self.clock);
            let snapped = (shared.now().entries, shared.now().entries_bytes);
            let found = history.since_snapshot();
            let mut keeper = Keeper { path, remote, shared, options, clock, found, snapped };
            let keep =
                thread::Builder::new().name("metadata-snapshot".to_owned()).spawn(move || keeper.run());
            journal.threads.push(keep.map_err(failed("start the thread that makes snapshots"))?);
        }
        Ok(journal)
    }
}

fn found_snapshot(name: &SnapshotName, remote: &Remote) -> Result<Made> {
    let Description { number, at_ms, size_bytes, .. } = Description::read(name, remote)?;
    Ok(Made { number, at_ms, size_bytes })
}

/// A command beside the server takes the database as it is; the commits that are kept may or may not be stored.
fn look_beside(path: &Path, clock: &Arc<dyn Clock>) -> Result<Found> {
    let failed = JournalError::database("look at the database");
    let database = connection::writer(path, clock).map_err(failed)?;
    let state = ledger::state(&database).map_err(failed)?.ok_or(JournalError::Foreign)?;
    let first_kept = ledger::first_kept(&database).map_err(failed)?;
    Ok(Found::Joined {
        stored: first_kept.map_or(state.number, |first| first - 1),
        restored: None,
        applied: 0,
    })
}

fn tell(found: Found) {
    match found {
        Found::NoJournal => tracing::info!("the store has no journal of the database yet; it begins now"),
        Found::Joined { restored: Some(number), applied, .. } => tracing::info!(
            "the database was made again from the store's journal: a snapshot of commit {number} and {applied} commits \
             after it"
        ),
        Found::Joined { applied: 0, .. } => {}
        Found::Joined { applied, .. } => tracing::info!(
            "the database was behind its journal: {applied} commits that others had made were added, and unfinished \
             uploads forgotten"
        ),
    }
}
