//! How the file descriptors of a process are shared out.

use rustix::process::{Resource, getrlimit};

/// For the database, the log, the store's own files, and whatever else a process has open.
const OTHERS: u64 = 256;

/// What each kind has at least, however few there are: enough to be told what is wrong.
const MIN: u64 = 16;

/// How many connections, and how many files for answers, a process can have open at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptors {
    pub(crate) connections: usize,
    pub(crate) files: usize,
}

impl Descriptors {
    /// As the process's limit is now. Half of what others leave is for connections, so that however many rest, a file can be
    /// opened for one that asks.
    pub(crate) fn of_process() -> Descriptors {
        Descriptors::of(getrlimit(Resource::Nofile).current)
    }

    fn of(limit: Option<u64>) -> Descriptors {
        let half = limit.map_or(u64::MAX, |limit| (limit.saturating_sub(OTHERS) / 2).max(MIN));
        let half = usize::try_from(half).unwrap_or(usize::MAX);
        Descriptors { connections: half, files: half }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_half_to_files() {
        for (limit, expected) in
            [(Some(1024), 384), (Some(20_256), 10_000), (Some(256), 16), (Some(0), 16), (None, usize::MAX)]
        {
            let descriptors = Descriptors::of(limit);
            assert_eq!((descriptors.connections, descriptors.files), (expected, expected), "{limit:?}");
        }
    }
}
