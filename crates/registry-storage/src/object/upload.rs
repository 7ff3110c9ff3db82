use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use registry_digest::Digest;
use registry_types::Location;
use tokio::task::JoinHandle;

use super::writer::Writer;
use crate::{StorageError, Upload, UploadState};

/// An upload to an object store.
pub(super) struct ObjectUpload {
    location: Location,
    offset: u64,
    worker: Worker,
}

enum Worker {
    Idle(Box<Writer>),
    /// Makes a checkpoint, which goes on also when nobody waits for it.
    Busy(JoinHandle<Result<Box<Writer>, StorageError>>),
    Failed,
}

impl ObjectUpload {
    pub(super) fn new(location: &Location, writer: Writer) -> ObjectUpload {
        ObjectUpload {
            location: location.clone(),
            offset: writer.offset(),
            worker: Worker::Idle(Box::new(writer)),
        }
    }

    /// Waits for the writer to be idle.
    async fn idle(&mut self) -> Result<&mut Box<Writer>, StorageError> {
        if let Worker::Busy(job) = &mut self.worker {
            let outcome = job.await;
            self.worker = Worker::Failed;
            let writer = outcome.map_err(|source| StorageError::Backend {
                operation: "make a checkpoint",
                source: source.into(),
            })??;
            self.worker = Worker::Idle(writer);
        }
        match &mut self.worker {
            Worker::Idle(writer) => Ok(writer),
            _ => Err(StorageError::UploadFailed { location: self.location.clone() }),
        }
    }

    fn start_checkpoint(&mut self) {
        match std::mem::replace(&mut self.worker, Worker::Failed) {
            Worker::Idle(mut writer) => {
                self.worker = Worker::Busy(tokio::spawn(async move {
                    writer.checkpoint().await?;
                    Ok(writer)
                }));
            }
            other => self.worker = other,
        }
    }
}

#[async_trait]
impl Upload for ObjectUpload {
    fn offset(&self) -> u64 {
        self.offset
    }

    async fn append(&mut self, bytes: Bytes) -> Result<(), StorageError> {
        let made = self.idle().await?.make_room(bytes.len()).await;
        if made.is_err() {
            self.worker = Worker::Failed;
        }
        made?;
        self.idle().await?.push(&bytes);
        self.offset += bytes.len() as u64;
        Ok(())
    }

    async fn checkpoint(&mut self) -> Result<UploadState, StorageError> {
        loop {
            let offset = self.offset;
            let writer = self.idle().await?;
            match writer.saved().filter(|saved| saved.offset() == offset) {
                Some(saved) => return Ok(saved.clone()),
                None => self.start_checkpoint(),
            }
        }
    }

    async fn finish(mut self: Box<Self>, expected: &Digest) -> Result<u64, StorageError> {
        self.idle().await?;
        let ObjectUpload { location, worker, .. } = *self;
        let Worker::Idle(writer) = worker else { return Err(StorageError::UploadFailed { location }) };
        let expected = *expected;
        let finishing = tokio::spawn(async move { writer.finish(&expected).await });
        finishing.await.map_err(|source| StorageError::Backend {
            operation: "complete an object",
            source: source.into(),
        })?
    }
}

impl fmt::Debug for ObjectUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectUpload")
            .field("location", &self.location)
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}
