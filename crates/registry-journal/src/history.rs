//! What the store has of a journal.

use std::collections::BTreeSet;

use super::{
    error::{JournalError, Result},
    names::{self, SnapshotName},
    record::{self, Hash, Record},
    store::Remote,
};

/// The names of what is there.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// The first commits of the entries, in order.
    pub(crate) entries: Vec<i64>,
    /// Their sizes in bytes.
    pub(crate) sizes: Vec<u64>,
    /// The snapshots that are whole, in order.
    pub(crate) snapshots: BTreeSet<SnapshotName>,
}

impl History {
    /// Snapshots are listed first: the entries that a snapshot needs are there for as long as it is.
    pub(crate) fn list(remote: &Remote) -> Result<History> {
        let mut history = History::default();
        for (name, _) in remote.list(names::SNAPSHOTS)? {
            history.snapshots.extend(SnapshotName::parse(&name));
        }
        for (name, size_bytes) in remote.list(names::ENTRIES)? {
            let number = names::entry_number(&name);
            history.entries.push(number.ok_or_else(|| JournalError::damaged(&name, "a strange name"))?);
            history.sizes.push(size_bytes);
        }
        Ok(history)
    }

    /// Which entry would have this commit: the last one that does not begin after it.
    pub(crate) fn place_of(&self, number: i64) -> Option<usize> {
        self.entries.partition_point(|first| *first <= number).checked_sub(1)
    }

    /// How many entries there are after the newest snapshot, and their size in bytes.
    pub(crate) fn since_snapshot(&self) -> (u64, u64) {
        let newest = self.snapshots.last().and_then(|newest| self.place_of(newest.number));
        let after = newest.map_or(0, |place| place + 1);
        ((self.entries.len() - after) as u64, self.sizes[after..].iter().sum())
    }

    /// Whether the chain of entries has this commit with this hash.
    pub(crate) fn has(&self, remote: &Remote, number: i64, hash: &Hash) -> Result<bool> {
        let Some(place) = self.place_of(number) else { return Ok(false) };
        let entry = Entry::read(remote, self.entries[place])?;
        Ok(entry.commits()?.iter().any(|commit| commit.record.number == number && commit.hash == *hash))
    }
}

/// An entry's bytes.
pub(crate) struct Entry {
    name: String,
    bytes: bytes::Bytes,
    first: i64,
}

/// A commit in an entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Commit<'a> {
    pub(crate) record: Record<'a>,
    pub(crate) hash: Hash,
}

impl Entry {
    pub(crate) fn read(remote: &Remote, first: i64) -> Result<Entry> {
        let name = names::entry(first);
        let bytes = remote.read_known(&name)?;
        Ok(Entry { name, bytes, first })
    }

    /// Its commits, which are numbered from its name on and are a chain.
    pub(crate) fn commits(&self) -> Result<Vec<Commit<'_>>> {
        let damaged = |reason| JournalError::damaged(&self.name, reason);
        let records = record::records(&self.bytes).ok_or_else(|| damaged("it is no entry"))?;
        let mut commits: Vec<Commit<'_>> = Vec::with_capacity(records.len());
        for (number, bytes) in (self.first..).zip(records) {
            let record = Record::decode(bytes).ok_or_else(|| damaged("a commit is not readable"))?;
            let follows = commits.last().is_none_or(|before| before.hash == record.previous);
            if record.number != number || !follows {
                return Err(damaged("its commits do not follow one another"));
            }
            commits.push(Commit { record, hash: record::hash(bytes) });
        }
        Ok(commits)
    }
}
