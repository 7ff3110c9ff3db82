use std::{sync::Arc, time::Duration};

use super::{error::JournalError, progress::Progress};

/// How a journal is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalOptions {
    /// Who opens the database.
    pub role: JournalRole,
    /// A snapshot is made when the entries since the last one have so many bytes, and a quarter of that snapshot's size.
    /// 64 MiB.
    pub snapshot_bytes: u64,
    /// A snapshot is made when there are so many entries since the last one, and one for each MiB of that snapshot's
    /// size. 2000.
    pub snapshot_entries: u64,
    /// How long entries and snapshots that a newer snapshot replaces are kept, for processes that are reading them, and so that
    /// a process that slept can not write one of them once more. One hour; less is for tests.
    pub retention: Duration,
}

/// Who opens a journalled database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalRole {
    /// The one process that serves from it, which also brings it up to date, and makes snapshots.
    Serving,
    /// A command that works beside the server, or without one, on a database that is up to date.
    Beside,
}

impl Default for JournalOptions {
    fn default() -> Self {
        JournalOptions {
            role: JournalRole::Serving,
            snapshot_bytes: 64 * 1024 * 1024,
            snapshot_entries: 2_000,
            retention: Duration::from_secs(60 * 60),
        }
    }
}

/// How a journal is doing.
#[derive(Clone, Debug)]
pub struct JournalStatus {
    /// The number of the last commit.
    pub committed: i64,
    /// Every commit up to this one is stored.
    pub stored: i64,
    /// The size of the commits that are not stored, in bytes.
    pub pending_bytes: u64,
    /// For how long the oldest of them has waited, at most; zero if there is none.
    pub behind: Duration,
    /// How many entries this process has stored.
    pub entries: u64,
    /// Their size in bytes.
    pub entries_bytes: u64,
    /// The last commit in the newest snapshot; none if this process has neither made nor found one.
    pub snapshot: Option<i64>,
    /// When that was made, in milliseconds since 1970 UTC.
    pub snapshot_at_ms: Option<i64>,
    /// Its size in bytes.
    pub snapshot_bytes: Option<u64>,
    /// Why the journal has ended, if it has.
    pub fault: Option<Arc<JournalError>>,
}

impl JournalStatus {
    pub(crate) fn of(progress: Progress) -> JournalStatus {
        let snapshot = progress.snapshot;
        JournalStatus {
            committed: progress.committed,
            stored: progress.stored,
            pending_bytes: progress.pending_bytes,
            behind: progress.pending_since.map_or(Duration::ZERO, |since| since.elapsed()),
            entries: progress.entries,
            entries_bytes: progress.entries_bytes,
            snapshot: snapshot.map(|snapshot| snapshot.number),
            snapshot_at_ms: snapshot.map(|snapshot| snapshot.at_ms),
            snapshot_bytes: snapshot.map(|snapshot| snapshot.size_bytes),
            fault: progress.fault,
        }
    }
}
