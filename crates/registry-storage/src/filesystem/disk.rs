//! The system calls that change what a power cut leaves, in one place.

use std::{
    fs::File,
    io::{self, IoSlice, Write},
};

use rustix::io::Errno;

use registry_types::Durability;

/// Writes and flushes as the chosen durability asks for.
#[derive(Debug)]
pub(super) struct Disk {
    durability: Durability,
    #[cfg(test)]
    pub(super) probe: super::probe::Probe,
}

/// The calls that a test sees and makes fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Call<'c> {
    Create(&'c str),
    Write { bytes: usize },
    Truncate { bytes: u64 },
    SyncData,
    SyncDirectory(&'c str),
    Remove(&'c str),
}

impl Disk {
    pub(super) fn new(durability: Durability) -> Disk {
        Disk {
            durability,
            #[cfg(test)]
            probe: Default::default(),
        }
    }

    /// Writes all of `slices` at the file's position.
    pub(super) fn write_all(&self, mut file: &File, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        self.note(Call::Write { bytes: slices.iter().map(|slice| slice.len()).sum() })?;
        while !slices.is_empty() {
            match file.write_vectored(slices) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut slices, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(super) fn truncate(&self, file: &File, bytes: u64) -> io::Result<()> {
        self.note(Call::Truncate { bytes })?;
        file.set_len(bytes)
    }

    /// Returns when the file's bytes and its size are on the disk.
    pub(super) fn sync_data(&self, file: &File) -> Result<(), Errno> {
        self.note(Call::SyncData)?;
        match self.durability {
            Durability::Full => file.sync_data().map_err(|error| errno(&error)),
            Durability::None => Ok(()),
        }
    }

    /// Returns when the names in a directory are on the disk. `path` is for tests.
    pub(super) fn sync_directory(&self, directory: &File, path: &str) -> Result<(), Errno> {
        self.note(Call::SyncDirectory(path))?;
        match self.durability {
            Durability::Full => directory.sync_all().map_err(|error| errno(&error)),
            Durability::None => Ok(()),
        }
    }

    /// Whether anything is flushed at all.
    pub(super) fn is_durable(&self) -> bool {
        self.durability == Durability::Full
    }

    /// A place for tests to look on and to fail; nothing otherwise.
    #[cfg(not(test))]
    pub(super) const fn note(&self, _call: Call<'_>) -> Result<(), Errno> {
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn note(&self, call: Call<'_>) -> Result<(), Errno> {
        self.probe.note(&call)
    }
}

/// The number of a system error, or that of an I/O error where there is none.
fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
