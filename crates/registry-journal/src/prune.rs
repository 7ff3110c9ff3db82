//! Removes what snapshots have made superfluous.

use std::{collections::BTreeSet, time::Duration};

use registry_database::clock::millis;

use super::{
    error::Result,
    history::History,
    names::{self, SnapshotName},
    snapshot::Description,
    store::Remote,
};

/// Removes snapshots that are older than the newest one that is at least as old as `age`, and the entries before that
/// one. So a start that chose a snapshot has that long to read it and the entries after it; and no entry is removed that is
/// younger, which a process that slept may believe that it still has to write.
///
/// Of every snapshot the description goes first and then the parts, so what is described is whole.
pub(crate) fn prune(remote: &Remote, now_ms: i64, age: Duration) -> Result<()> {
    let history = History::list(remote)?;
    let Some(oldest) = oldest_to_keep(&history, remote, now_ms - millis(age))? else { return Ok(()) };
    let Some(place) = history.place_of(oldest.number) else { return Ok(()) };
    let kept: BTreeSet<&SnapshotName> = history.snapshots.range(&oldest..).collect();
    for name in history.snapshots.range(..&oldest) {
        remote.remove(&name.description())?;
    }
    for (part, _) in remote.list(names::PARTS)? {
        let of = SnapshotName::parse(&part);
        // One that has no description may be on its way, unless it is older than one that has.
        let is_superfluous = of.is_none_or(|of| of.number <= oldest.number && !kept.contains(&of));
        if is_superfluous {
            remote.remove(&part)?;
        }
    }
    for first in &history.entries[..place] {
        remote.remove(&names::entry(*first))?;
    }
    Ok(())
}

/// The newest snapshot that is old enough, and of this journal.
fn oldest_to_keep(history: &History, remote: &Remote, before_ms: i64) -> Result<Option<SnapshotName>> {
    for name in history.snapshots.iter().rev() {
        let description = Description::read(name, remote)?;
        if description.at_ms <= before_ms && history.has(remote, description.number, &description.hash)? {
            return Ok(Some(name.clone()));
        }
    }
    Ok(None)
}
