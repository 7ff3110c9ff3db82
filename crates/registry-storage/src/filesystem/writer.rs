//! The part of an upload that blocks: it runs on the blocking threads, one call at a time.

use std::{
    fs::File,
    io::{self, Seek, SeekFrom},
    os::unix::fs::FileExt,
    sync::Arc,
};

use registry_digest::{Algorithm, Digest, Hasher};
use registry_types::Location;
use rustix::{
    fs::{OFlags, openat},
    io::Errno,
};

use super::{
    directory::Directory,
    disk::Call,
    flushed::FlushedFile,
    gather::Gather,
    layout,
    root::{FILE_MODE, Root},
    tenure::Tenure,
};
use crate::{StorageError, UploadState};

/// After so much of an upload a flush is begun beside the writing, so that not all of it is left for the end.
const FLUSH_BYTES: u64 = 4 * 1024 * 1024;

/// How much is read at once if an object has to be hashed anew.
const READ_BYTES: usize = 256 * 1024;

/// Writes one object from its beginning, or from a durable offset, to its end. After an error it is of no use.
#[derive(Debug)]
pub(super) struct Writer {
    root: Arc<Root>,
    tenure: Tenure,
    /// Over everything written.
    hasher: Hasher,
    open: Option<Open>,
    /// How much is durable, together with its name.
    durable_bytes: u64,
    /// Whether nothing was written yet.
    begins: bool,
    /// How much was written when the last flush beside the writing began.
    flushing_bytes: u64,
}

#[derive(Debug)]
struct Open {
    file: Arc<FlushedFile>,
    /// The directory whose flush makes the object's name durable, as long as that is not done.
    unflushed: Option<Arc<Directory>>,
    /// Whether anything changed since the file was flushed.
    is_dirty: bool,
}

impl Writer {
    /// Goes on after the bytes that `hasher` has seen, which are durable. Does nothing yet but to end other writers.
    pub(super) fn new(root: Arc<Root>, location: &Location, hasher: Hasher) -> Writer {
        let tenure = root.tenures.begin(location);
        let durable_bytes = hasher.bytes_hashed();
        let (open, begins) = (None, true);
        Writer { root, tenure, hasher, open, durable_bytes, begins, flushing_bytes: durable_bytes }
    }

    /// The state from which any node can go on, if everything written is durable.
    pub(super) fn state(&self) -> Option<UploadState> {
        let is_dirty = self.open.as_ref().is_some_and(|open| open.is_dirty);
        let is_durable = !is_dirty && self.durable_bytes == self.hasher.bytes_hashed();
        is_durable.then(|| UploadState::new(&self.hasher, Vec::new()))
    }

    /// Hashes and writes.
    pub(super) fn write(&mut self, gather: &Gather) -> Result<(), StorageError> {
        gather.hash(&mut self.hasher);
        self.write_hashed(gather)
    }

    /// Hashes and writes, and returns when everything is durable.
    pub(super) fn checkpoint(&mut self, gather: &Gather) -> Result<(), StorageError> {
        self.write(gather)?;
        self.sync()
    }

    /// Completes an upload that was resumed and got no more bytes, if that can be done without waiting for anything, on
    /// an asynchronous thread: its object is there, and ends where it should. Returns its size.
    pub(super) fn finish_at_once(&self, expected: &Digest) -> Option<u64> {
        let is_untouched = self.open.is_none() && self.durable_bytes > 0;
        if !is_untouched
            || self.hasher.algorithm() != expected.algorithm()
            || self.hasher.current() != *expected
        {
            return None;
        }
        let _held = self.tenure.try_hold()?;
        let file = self.root.open_cached(self.tenure.location())?.ok()?;
        let size_bytes = file.metadata().ok()?.len();
        (size_bytes == self.durable_bytes).then_some(size_bytes)
    }

    /// Writes the rest and completes the object, or removes it if it is not what was expected. Returns its size.
    pub(super) fn finish(mut self, gather: &Gather, expected: &Digest) -> Result<u64, StorageError> {
        gather.hash(&mut self.hasher);
        let is_hashed = expected.algorithm() == self.hasher.algorithm();
        if is_hashed {
            // Before the last bytes are written and flushed, as that would be in vain.
            self.compare(expected, self.hasher.current())?;
        }
        self.write_hashed(gather)?;
        if !is_hashed {
            self.compare(expected, self.read_digest(expected.algorithm())?)?;
        }
        self.sync()?;
        Ok(self.durable_bytes)
    }

    fn compare(&self, expected: &Digest, actual: Digest) -> Result<(), StorageError> {
        if actual == *expected {
            return Ok(());
        }
        let _held = self.tenure.hold()?;
        self.root.remove(self.tenure.location())?;
        Err(StorageError::digest_mismatch(*expected, actual))
    }

    fn write_hashed(&mut self, gather: &Gather) -> Result<(), StorageError> {
        self.open()?;
        let Some(open) = self.open.as_mut().filter(|_| !gather.is_empty()) else { return Ok(()) };
        let held = self.tenure.hold()?;
        open.is_dirty = true;
        let written = self.root.admit(gather.size_bytes(), self.begins).and_then(|()| {
            let written = self.root.disk.write_all(open.file.file(), &mut gather.slices());
            written.map_err(|error| StorageError::io("write an object", error))
        });
        self.begins = false;
        if let Err(error) = written {
            // On a full disk nobody has a use for bytes that do not count. The error to tell is the first one.
            let _ = self.root.disk.truncate(open.file.file(), self.durable_bytes);
            return Err(error);
        }
        drop(held);
        let written_bytes = self.hasher.bytes_hashed();
        if self.root.disk.is_durable() && written_bytes - self.flushing_bytes >= FLUSH_BYTES {
            open.file.start_flush(&self.root);
            self.flushing_bytes = written_bytes;
        }
        Ok(())
    }

    /// Returns when everything written is durable.
    fn sync(&mut self) -> Result<(), StorageError> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let failed = |error| StorageError::io("flush an object", error);
        if open.is_dirty {
            open.file.flush(&self.root).map_err(failed)?;
        }
        if let Some(directory) = &open.unflushed {
            self.root.directories.sync(&self.root.disk, directory).map_err(failed)?;
        }
        // Another writer may have cut it off meanwhile.
        drop(self.tenure.hold()?);
        (open.is_dirty, open.unflushed) = (false, None);
        self.durable_bytes = self.hasher.bytes_hashed();
        Ok(())
    }

    /// Opens the file if it is not open: empty, or cut off after the durable bytes.
    fn open(&mut self) -> Result<(), StorageError> {
        if self.open.is_none() {
            let held = self.tenure.hold()?;
            let open = if self.durable_bytes == 0 { self.create() } else { self.reopen() }?;
            drop(held);
            self.open = Some(open);
        }
        Ok(())
    }

    fn create(&self) -> Result<Open, StorageError> {
        let created = self.create_once().or_else(|error| match error.kind() {
            // The directory was removed while we knew it. Once is enough: who removes it again means it.
            io::ErrorKind::NotFound => {
                self.root.directories.forget(self.directory()?);
                self.create_once()
            }
            _ => Err(error),
        });
        let (file, directory) = created.map_err(|error| StorageError::io("create an object", error))?;
        Ok(Open { file: Arc::new(FlushedFile::new(file)), unflushed: Some(directory), is_dirty: true })
    }

    fn create_once(&self) -> io::Result<(File, Arc<Directory>)> {
        let directory = self.root.directories.create(&self.root.disk, self.directory()?)?;
        self.root.disk.note(Call::Create(self.tenure.location().as_str()))?;
        Ok((self.open_file(OFlags::CREATE | OFlags::TRUNC)?, directory))
    }

    fn directory(&self) -> io::Result<&str> {
        let split = layout::split(self.tenure.location());
        split.map(|(directory, _)| directory).ok_or_else(|| io::ErrorKind::InvalidFilename.into())
    }

    fn reopen(&self) -> Result<Open, StorageError> {
        let failed = |error| StorageError::io("open an object to go on with it", error);
        let lost = |actual_bytes| StorageError::UploadBytesLost {
            location: self.tenure.location().clone(),
            expected_bytes: self.durable_bytes,
            actual_bytes,
        };
        let mut file = match self.open_file(OFlags::empty()) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Err(lost(0)),
            opened => opened.map_err(|errno| failed(errno.into()))?,
        };
        let size_bytes = file.metadata().map_err(failed)?.len();
        if size_bytes < self.durable_bytes {
            return Err(lost(size_bytes));
        }
        let is_longer = size_bytes > self.durable_bytes;
        if is_longer {
            self.root.disk.truncate(&file, self.durable_bytes).map_err(failed)?;
        }
        file.seek(SeekFrom::Start(self.durable_bytes)).map_err(failed)?;
        // There was a checkpoint, so the name is durable.
        Ok(Open { file: Arc::new(FlushedFile::new(file)), unflushed: None, is_dirty: is_longer })
    }

    fn open_file(&self, how: OFlags) -> Result<File, Errno> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC | how;
        openat(self.root.directories.root(), self.tenure.location().as_str(), flags, FILE_MODE)
            .map(File::from)
    }

    /// Reads what was written from its beginning.
    fn read_digest(&self, algorithm: Algorithm) -> Result<Digest, StorageError> {
        let mut hasher = Hasher::new(algorithm);
        let size_bytes = self.hasher.bytes_hashed();
        let Some(open) = &self.open else { return Ok(hasher.finish()) };
        let mut buffer = vec![0; READ_BYTES];
        while hasher.bytes_hashed() < size_bytes {
            let left = (size_bytes - hasher.bytes_hashed()).min(READ_BYTES as u64) as usize;
            let piece = &mut buffer[..left];
            open.file
                .file()
                .read_exact_at(piece, hasher.bytes_hashed())
                .map_err(|error| StorageError::io("read an object to verify it", error))?;
            hasher.update(piece);
        }
        Ok(hasher.finish())
    }
}
