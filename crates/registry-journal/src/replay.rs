//! Brings a database from where it is to the end of its journal.

use registry_database::{Owners, sqlite::tables_there};
use rusqlite::{Connection, TransactionBehavior};

use super::{
    change,
    error::{JournalError, Result},
    history::{Commit, Entry, History},
    ledger::{self, State},
    names,
    record::Kind,
    store::Remote,
    table::Tables,
};

/// Where a replay has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replayed {
    /// At the end of the journal, which is commit `stored`. The database may keep commits after it.
    ToTheEnd { applied: i64, stored: i64 },
    /// Before this commit, which only a snapshot leads past.
    BeforeRebase { number: i64 },
    /// Nowhere: the entry that follows the database's last commit is not there any more.
    TooOld,
}

/// Makes the changes of every stored commit after the database's last one, up to `last`, which is after it or is where
/// it is.
///
/// # Errors
/// [`JournalError::Diverged`], if the database's last commit is another one in the journal, and
/// [`JournalError::Ahead`], if the journal ends before it and the database does not keep what follows.
pub(crate) fn replay(
    database: &mut Connection,
    owners: &Owners,
    state: State,
    history: &History,
    remote: &Remote,
    last: i64,
) -> Result<Replayed> {
    let Some(place) = history.place_of(state.number) else { return Ok(Replayed::TooOld) };
    let tables = Tables::read(database, owners).map_err(JournalError::database("read the schema"))?;
    let mut replay = Replay { tables, owners, state, applied: 0 };
    let mut stored = 0;
    for (place, first) in history.entries.iter().enumerate().skip(place) {
        if *first > last {
            break;
        }
        let entry = Entry::read(remote, *first)?;
        let commits = entry.commits()?;
        stored = commits.last().map_or(stored, |commit| commit.record.number);
        let (before, after): (Vec<Commit<'_>>, Vec<Commit<'_>>) =
            commits.iter().partition(|commit| commit.record.number <= state.number);
        if let Some(commit) = before.last() {
            let is_end = after.is_empty() && place + 1 == history.entries.len();
            check_common(database, &state, commit, is_end)?;
        }
        let after: Vec<Commit<'_>> =
            after.into_iter().filter(|commit| commit.record.number <= last).collect();
        if let Some(rebase) = after.iter().find(|commit| commit.record.kind == Kind::Rebase) {
            return Ok(Replayed::BeforeRebase { number: rebase.record.number });
        }
        replay.apply(database, *first, &after)?;
    }
    Ok(Replayed::ToTheEnd { applied: replay.applied, stored })
}

/// The last commit of the journal that is not after the database's. It is the database's last one, or the journal ends
/// with it and the database keeps what follows.
fn check_common(database: &Connection, state: &State, commit: &Commit<'_>, is_end: bool) -> Result<()> {
    let number = commit.record.number;
    if number == state.number {
        return if commit.hash == state.hash { Ok(()) } else { Err(JournalError::Diverged { number }) };
    }
    if !is_end {
        return Err(JournalError::damaged(names::entry(number + 1), "the commits before it are missing"));
    }
    let next = ledger::kept_one(database, number + 1)
        .map_err(JournalError::database("read what is to be stored"))?
        .ok_or(JournalError::Ahead { number: state.number, stored: number })?;
    let follows = super::record::Record::decode(&next).is_some_and(|next| next.previous == commit.hash);
    if follows { Ok(()) } else { Err(JournalError::Diverged { number }) }
}

struct Replay<'a> {
    tables: Tables,
    owners: &'a Owners,
    state: State,
    applied: i64,
}

impl Replay<'_> {
    /// One transaction for each entry.
    fn apply(&mut self, database: &mut Connection, first: i64, commits: &[Commit<'_>]) -> Result<()> {
        if commits.is_empty() {
            return Ok(());
        }
        let failed = JournalError::database("apply the journal");
        let transaction =
            database.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        // What one statement did to several rows is done to one after the other here.
        transaction.pragma_update(None, "defer_foreign_keys", true).map_err(failed)?;
        if self.applied == 0 {
            forget_volatile(&transaction, self.owners)?;
        }
        for commit in commits {
            let Commit { record, hash } = commit;
            if record.number != self.state.number + 1 || record.previous != self.state.hash {
                return Err(JournalError::damaged(
                    names::entry(first),
                    "it does not follow the one before it",
                ));
            }
            if record.format != self.state.format {
                return Err(JournalError::damaged(names::entry(first), "it is of another schema"));
            }
            change::apply(&transaction, &self.tables, record.number, record.changes)?;
            self.state = State { number: record.number, hash: *hash, ..self.state };
        }
        ledger::set_state(&transaction, &self.state).map_err(failed)?;
        ledger::forget(&transaction, self.state.number).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        self.applied += commits.len() as i64;
        Ok(())
    }
}

/// What is volatile in a database that others went on without is not so any more: an unfinished upload may have become
/// content, which it would overwrite. An older schema, which is brought up to date after this, has fewer such tables.
fn forget_volatile(database: &Connection, owners: &Owners) -> Result<()> {
    let failed = JournalError::database("empty the volatile tables");
    for table in tables_there(database, owners.volatile()).map_err(failed)? {
        database.execute(&format!("DELETE FROM {table}"), []).map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use registry_database::SQLITE;

    use super::*;
    use crate::tests::OWNERS;

    #[test]
    fn a_database_of_an_older_schema_forgets_what_it_has() {
        let migrations = OWNERS.migrations();
        for count in 1..=migrations.len() {
            let database = Connection::open_in_memory().unwrap();
            for migration in &migrations[..count] {
                database.execute_batch(&SQLITE.render(migration.sql)).unwrap();
            }
            database.execute("INSERT INTO sessions (id, state) VALUES ('a', 1)", []).unwrap();
            forget_volatile(&database, &OWNERS).unwrap();
            let left = "SELECT COUNT(*) FROM sessions";
            assert_eq!(database.query_row(left, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
        }
    }
}
