//! Opening a database with its journal.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use registry_database::{
    Clock, OpenError as DatabaseError, Owners, Sqlite,
    sqlite::{self, CommitHook, connection, place, refuse_foreign},
};
use registry_storage::SmallObjects;
use rusqlite::{Connection, TransactionBehavior};
use tokio::{runtime::Handle, sync::watch};

use super::{
    Journal, OpenError,
    error::{JournalError, Result},
    history::History,
    hook::Hook,
    keeper::Keeper,
    ledger,
    names::SnapshotName,
    options::{JournalOptions, JournalRole},
    progress::Shared,
    reconcile::{Found, reconcile},
    snapshot::{self, Description, Made},
    store::Remote,
    upload::Uploader,
};

/// How often the end of the journal is stored at a start, with pauses.
const ATTEMPTS_MAX: u32 = 5;

type Opened<T> = std::result::Result<T, OpenError>;

/// A database that is open, and its journal, which ends first when this is dropped: then the database's writer waits for
/// nothing that does not come.
#[derive(Debug)]
pub struct Journalled {
    /// The journal.
    pub journal: Journal,
    /// The database. Work is answered when its commit is stored, and every commit before it.
    pub database: Sqlite,
}

/// Opens the database at `path` with a journal among `objects`. A database that is
/// not there, or is behind, is brought to the end of its journal first; then the schema is brought up to date.
///
/// Needs a Tokio runtime, which must outlive the journal. If the future is dropped, opening goes on to its end.
///
/// # Errors
/// See [`OpenError`]. [`OpenError::Journal`] says that database and journal can not be made one; then neither was changed
/// but for what was stored or added before that was found out.
pub async fn open(
    path: impl AsRef<Path>,
    owners: Owners,
    clock: Arc<dyn Clock>,
    options: JournalOptions,
    objects: Arc<dyn SmallObjects>,
) -> Opened<Journalled> {
    let (path, runtime) = (path.as_ref().to_owned(), Handle::current());
    let open = move || Opening::begin(&path, owners, clock, options, objects, runtime)?.finish();
    tokio::task::spawn_blocking(open).await.unwrap_or_else(|error| {
        let operation = "open the database on a thread of its own";
        Err(DatabaseError::System { operation, source: std::io::Error::other(error) }.into())
    })
}

/// A database on its way to being open: it is at the end of its journal, if there is one, and its schema is up to date.
/// Blocks in all it does, on a thread that may wait for the runtime.
pub struct Opening {
    database: sqlite::Opening,
    beginning: Beginning,
    serving: Option<File>,
}

impl Opening {
    /// Makes database and journal one, as far as that goes without writing to the journal. A process that serves takes the lock of the
    /// database first.
    ///
    /// # Errors
    /// As [`open`].
    pub fn begin(
        path: &Path,
        owners: Owners,
        clock: Arc<dyn Clock>,
        options: JournalOptions,
        objects: Arc<dyn SmallObjects>,
        runtime: Handle,
    ) -> Opened<Opening> {
        place::prepare(path)?;
        let serving = match options.role {
            JournalRole::Serving => Some(place::lock(path)?),
            JournalRole::Beside => None,
        };
        let writer =
            connection::writer(path, &clock).map_err(DatabaseError::database("open the database"))?;
        refuse_foreign(&writer, path)?;
        drop(writer);
        let (stop, stopped) = watch::channel(false);
        let remote = Remote::new(objects, runtime, stopped);
        let found = match options.role {
            JournalRole::Serving => reconcile(path, &owners, &remote)?,
            JournalRole::Beside => look_beside(path, &clock)?,
        };
        tell(found);
        let mut database = sqlite::Opening::begin(path, clock.clone())?;
        database.migrate(&match options.role {
            // What is noted of each commit is set up once, for the tables that are there then.
            JournalRole::Serving => owners.all_at_once(),
            JournalRole::Beside => owners,
        })?;
        let path = path.to_owned();
        let beginning = Beginning { path, owners, clock, options, remote, stop, found };
        Ok(Opening { database, beginning, serving })
    }

    /// Whether there is no journal yet, so that it begins with [`finish`](Self::finish): the last moment to find out whether
    /// it is to begin among these objects.
    pub fn is_beginning(&self) -> bool {
        self.beginning.found == Found::NoJournal
    }

    /// The connection that will write.
    pub fn writer(&mut self) -> &mut Connection {
        self.database.writer()
    }

    /// Begins the journal, if there is none, stores what is kept, and starts the threads.
    ///
    /// # Errors
    /// As [`open`].
    pub fn finish(mut self) -> Opened<Journalled> {
        let (journal, hook) = self.beginning.finish(self.database.writer())?;
        let hook: Box<dyn CommitHook> = Box::new(hook);
        let database = self.database.finish(Some(hook))?;
        database.serve_with(self.serving);
        Ok(Journalled { journal, database })
    }
}

/// A journal whose database is not open yet.
struct Beginning {
    path: PathBuf,
    owners: Owners,
    clock: Arc<dyn Clock>,
    options: JournalOptions,
    remote: Remote,
    stop: watch::Sender<bool>,
    found: Found,
}

impl Beginning {
    fn finish(self, writer: &mut Connection) -> Opened<(Journal, Hook)> {
        let failed = JournalError::database("begin the journal");
        let stored = match self.found {
            Found::NoJournal => 0,
            Found::Joined { stored, .. } => stored,
        };
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        ledger::rebase(&transaction).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        let number = ledger::state(writer).map_err(failed)?.map_or(0, |state| state.number);
        let shared = Arc::new(Shared::new(number, stored));
        let database = connection::reader(&self.path, &self.clock).map_err(failed)?;
        let mut uploader = Uploader::new(self.remote.clone(), database, shared.clone());
        self.store_kept(writer, &shared, &mut uploader)?;
        ledger::forget(writer, shared.now().stored).map_err(failed)?;
        let hook = Hook::new(writer, &self.owners, shared.clone(), self.remote.clone()).map_err(failed)?;
        Ok((self.start(shared, uploader)?, hook))
    }

    fn store_kept(&self, writer: &Connection, shared: &Shared, uploader: &mut Uploader) -> Result<()> {
        let before = shared.now();
        let needs_snapshot = ledger::keeps_rebase(writer, before.stored);
        if needs_snapshot.map_err(JournalError::database("read what is to be stored"))? {
            shared.made(snapshot::make(&self.path, &self.owners, &self.remote, self.clock.now_ms())?);
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

    fn start(self, shared: Arc<Shared>, mut uploader: Uploader) -> Opened<Journal> {
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
            let (path, owners, remote) = (self.path, self.owners, self.remote);
            let (options, clock) = (self.options, self.clock);
            let snapped = (shared.now().entries, shared.now().entries_bytes);
            let found = history.since_snapshot();
            let mut keeper = Keeper { path, owners, remote, shared, options, clock, found, snapped };
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
