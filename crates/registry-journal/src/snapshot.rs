//! Snapshots: the whole database as of a commit, which spares a reader all entries before it.
//!
//! A snapshot is made beside the writer, from one state of the database. It is checked as a database, stored in parts,
//! read back, and only then gets the description that makes it one.

use std::{
    fs::{self, File},
    io::{Read, Write},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use registry_database::{Owners, sqlite::tables_there};
use registry_digest::{Algorithm, Digest, Hasher};
use rusqlite::{Connection, OpenFlags};

use super::{
    error::{JournalError, Result},
    ledger::{self, State},
    names::SnapshotName,
    record::Hash,
    store::Remote,
};

/// The size of all parts but the last.
const PART_BYTES: usize = 8 * 1024 * 1024;

/// The most problems that SQLite is asked for; one is enough.
const CHECK: &str = "PRAGMA integrity_check(1)";

/// What a snapshot says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Description {
    pub(crate) number: i64,
    pub(crate) hash: Hash,
    pub(crate) at_ms: i64,
    pub(crate) size_bytes: u64,
    digest: Digest,
}

/// A snapshot that was just made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Made {
    pub(crate) number: i64,
    pub(crate) at_ms: i64,
    pub(crate) size_bytes: u64,
}

/// Makes a snapshot of the database at `path` and stores it. Nothing is left of an attempt that fails but parts that
/// nothing looks at, and that go with the next snapshot.
pub(crate) fn make(path: &Path, owners: &Owners, remote: &Remote, at_ms: i64) -> Result<Made> {
    let copy = Temporary::beside(path, ".snapshot")?;
    let state = copy_database(path, owners, copy.path())?;
    let (size_bytes, digest) = digest_of(copy.path())?;
    let description = Description { number: state.number, hash: state.hash, at_ms, size_bytes, digest };
    let name = SnapshotName::new(state.number, &digest.hex());
    store_parts(copy.path(), &name, remote)?;
    let mut back = std::io::sink();
    fetch(&description, &name, remote, &mut back)?;
    remote.insist_on_creating(&name.description(), &description.encode())?;
    // If it was there already, made from the same content by an attempt before, it says the same but for the time.
    let stored = Description::read(&name, remote)?;
    if (stored.digest, stored.hash) != (digest, state.hash) {
        return Err(JournalError::damaged(name.description(), "it describes another snapshot"));
    }
    Ok(Made { number: state.number, at_ms, size_bytes })
}

/// Copies the database as it is now, without what is volatile or about this copy alone.
fn copy_database(path: &Path, owners: &Owners, copy: &Path) -> Result<State> {
    let failed = JournalError::database("copy the database");
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(path, flags).map_err(failed)?;
    let text = copy.to_str().ok_or_else(|| failed(rusqlite::Error::InvalidPath(copy.to_owned())))?;
    database.execute("VACUUM INTO ?1", [text]).map_err(failed)?;
    drop(database);
    let database = Connection::open_with_flags(copy, flags).map_err(failed)?;
    database.pragma_update(None, "journal_mode", "off").map_err(failed)?;
    for table in tables_there(&database, owners.volatile()).map_err(failed)? {
        database.execute(&format!("DELETE FROM {table}"), []).map_err(failed)?;
    }
    database.execute("DELETE FROM journal_entries", []).map_err(failed)?;
    check(&database, "the copy")
}

/// That a file is a database with a journal, and whole.
pub(crate) fn check(database: &Connection, name: &str) -> Result<State> {
    let failed = JournalError::database("check a copy of the database");
    let said: String = database.query_row(CHECK, [], |row| row.get(0)).map_err(failed)?;
    if said != "ok" {
        return Err(JournalError::damaged(name, "SQLite finds it damaged"));
    }
    let mut statement = database.prepare("PRAGMA foreign_key_check").map_err(failed)?;
    if statement.exists([]).map_err(failed)? {
        return Err(JournalError::damaged(name, "a reference in it leads nowhere"));
    }
    ledger::state(database).map_err(failed)?.ok_or_else(|| JournalError::damaged(name, "it has no journal"))
}

fn digest_of(path: &Path) -> Result<(u64, Digest)> {
    let failed = JournalError::file("read a copy of the database");
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut file = File::open(path).map_err(failed)?;
    while let Some(part) = next_part(&mut file)? {
        hasher.update(&part);
    }
    Ok((hasher.bytes_hashed(), hasher.finish()))
}

fn next_part(file: &mut File) -> Result<Option<Bytes>> {
    let mut part = Vec::new();
    let read = file.take(PART_BYTES as u64).read_to_end(&mut part);
    read.map_err(JournalError::file("read a copy of the database"))?;
    Ok((!part.is_empty()).then(|| part.into()))
}

fn store_parts(path: &Path, name: &SnapshotName, remote: &Remote) -> Result<()> {
    let mut file = File::open(path).map_err(JournalError::file("read a copy of the database"))?;
    let mut number = 0;
    while let Some(part) = next_part(&mut file)? {
        remote.insist_on_creating(&name.part(number), &part)?;
        number += 1;
    }
    Ok(())
}

/// Reads a snapshot's bytes and checks that they are what the description says.
pub(crate) fn fetch(
    description: &Description,
    name: &SnapshotName,
    remote: &Remote,
    to: &mut impl Write,
) -> Result<()> {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let parts = description.size_bytes.div_ceil(PART_BYTES as u64);
    for part in 0..parts {
        let bytes = remote.read_known(&name.part(part))?;
        hasher.update(&bytes);
        to.write_all(&bytes).map_err(JournalError::file("write a copy of the database"))?;
    }
    match hasher.bytes_hashed() == description.size_bytes && hasher.finish() == description.digest {
        true => Ok(()),
        false => Err(JournalError::damaged(name.description(), "its bytes are not what was stored")),
    }
}

impl Description {
    pub(crate) fn read(name: &SnapshotName, remote: &Remote) -> Result<Description> {
        let bytes = remote.read_known(&name.description())?;
        Description::decode(&bytes)
            .filter(|description| description.number == name.number)
            .ok_or_else(|| JournalError::damaged(name.description(), "it is not readable"))
    }

    fn encode(&self) -> Bytes {
        let Description { number, hash, at_ms, size_bytes, digest } = self;
        let hash = Digest::from_bytes(Algorithm::Sha256, hash).expect("a SHA-256 has 32 bytes").hex();
        let text = format!(
            "snapshot 1\nnumber {number}\nhash {hash}\nat_ms {at_ms}\nsize_bytes {size_bytes}\ndigest {digest}\n"
        );
        text.into()
    }

    fn decode(bytes: &[u8]) -> Option<Description> {
        let mut lines = str::from_utf8(bytes).ok()?.lines();
        let mut value = |key: &str| lines.next()?.strip_prefix(key)?.strip_prefix(' ');
        if value("snapshot")? != "1" {
            return None;
        }
        let number = value("number")?.parse().ok()?;
        let hash: Digest = format!("sha256:{}", value("hash")?).parse().ok()?;
        let at_ms = value("at_ms")?.parse().ok()?;
        let size_bytes = value("size_bytes")?.parse().ok()?;
        let digest = value("digest")?.parse().ok()?;
        Some(Description { number, hash: hash.as_bytes().try_into().ok()?, at_ms, size_bytes, digest })
    }
}

/// A file that goes when it is dropped, with those that SQLite puts beside it.
pub(crate) struct Temporary(PathBuf);

impl Temporary {
    pub(crate) fn beside(path: &Path, suffix: &str) -> Result<Temporary> {
        let temporary = Temporary(with_suffix(path, suffix));
        temporary.remove().map_err(JournalError::file("remove what an earlier attempt left"))?;
        Ok(temporary)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    fn remove(&self) -> std::io::Result<()> {
        remove_database(&self.0)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // The next attempt begins with this again.
        let _ = self.remove();
    }
}

/// Removes a database's files, as far as they are there.
pub(crate) fn remove_database(path: &Path) -> std::io::Result<()> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        match fs::remove_file(with_suffix(path, suffix)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_survive_their_bytes() {
        let digest = Digest::of(Algorithm::Sha256, b"x");
        let description = Description { number: 7, hash: [3; 32], at_ms: 11, size_bytes: 5, digest };
        let bytes = description.encode();
        assert_eq!(Description::decode(&bytes), Some(description));
        assert_eq!(Description::decode(&bytes[..bytes.len() - 2]), None);
    }
}
