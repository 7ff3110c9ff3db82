//! Makes a database from a snapshot.

use std::{
    fs::{self, File},
    path::Path,
};

use rusqlite::{Connection, OpenFlags};

use super::{
    error::{JournalError, Result},
    history::History,
    names::SnapshotName,
    snapshot::{self, Description, Temporary, remove_database, with_suffix},
    store::Remote,
};

/// Puts the newest snapshot that can be used in the place of the database at `path`, and says which commit it is of. A
/// database that is there and has commits which were never stored is put aside, beside its place.
///
/// A crash leaves the old database or the new one.
pub(crate) fn restore(path: &Path, history: &History, remote: &Remote, keep_old: bool) -> Result<i64> {
    let copy = Temporary::beside(path, ".restoring")?;
    for name in history.snapshots.iter().rev() {
        match fetch(name, history, remote, copy.path()) {
            Ok(description) => {
                put_in_place(copy.path(), path, keep_old)
                    .map_err(JournalError::file("put a snapshot in the database's place"))?;
                return Ok(description.number);
            }
            Err(error @ (JournalError::Damaged { .. } | JournalError::Gone { .. })) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "a snapshot of commit {} can not be used", name.number);
            }
            Err(error) => return Err(error),
        }
    }
    Err(JournalError::NoSnapshot)
}

/// Writes a snapshot to `to` and checks it: that it is of this journal, that its bytes are what was stored, and that they
/// are a database.
pub(crate) fn fetch(
    name: &SnapshotName,
    history: &History,
    remote: &Remote,
    to: &Path,
) -> Result<Description> {
    let description = Description::read(name, remote)?;
    if !history.has(remote, description.number, &description.hash)? {
        return Err(JournalError::damaged(name.description(), "its commit is not in the journal"));
    }
    let failed = JournalError::file("write a copy of the database");
    let mut file = File::create(to).map_err(failed)?;
    snapshot::fetch(&description, name, remote, &mut file)?;
    file.sync_all().map_err(failed)?;
    drop(file);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(to, flags)
        .map_err(JournalError::database("open a copy of the database"))?;
    let state = snapshot::check(&database, &name.description())?;
    match (state.number, state.hash) == (description.number, description.hash) {
        true => Ok(description),
        false => Err(JournalError::damaged(name.description(), "it is of another commit than it says")),
    }
}

fn put_in_place(copy: &Path, path: &Path, keep_old: bool) -> std::io::Result<()> {
    if keep_old {
        let aside = with_suffix(path, ".unstored");
        remove_database(&aside)?;
        for suffix in ["-wal", "-shm", ""] {
            let (from, to) = (with_suffix(path, suffix), with_suffix(&aside, suffix));
            if from.exists() {
                fs::rename(from, to)?;
            }
        }
        tracing::warn!("the database that was there is kept as {}", aside.display());
    } else {
        // The log first: it must never meet another database than its own.
        for suffix in ["-wal", "-shm"] {
            let beside = with_suffix(path, suffix);
            if beside.exists() {
                fs::remove_file(beside)?;
            }
        }
    }
    if let Ok(metadata) = fs::metadata(path) {
        fs::set_permissions(copy, metadata.permissions())?;
    }
    fs::rename(copy, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
