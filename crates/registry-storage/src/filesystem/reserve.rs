//! Space that uploads leave free, so that whatever else lies on the file system, above all the database, goes on while
//! clients fill it.

use std::{
    fs::File,
    io,
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::fs::fstatvfs;

use crate::{FreeSpace, StorageError};

/// So much is left free if nothing else is said, in bytes, …
const DEFAULT_BYTES: u64 = 256 * 1024 * 1024;

/// … but at most this part of the file system: a twentieth.
const DEFAULT_PART: u64 = 20;

/// So much is written, by all uploads together, between two looks at the file system.
const LOOK_EVERY_BYTES: u64 = 16 * 1024 * 1024;

/// How much uploads leave free.
#[derive(Debug)]
pub(super) struct Reserve {
    configured: Option<u64>,
    /// How much may be written before the next look.
    unseen_bytes: AtomicU64,
}

impl Reserve {
    /// `configured` is in bytes.
    pub(super) fn new(configured: Option<u64>) -> Reserve {
        Reserve { configured, unseen_bytes: AtomicU64::new(0) }
    }

    /// Refuses to write so much, if less than the reserve would be left. A look at the file system is a system call: it is
    /// taken where a request `begins` to write, and after so much that it may have changed.
    pub(super) fn admit(&self, directory: &File, bytes: usize, begins: bool) -> Result<(), StorageError> {
        let bytes = bytes as u64;
        if self.configured == Some(0) || (!begins && self.takes_unseen(bytes)) {
            return Ok(());
        }
        // What can not be looked at is not kept free either.
        let Some(FreeSpace { free_bytes, reserve_bytes }) = self.free_space(directory) else { return Ok(()) };
        let room_bytes = free_bytes.saturating_sub(reserve_bytes);
        if room_bytes < bytes {
            let reason = format!(
                "{free_bytes} bytes are free, and uploads leave {reserve_bytes} (`storage.filesystem.reserve`)"
            );
            let source = io::Error::new(io::ErrorKind::StorageFull, reason);
            return Err(StorageError::NoSpace { operation: "write an object", source });
        }
        self.unseen_bytes.store((room_bytes / 2).min(LOOK_EVERY_BYTES), Ordering::Relaxed);
        Ok(())
    }

    fn takes_unseen(&self, bytes: u64) -> bool {
        let less = |left: u64| left.checked_sub(bytes);
        self.unseen_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }

    /// What is free and what is left free. Nothing where the file system does not say how large it is.
    pub(super) fn free_space(&self, directory: &File) -> Option<FreeSpace> {
        let space = fstatvfs(directory).ok().filter(|space| space.f_blocks > 0)?;
        let bytes = |blocks: u64| blocks.saturating_mul(space.f_frsize);
        let reserve_bytes =
            self.configured.unwrap_or_else(|| DEFAULT_BYTES.min(bytes(space.f_blocks) / DEFAULT_PART));
        Some(FreeSpace { free_bytes: bytes(space.f_bavail), reserve_bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_less_than_the_reserve_is_refused_at_the_next_look() {
        let folder = tempfile::tempdir().unwrap();
        let directory = File::open(folder.path()).unwrap();
        let all = Reserve::new(Some(u64::MAX));
        assert!(matches!(all.admit(&directory, 1, true), Err(StorageError::NoSpace { .. })));
        assert!(matches!(all.admit(&directory, 1, false), Err(StorageError::NoSpace { .. })));
        let none = Reserve::new(Some(0));
        none.admit(&directory, usize::MAX, true).unwrap();
        let some = Reserve::new(Some(1));
        some.admit(&directory, 1, true).unwrap();
        assert!(some.takes_unseen(1) && !some.takes_unseen(LOOK_EVERY_BYTES));
    }
}
