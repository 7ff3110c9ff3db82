use std::{
    fs::File,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;
use rustix::io::Errno;
use tokio::task::spawn_blocking;

use super::{grouped::GroupedSync, root::Root};

/// A file being written, with what is known of its flushes.
///
/// The system reports an error of writing back once, to whichever flush comes first. So it is kept here: a flush that
/// succeeds after one that failed proves nothing.
#[derive(Debug)]
pub(super) struct FlushedFile {
    file: File,
    flushes: GroupedSync<Result<(), Errno>>,
    failure: Mutex<Option<Errno>>,
    is_queued: AtomicBool,
}

impl FlushedFile {
    pub(super) fn new(file: File) -> FlushedFile {
        FlushedFile {
            file,
            flushes: GroupedSync::default(),
            failure: Mutex::default(),
            is_queued: AtomicBool::new(false),
        }
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Returns when all bytes that were written before are durable.
    pub(super) fn flush(&self, root: &Root) -> io::Result<()> {
        let flushed = self.flushes.run(|| {
            let flushed = root.disk.sync_data(&self.file);
            if let Err(errno) = flushed {
                self.failure.lock().get_or_insert(errno);
            }
            flushed
        });
        match *self.failure.lock() {
            Some(errno) => Err(errno.into()),
            None => Ok(flushed?),
        }
    }

    /// Begins a flush on another thread, unless one has begun or is about to.
    pub(super) fn start_flush(self: &Arc<Self>, root: &Arc<Root>) {
        if !self.is_queued.swap(true, Ordering::AcqRel) {
            // If the upload is over before a thread is free, there is nothing left to do.
            let (flushed, root) = (Arc::downgrade(self), root.clone());
            spawn_blocking(move || {
                if let Some(flushed) = flushed.upgrade() {
                    // An error is kept for the writer.
                    let _ = flushed.flush(&root);
                    flushed.is_queued.store(false, Ordering::Release);
                }
            });
        }
    }
}
