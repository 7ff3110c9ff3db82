//! Whether a journal is what it promises: looked at from outside, beside a running server or without one.

use std::path::{Path, PathBuf};

use registry_database::Owners;
use registry_digest::{Algorithm, Digest, Hasher};
use rusqlite::{Connection, OpenFlags};

use super::{
    change,
    error::{JournalError, Result},
    history::{Entry, History},
    ledger::{self, Kept, State},
    record::{Hash, Kind, NO_HASH, Record},
    replay::{Replayed, replay},
    restore::fetch,
    snapshot::{Temporary, check},
    store::Remote,
    table::{self, Table, Tables},
};

/// What was found about a journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JournalReport {
    /// How many entries there are, and their size in bytes.
    pub entries: u64,
    /// The size of all entries in bytes.
    pub entries_bytes: u64,
    /// The first commit that is in an entry.
    pub first: i64,
    /// The last one.
    pub last: i64,
    /// The last commit of each snapshot that is whole.
    pub snapshots: Vec<i64>,
    /// The commit that the oldest snapshot and the entries after it were replayed to.
    pub replayed_to: i64,
    /// Where the database is; none if there is no database.
    pub database: Option<i64>,
    /// What is not as it should be; nothing, if all is well.
    pub problems: Vec<String>,
}

/// A check of a journal.
pub(crate) struct Verify {
    pub(crate) path: PathBuf,
    pub(crate) owners: Owners,
    pub(crate) remote: Remote,
}

/// The database's content as of a moment.
struct Local {
    copy: Temporary,
    state: State,
    kept: Vec<Kept>,
}

impl Verify {
    pub(crate) fn run(&self) -> Result<JournalReport> {
        let mut report = JournalReport::default();
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder).map_err(JournalError::file("make a folder for copies"))?;
        }
        // Before the journal is listed: what the database has is there then, or kept.
        let local = self.copy_local(&mut report)?;
        let history = History::list(&self.remote)?;
        report.entries = history.entries.len() as u64;
        report.entries_bytes = history.sizes.iter().sum();
        let Some(rebase) = self.check_chain(&history, &mut report)? else {
            report.problems.push("there is no journal".to_owned());
            return Ok(report);
        };
        let last = local.as_ref().map_or(i64::MAX, |local| local.state.number);
        match self.replay_all(&history, rebase, last, &mut report)? {
            Some((replayed, mut database)) => {
                if let Some(local) = &local {
                    self.compare_local(local, &mut database, &mut report)?;
                }
                drop(replayed);
            }
            None => report.problems.push("no snapshot can be used".to_owned()),
        }
        Ok(report)
    }

    fn copy_local(&self, report: &mut JournalReport) -> Result<Option<Local>> {
        if !self.path.exists() {
            return Ok(None);
        }
        let failed = JournalError::database("copy the database");
        let database = open(&self.path)?;
        if ledger::state(&database).map_err(failed)?.is_none() {
            report.problems.push("the database is not journalled".to_owned());
            return Ok(None);
        }
        let copy = Temporary::beside(&self.path, ".verified")?;
        let text =
            copy.path().to_str().ok_or_else(|| failed(rusqlite::Error::InvalidPath(copy.path().into())))?;
        database.execute("VACUUM INTO ?1", [text]).map_err(failed)?;
        let copied = open(copy.path())?;
        let state = check(&copied, "the database")?;
        let kept = ledger::kept(&copied, 0, usize::MAX).map_err(failed)?;
        report.database = Some(state.number);
        Ok(Some(Local { copy, state, kept }))
    }

    /// The number of the last commit that only a snapshot leads past; none without a journal.
    fn check_chain(&self, history: &History, report: &mut JournalReport) -> Result<Option<i64>> {
        let mut before: Option<(i64, Hash)> = None;
        let mut rebase = 0;
        for first in &history.entries {
            let entry = Entry::read(&self.remote, *first)?;
            let commits = match entry.commits() {
                Ok(commits) => commits,
                Err(error) => {
                    report.problems.push(error.to_string());
                    before = None;
                    continue;
                }
            };
            for commit in commits {
                let (number, previous) = (commit.record.number, commit.record.previous);
                let follows = match before {
                    None => number > 1 || previous == NO_HASH,
                    Some(before) => before == (number - 1, previous),
                };
                if !follows {
                    report.problems.push(format!("commit {number} does not follow the one before it"));
                }
                if commit.record.kind == Kind::Rebase {
                    rebase = number;
                }
                before = Some((number, commit.hash));
            }
        }
        report.first = history.entries.first().copied().unwrap_or(0);
        report.last = before.map_or(0, |(number, _)| number);
        Ok((report.last > 0).then_some(rebase))
    }

    /// From the oldest snapshot on, through all others, each of which must be what the entries lead to.
    fn replay_all(
        &self,
        history: &History,
        rebase: i64,
        last: i64,
        report: &mut JournalReport,
    ) -> Result<Option<(Temporary, Connection)>> {
        let mut replayed: Option<(Temporary, Connection)> = None;
        for name in &history.snapshots {
            let suffix = if replayed.is_none() { ".replayed" } else { ".compared" };
            let copy = Temporary::beside(&self.path, suffix)?;
            if let Err(error) = fetch(name, history, &self.remote, copy.path()) {
                match error {
                    JournalError::Damaged { .. } | JournalError::Gone { .. } => {
                        report.problems.push(error.to_string());
                        continue;
                    }
                    error => return Err(error),
                }
            }
            report.snapshots.push(name.number);
            if name.number < rebase || name.number > last {
                continue;
            }
            let mut database = open(copy.path())?;
            match &mut replayed {
                None => {
                    database.pragma_update(None, "synchronous", "off").map_err(failed())?;
                    replayed = Some((copy, database));
                }
                Some((_, so_far)) => {
                    self.advance(so_far, history, name.number, report)?;
                    let what = format!("the snapshot of commit {} and the entries", name.number);
                    self.compare(&what, so_far, &mut database, report)?;
                }
            }
        }
        if let Some((_, so_far)) = &mut replayed {
            self.advance(so_far, history, last, report)?;
        }
        Ok(replayed)
    }

    fn advance(
        &self,
        database: &mut Connection,
        history: &History,
        last: i64,
        report: &mut JournalReport,
    ) -> Result<()> {
        let Some(state) = ledger::state(database).map_err(failed())? else { return Ok(()) };
        match replay(database, &self.owners, state, history, &self.remote, last) {
            Ok(Replayed::ToTheEnd { applied, .. }) => report.replayed_to = state.number + applied,
            Ok(other) => report.problems.push(format!("commit {} leads nowhere: {other:?}", state.number)),
            Err(error @ JournalError::Store { .. }) => return Err(error),
            Err(error) => report.problems.push(error.to_string()),
        }
        Ok(())
    }

    /// The database against what the journal leads to, with the commits that are kept and not stored.
    fn compare_local(
        &self,
        local: &Local,
        replayed: &mut Connection,
        report: &mut JournalReport,
    ) -> Result<()> {
        let Some(mut state) = ledger::state(replayed).map_err(failed())? else { return Ok(()) };
        let tables = Tables::read(replayed, &self.owners).map_err(failed())?;
        let replayed_to = state.number;
        for kept in local.kept.iter().filter(|kept| kept.number > replayed_to) {
            let follows = Record::decode(&kept.record).filter(|record| record.previous == state.hash);
            let Some(record) = follows else {
                report
                    .problems
                    .push(format!("commit {} of the database is another than in the journal", kept.number));
                return Ok(());
            };
            change::apply(replayed, &tables, record.number, record.changes)?;
            state = State { number: record.number, hash: super::record::hash(&kept.record), ..state };
        }
        if (state.number, state.hash) != (local.state.number, local.state.hash) {
            let (database, journal) = (local.state.number, state.number);
            report.problems.push(format!(
                "the database is at commit {database}, the journal leads to another {journal}"
            ));
            return Ok(());
        }
        self.compare("database and journal", replayed, &mut open(local.copy.path())?, report)
    }

    fn compare(
        &self,
        what: &str,
        one: &Connection,
        other: &mut Connection,
        report: &mut JournalReport,
    ) -> Result<()> {
        let tables = table::journalled(one, &self.owners).map_err(failed())?;
        if tables != table::journalled(other, &self.owners).map_err(failed())? {
            report.problems.push(format!("{what} have different tables"));
            return Ok(());
        }
        for table in &tables {
            if content(one, table).map_err(failed())? != content(other, table).map_err(failed())? {
                report.problems.push(format!("{what} differ in {}", table.name));
            }
        }
        Ok(())
    }
}

/// Stands for all rows of a table, in the order of its key.
fn content(database: &Connection, table: &Table) -> rusqlite::Result<Digest> {
    let keys = table.columns.iter().filter(|column| column.is_key);
    let keys: Vec<String> = keys.map(|column| format!("\"{}\"", column.name)).collect();
    let mut statement =
        database.prepare(&format!("SELECT * FROM \"{}\" ORDER BY {}", table.name, keys.join(", ")))?;
    let mut rows = statement.query([])?;
    let mut hasher = Hasher::new(Algorithm::Sha256);
    while let Some(row) = rows.next()? {
        let values = (0..table.columns.len()).map(|column| row.get_ref(column));
        let values = values.collect::<rusqlite::Result<_>>()?;
        let mut bytes = Vec::new();
        let operation = change::Operation::Insert;
        change::Change { operation, table: "", columns: table.all(), values }.encode(&mut bytes);
        hasher.update(&bytes);
    }
    Ok(hasher.finish())
}

pub(crate) fn open(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags).map_err(failed())
}

fn failed() -> impl Fn(rusqlite::Error) -> JournalError + Copy {
    JournalError::database("verify the journal")
}
