use std::sync::Arc;

use registry_digest::{Digest, Hasher};
use tokio::{sync::OnceCell, task::JoinSet};

use super::{
    Shared,
    budget::Sharer,
    buffer::Buffer,
    failure::{failure, is_unknown_upload},
    layout::Tail,
    progress::{Progress, StoredTail},
    tenure::Tenure,
};
use crate::{StorageError, UploadState, UploadStateError};

/// What an upload may hold before it asks for a share of the memory of all: most configurations and many layers are no
/// larger, and a slow client needs a while to reach it.
const FREE_BYTES: usize = 128 * 1024;

/// The least that a part other than the last may have, in S3 and in what is like it.
pub(super) const PART_BYTES_MIN: usize = 5 * 1024 * 1024;

/// After so many parts they become twice as large: 10 000 of them, the most that S3 takes, then hold 310 GiB even where
/// memory is scarce, and 992 GiB with parts of 16 MiB.
const PARTS_PER_STEP: usize = 2000;

/// The most parts of one upload that are under way.
const PARTS_IN_FLIGHT_MAX: usize = 8;

/// Which part was stored, and what the store calls it.
type SentPart = Result<(usize, String), StorageError>;

/// An upload: what is stored of it, what is on the way, and what is still here.
///
/// The final key is written by nothing but [`finish`](Self::finish), and only if it is absent. So a request that was given
/// up and wakes up late can not change what another one completed.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) tenure: Tenure,
    pub(super) hasher: Hasher,
    /// What the last state had, and what was stored since.
    pub(super) progress: Progress,
    multipart: Arc<OnceCell<String>>,
    /// Parts in order; those under way are still empty.
    parts: Vec<String>,
    sending: JoinSet<SentPart>,
    /// A whole part that waits until it is known that what follows is no shorter than a part may be.
    held: Option<Buffer>,
    open: Buffer,
    /// How many bytes a part has that is begun now.
    target_bytes: usize,
    sharer: Option<Sharer>,
    /// A tail of the state that was not fetched yet.
    unfetched: Option<Tail>,
    /// The tail is gone. That happens when the object was completed and the answer was lost.
    pub(super) is_tail_lost: bool,
    saved: Option<UploadState>,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, tenure: Tenure, hasher: Hasher) -> Writer {
        Writer {
            shared,
            tenure,
            hasher,
            progress: Progress::default(),
            multipart: Arc::default(),
            parts: Vec::new(),
            sending: JoinSet::new(),
            held: None,
            open: Buffer::new(FREE_BYTES, None),
            target_bytes: 0,
            sharer: None,
            unfetched: None,
            is_tail_lost: false,
            saved: None,
        }
    }

    pub(super) fn resume(
        shared: Arc<Shared>,
        tenure: Tenure,
        state: &UploadState,
    ) -> Result<Writer, StorageError> {
        let mut writer = Writer::new(shared, tenure, state.hasher()?);
        if state.offset() == 0 && state.backend().is_empty() {
            return Ok(writer);
        }
        let invalid = || UploadStateError::CutOff { actual_bytes: state.backend().len() };
        writer.progress = Progress::from_bytes(state.backend()).ok_or_else(invalid)?;
        writer.parts = writer.progress.parts.clone();
        if let Some(id) = &writer.progress.multipart {
            writer.multipart = Arc::new(OnceCell::new_with(Some(id.clone())));
        }
        match &writer.progress.tail {
            StoredTail::None => {}
            StoredTail::Inline(bytes) => writer.open.push(bytes),
            StoredTail::Object(tail) => writer.unfetched = Some(*tail),
        }
        writer.saved = Some(state.clone());
        Ok(writer)
    }

    /// The last state.
    pub(super) fn saved(&self) -> Option<&UploadState> {
        self.saved.as_ref()
    }

    pub(super) fn offset(&self) -> u64 {
        self.hasher.bytes_hashed()
    }

    /// Waits until `more_bytes` may be pushed. If the future is dropped, nothing of the upload has changed.
    pub(super) async fn make_room(&mut self, more_bytes: usize) -> Result<(), StorageError> {
        if more_bytes == 0 || self.is_tail_lost {
            return Ok(());
        }
        self.fetch_tail().await?;
        self.reap()?;
        if self.open.is_reserved() && self.open.len() >= self.target_bytes {
            self.rotate();
        }
        while self.sending.len() >= PARTS_IN_FLIGHT_MAX {
            let sent = self.sending.join_next().await;
            self.note(sent)?;
        }
        if !self.open.is_reserved() && self.open.len() + more_bytes > FREE_BYTES {
            self.choose_target();
            let reservation = self.shared.budget.reserve(self.target_bytes).await;
            self.open.grow(self.target_bytes, reservation);
        }
        Ok(())
    }

    /// Takes bytes for which there is room.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        if !self.is_tail_lost {
            self.open.push(bytes);
        }
        // What follows is known to be long enough.
        if self.open.len() >= PART_BYTES_MIN
            && let Some(held) = self.held.take()
        {
            self.send(held);
        }
    }

    /// The state of everything pushed, all of it stored.
    pub(super) async fn checkpoint(&mut self) -> Result<UploadState, StorageError> {
        self.tenure.check()?;
        if let Some(saved) = self.saved.as_ref().filter(|saved| saved.offset() == self.offset()) {
            return Ok(saved.clone());
        }
        if self.is_tail_lost {
            return Err(self.bytes_lost());
        }
        self.send_what_can_be_a_part();
        let tail = self.store_tail().await?;
        self.wait_for_parts().await?;
        self.tenure.check()?;
        let earlier = std::mem::take(&mut self.progress);
        // The state before the last is not needed: nobody makes a checkpoint after one that could not be kept.
        self.shared.remove_tails(self.tenure.location(), earlier.stale);
        self.progress = Progress {
            multipart: self.multipart.get().cloned(),
            parts: self.parts.clone(),
            tail,
            stale: match earlier.tail {
                StoredTail::Object(tail) => vec![tail],
                _ => Vec::new(),
            },
        };
        let state = UploadState::new(&self.hasher, self.progress.to_bytes());
        self.saved = Some(state.clone());
        Ok(state)
    }

    /// All bytes, if no part was sent and none must be fetched: they go to the store as a whole.
    pub(super) async fn whole(&mut self) -> Result<Option<Buffer>, StorageError> {
        if !self.parts.is_empty() {
            return Ok(None);
        }
        self.fetch_tail().await?;
        let mut whole = self.held.take().unwrap_or_default();
        whole.append(std::mem::take(&mut self.open));
        Ok(Some(whole))
    }

    /// Stores all that is left as parts, and returns the upload's id and all its parts.
    pub(super) async fn all_parts(&mut self) -> Result<(String, Vec<String>), StorageError> {
        self.fetch_tail().await?;
        self.send_what_can_be_a_part();
        if !self.open.is_empty() {
            let last = std::mem::take(&mut self.open);
            self.send(last);
        }
        self.wait_for_parts().await?;
        let id = self.multipart.get().cloned().unwrap_or_default();
        Ok((id, std::mem::take(&mut self.parts)))
    }

    /// Gives up everything that is stored, at once as far as possible.
    pub(super) async fn discard(&mut self) -> Result<(), StorageError> {
        self.sending.shutdown().await;
        let location = self.tenure.location().clone();
        if let Some(id) = self.multipart.get() {
            self.shared.backend.abort(location.as_str(), id).await?;
        }
        for tail in self.tails() {
            self.shared.backend.remove(&tail.key(&location)).await?;
        }
        Ok(())
    }

    /// The tails that are stored.
    pub(super) fn tails(&self) -> Vec<Tail> {
        let mut tails = self.progress.stale.clone();
        if let StoredTail::Object(tail) = &self.progress.tail {
            tails.push(*tail);
        }
        tails
    }

    pub(super) fn bytes_lost(&self) -> StorageError {
        let actual_bytes = match &self.progress.tail {
            StoredTail::Object(tail) if self.is_tail_lost => tail.begin,
            _ => 0,
        };
        StorageError::UploadBytesLost {
            location: self.tenure.location().clone(),
            expected_bytes: self.saved.as_ref().map_or(self.offset(), UploadState::offset),
            actual_bytes,
        }
    }

    /// Reads the tail that an earlier request left, so that more can follow it.
    async fn fetch_tail(&mut self) -> Result<(), StorageError> {
        let Some(tail) = self.unfetched else { return Ok(()) };
        self.choose_target();
        let reservation = self.shared.budget.reserve(self.target_bytes).await;
        let key = tail.key(self.tenure.location());
        let bytes = self.shared.backend.read(&key, self.target_bytes as u64).await?;
        match bytes.filter(|bytes| bytes.len() as u64 == tail.size_bytes) {
            Some(bytes) => {
                self.open.grow(self.target_bytes, reservation);
                self.open.push(&bytes);
            }
            None => {
                self.is_tail_lost = true;
                // If the object is there, it may be what this request is about to complete.
                if self.shared.backend.size(self.tenure.location().as_str()).await?.is_none() {
                    return Err(self.bytes_lost());
                }
            }
        }
        self.unfetched = None;
        Ok(())
    }

    fn choose_target(&mut self) {
        self.sharer.get_or_insert_with(|| self.shared.budget.join());
        // One part is filled while another is on its way.
        let fair_bytes = self.shared.budget.fair_bytes() / 2;
        let base = fair_bytes.clamp(PART_BYTES_MIN, self.shared.part_bytes);
        let wanted_bytes = base << (self.parts.len() / PARTS_PER_STEP);
        self.target_bytes = wanted_bytes.min(self.shared.budget.total_bytes());
    }

    /// Begins another part. The full one is held back if there is memory for the next at once.
    fn rotate(&mut self) {
        let mut full = std::mem::take(&mut self.open);
        let rest = full.split_off(self.target_bytes);
        self.choose_target();
        self.open = match self.shared.budget.try_reserve(self.target_bytes) {
            Some(reservation) => {
                if let Some(held) = self.held.replace(full) {
                    self.send(held);
                }
                Buffer::new(self.target_bytes, Some(reservation))
            }
            None => {
                if let Some(held) = self.held.take() {
                    self.send(held);
                }
                self.send(full);
                Buffer::new(FREE_BYTES, None)
            }
        };
        self.open.push(&rest);
    }

    fn send_what_can_be_a_part(&mut self) {
        let is_long = self.open.len() >= PART_BYTES_MIN;
        match self.held.take() {
            Some(held) if is_long => self.send(held),
            Some(mut held) => {
                held.append(std::mem::take(&mut self.open));
                return self.send(held);
            }
            None => {}
        }
        if is_long {
            let open = std::mem::replace(&mut self.open, Buffer::new(FREE_BYTES, None));
            self.send(open);
        }
    }

    /// Sends a part on its way. Its memory is free when it is stored.
    fn send(&mut self, mut buffer: Buffer) {
        let index = self.parts.len();
        self.parts.push(String::new());
        let (shared, multipart) = (self.shared.clone(), self.multipart.clone());
        let location = self.tenure.location().clone();
        self.sending.spawn(async move {
            let begin = || shared.backend.create_multipart(location.as_str());
            let id = multipart.get_or_try_init(begin).await?;
            let payload = buffer.payload();
            match shared.backend.put_part(location.as_str(), id, index, payload).await {
                Ok(name) => Ok((index, name)),
                Err(error) if is_unknown_upload(&error) => {
                    Err(StorageError::UploadBytesLost { location, expected_bytes: 0, actual_bytes: 0 })
                }
                Err(error) => Err(failure("write a part", error)),
            }
        });
    }

    /// Notes the parts that are stored by now.
    fn reap(&mut self) -> Result<(), StorageError> {
        while let Some(sent) = self.sending.try_join_next() {
            self.note(Some(sent))?;
        }
        Ok(())
    }

    async fn wait_for_parts(&mut self) -> Result<(), StorageError> {
        while let Some(sent) = self.sending.join_next().await {
            self.note(Some(sent))?;
        }
        Ok(())
    }

    fn note(&mut self, sent: Option<Result<SentPart, tokio::task::JoinError>>) -> Result<(), StorageError> {
        match sent {
            None => Ok(()),
            Some(Ok(Ok((index, name)))) => {
                self.parts[index] = name;
                Ok(())
            }
            Some(Ok(Err(StorageError::UploadBytesLost { .. }))) => Err(self.bytes_lost()),
            Some(Ok(Err(error))) => Err(error),
            Some(Err(error)) => {
                Err(StorageError::Backend { operation: "write a part", source: error.into() })
            }
        }
    }

    /// Stores what is too short for a part, and keeps it here as well, so that more can follow.
    async fn store_tail(&mut self) -> Result<StoredTail, StorageError> {
        match self.open.len() {
            0 => Ok(StoredTail::None),
            length if length <= self.shared.inline_bytes => Ok(StoredTail::Inline(self.open.contents())),
            length => {
                let mut name = [0; 8];
                getrandom::fill(&mut name).map_err(|source| StorageError::Backend {
                    operation: "draw an object's name",
                    source: source.into(),
                })?;
                let size_bytes = length as u64;
                let tail = Tail { begin: self.offset() - size_bytes, size_bytes, name };
                let key = tail.key(self.tenure.location());
                self.shared.backend.put(&key, self.open.payload()).await?;
                Ok(StoredTail::Object(tail))
            }
        }
    }

    /// The digest of everything, if it is the hash that was kept.
    pub(super) fn digest_for(&self, expected: &Digest) -> Option<Digest> {
        (expected.algorithm() == self.hasher.algorithm()).then(|| self.hasher.current())
    }
}
