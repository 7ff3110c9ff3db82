use std::{fmt, io, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use registry_digest::{Digest, Hasher};
use registry_types::Location;
use tokio::task::{JoinHandle, spawn_blocking};

use super::{gather::Gather, root::Root, writer::Writer};
use crate::{StorageError, Upload, UploadState};

/// So much is gathered before it is handed to a blocking thread: enough that the hand-over does not count, little
/// enough to stay in the processor's cache until it is hashed and written.
const WRITE_BYTES: usize = 256 * 1024;

/// An upload to a file. Bytes are gathered here while earlier ones are hashed and written on a blocking thread.
pub(super) struct FileUpload {
    location: Location,
    offset: u64,
    gather: Gather,
    worker: Worker,
}

enum Worker {
    Idle(Box<Writer>),
    Busy(JoinHandle<Result<Box<Writer>, StorageError>>),
    Failed,
}

impl FileUpload {
    pub(super) fn new(root: Arc<Root>, location: &Location, hasher: Hasher) -> FileUpload {
        let offset = hasher.bytes_hashed();
        let writer = Writer::new(root, location, hasher);
        FileUpload {
            location: location.clone(),
            offset,
            gather: Gather::default(),
            worker: Worker::Idle(Box::new(writer)),
        }
    }

    /// Waits for the writer to be idle.
    async fn idle(&mut self) -> Result<&mut Box<Writer>, StorageError> {
        if let Worker::Busy(job) = &mut self.worker {
            let outcome = job.await.map_err(io::Error::other);
            self.worker = Worker::Failed;
            self.worker = Worker::Idle(outcome.map_err(|error| StorageError::io("write an object", error))??);
        }
        match &mut self.worker {
            Worker::Idle(writer) => Ok(writer),
            _ => Err(StorageError::UploadFailed { location: self.location.clone() }),
        }
    }

    /// Has what was gathered written by a job on a blocking thread. The writer is idle.
    fn start(&mut self, job: fn(&mut Writer, &Gather) -> Result<(), StorageError>) {
        match std::mem::replace(&mut self.worker, Worker::Failed) {
            Worker::Idle(mut writer) => {
                let gather = std::mem::take(&mut self.gather);
                self.worker =
                    Worker::Busy(spawn_blocking(move || job(&mut writer, &gather).map(|()| writer)));
            }
            other => self.worker = other,
        }
    }

    fn is_full(&self) -> bool {
        self.gather.size_bytes() >= WRITE_BYTES
    }

    fn may_be_idle(&self) -> bool {
        match &self.worker {
            Worker::Idle(_) | Worker::Failed => true,
            Worker::Busy(job) => job.is_finished(),
        }
    }
}

#[async_trait]
impl Upload for FileUpload {
    fn offset(&self) -> u64 {
        self.offset
    }

    async fn append(&mut self, bytes: Bytes) -> Result<(), StorageError> {
        if self.is_full() || self.may_be_idle() {
            self.idle().await?;
        }
        if self.is_full() {
            self.start(Writer::write);
        }
        self.offset += bytes.len() as u64;
        self.gather.push(bytes);
        if self.is_full() && matches!(self.worker, Worker::Idle(_)) {
            self.start(Writer::write);
        }
        Ok(())
    }

    async fn checkpoint(&mut self) -> Result<UploadState, StorageError> {
        loop {
            let is_empty = self.gather.is_empty();
            let state = self.idle().await?.state().filter(|_| is_empty);
            match state {
                Some(state) => return Ok(state),
                None => self.start(Writer::checkpoint),
            }
        }
    }

    async fn finish(mut self: Box<Self>, expected: &Digest) -> Result<u64, StorageError> {
        let is_empty = self.gather.is_empty();
        let writer = self.idle().await?;
        if let Some(size_bytes) = is_empty.then(|| writer.finish_at_once(expected)).flatten() {
            return Ok(size_bytes);
        }
        let FileUpload { location, gather, worker, .. } = *self;
        let Worker::Idle(writer) = worker else { return Err(StorageError::UploadFailed { location }) };
        let expected = *expected;
        super::blocking("complete an object", move || writer.finish(&gather, &expected)).await
    }
}

impl fmt::Debug for FileUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileUpload")
            .field("location", &self.location)
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}
