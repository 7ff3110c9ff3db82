//! A store whose requests wait for their turn, fail, come late or twice.

use std::{
    ops::Range,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;
use registry_digest::{Algorithm, Digest};
use registry_storage::{
    BlobStore, Body, MemoryStore, ObjectInfo, StorageError, StoreIdentity, Upload, UploadState,
};
use registry_types::Location;

use super::{
    ledger::Ledger,
    turns::{Fate, Turn, Turns},
};

/// Something that was asked of the store and has not arrived yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OnItsWay {
    Write(Location, Bytes),
    Delete(Location),
}

/// The store as one actor sees it.
#[derive(Clone, Debug)]
pub(crate) struct SteppedStore {
    pub(crate) inner: MemoryStore,
    pub(crate) actor: usize,
    pub(crate) turns: Turns,
    pub(crate) on_their_way: Arc<Mutex<Vec<OnItsWay>>>,
    pub(crate) ledger: Arc<Mutex<Ledger>>,
}

fn lost() -> StorageError {
    StorageError::Backend { operation: "reach the store", source: "the connection broke".into() }
}

impl SteppedStore {
    async fn simple<T>(
        &self,
        what: &'static str,
        work: impl Future<Output = Result<T, StorageError>> + Send,
    ) -> Result<T, StorageError> {
        let turn = self.turns.turn(self.actor, what).await;
        with(&turn, work).await
    }

    fn send(&self, request: OnItsWay) {
        self.on_their_way.lock().unwrap().push(request);
    }

    async fn deletion(
        &self,
        what: &'static str,
        location: &Location,
        work: impl Future<Output = Result<(), StorageError>> + Send,
    ) -> Result<(), StorageError> {
        let turn = self.turns.turn(self.actor, what).await;
        if matches!(turn.fate, Fate::Late | Fate::Again) {
            self.send(OnItsWay::Delete(location.clone()));
        }
        let done = with(&turn, work).await;
        self.ledger.lock().unwrap().is_suspicious = true;
        done
    }

    fn upload(&self, inner: Box<dyn Upload>, location: &Location) -> Box<dyn Upload> {
        Box::new(SteppedUpload { inner, location: location.clone(), store: self.clone() })
    }
}

async fn with<T>(
    turn: &Turn,
    work: impl Future<Output = Result<T, StorageError>> + Send,
) -> Result<T, StorageError> {
    match turn.fate {
        Fate::Done | Fate::Again => work.await,
        Fate::Fails | Fate::Late => Err(lost()),
        Fate::AnswerLost => work.await.and(Err(lost())),
    }
}

#[async_trait]
impl BlobStore for SteppedStore {
    async fn read_identity(&self) -> Result<Option<StoreIdentity>, StorageError> {
        self.inner.read_identity().await
    }

    async fn create_identity(&self, identity: &StoreIdentity) -> Result<(), StorageError> {
        self.inner.create_identity(identity).await
    }

    async fn begin(
        &self,
        location: &Location,
        algorithm: Algorithm,
    ) -> Result<Box<dyn Upload>, StorageError> {
        let inner = self.simple("begin", self.inner.begin(location, algorithm)).await?;
        Ok(self.upload(inner, location))
    }

    async fn resume(
        &self,
        location: &Location,
        state: &UploadState,
    ) -> Result<Box<dyn Upload>, StorageError> {
        let inner = self.simple("resume", self.inner.resume(location, state)).await?;
        Ok(self.upload(inner, location))
    }

    async fn abandon(&self, location: &Location, state: Option<&UploadState>) -> Result<(), StorageError> {
        self.deletion("abandon", location, self.inner.abandon(location, state)).await
    }

    async fn open(&self, location: &Location, range: Range<u64>) -> Result<Body, StorageError> {
        self.simple("open", self.inner.open(location, range)).await
    }

    async fn size(&self, location: &Location) -> Result<Option<u64>, StorageError> {
        self.simple("size", self.inner.size(location)).await
    }

    async fn is_missing(&self, location: &Location, size_bytes: u64) -> Result<bool, StorageError> {
        self.simple("is_missing", self.inner.is_missing(location, size_bytes)).await
    }

    async fn delete(&self, location: &Location) -> Result<(), StorageError> {
        self.deletion("delete", location, self.inner.delete(location)).await
    }

    async fn list(&self, after: Option<&Location>, limit: usize) -> Result<Vec<ObjectInfo>, StorageError> {
        self.simple("list", self.inner.list(after, limit)).await
    }

    async fn read_mark(&self) -> Result<Option<i64>, StorageError> {
        self.simple("read_mark", self.inner.read_mark()).await
    }

    async fn write_mark(&self, mark: i64) -> Result<bool, StorageError> {
        self.simple("write_mark", self.inner.write_mark(mark)).await
    }

    async fn check(&self) -> Result<(), StorageError> {
        self.inner.check().await
    }
}

#[derive(Debug)]
struct SteppedUpload {
    inner: Box<dyn Upload>,
    location: Location,
    store: SteppedStore,
}

#[async_trait]
impl Upload for SteppedUpload {
    fn offset(&self) -> u64 {
        self.inner.offset()
    }

    async fn append(&mut self, bytes: Bytes) -> Result<(), StorageError> {
        self.inner.append(bytes).await
    }

    async fn checkpoint(&mut self) -> Result<UploadState, StorageError> {
        let turn = self.store.turns.turn(self.store.actor, "checkpoint").await;
        with(&turn, self.inner.checkpoint()).await
    }

    async fn finish(self: Box<Self>, expected: &Digest) -> Result<u64, StorageError> {
        let SteppedUpload { inner, location, store } = *self;
        let turn = store.turns.turn(store.actor, "finish").await;
        let done = with(&turn, inner.finish(expected)).await;
        if let (Fate::Again, Ok(size_bytes)) = (turn.fate, &done) {
            let content = read(&store.inner, &location, *size_bytes).await?;
            store.send(OnItsWay::Write(location, content));
        }
        done
    }
}

/// The first bytes of an object.
pub(crate) async fn read(
    store: &MemoryStore,
    location: &Location,
    size_bytes: u64,
) -> Result<Bytes, StorageError> {
    let mut content = Vec::new();
    let mut pieces = store.open(location, 0..size_bytes).await?.into_stream();
    while let Some(piece) = futures_util::StreamExt::next(&mut pieces).await {
        content.extend_from_slice(&piece.expect("memory does not fail"));
    }
    Ok(content.into())
}

/// What was on its way arrives.
pub(crate) async fn arrive(store: &MemoryStore, request: OnItsWay) {
    match request {
        OnItsWay::Delete(location) => store.delete(&location).await.unwrap(),
        OnItsWay::Write(location, content) => {
            let mut upload = store.begin(&location, Algorithm::Sha256).await.unwrap();
            upload.append(content.clone()).await.unwrap();
            upload.finish(&Digest::of(Algorithm::Sha256, &content)).await.unwrap();
        }
    }
}
