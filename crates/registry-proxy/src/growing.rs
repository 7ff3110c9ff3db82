//! A blob while it arrives: one fetch writes it, any number of clients read what is there.

use std::{collections::VecDeque, io, ops::Range, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use parking_lot::Mutex;
use registry_storage::BlobStore;
use registry_types::Location;
use tokio::sync::watch;

use crate::spool::Spooled;

/// So much of what came last is in memory. The store may have that much of an upload unwritten: half a megabyte, and the piece that is
/// handed to it.
const RECENT_BYTES: u64 = 2 * 1024 * 1024;

/// The largest piece that is handed on.
pub(crate) const PIECE_BYTES_MAX: usize = 64 * 1024;

/// How much is read at once of what is not in memory any more.
const READ_BYTES: u64 = 256 * 1024;

/// Where the beginning of the blob can be read.
#[derive(Clone, Debug)]
pub(crate) enum Beginning {
    Stored { store: Arc<dyn BlobStore>, location: Location },
    Spooled(Arc<Spooled>),
}

/// A blob that arrives.
#[derive(Debug)]
pub(crate) struct Growing {
    pub(crate) size_bytes: u64,
    beginning: Mutex<Beginning>,
    recent: Mutex<Recent>,
    progress: watch::Sender<Progress>,
}

/// What came last.
#[derive(Debug, Default)]
struct Recent {
    pieces: VecDeque<Bytes>,
    /// Where the first of them begins.
    start: u64,
    end: u64,
}

#[derive(Clone, Debug)]
struct Progress {
    received: u64,
    end: End,
}

/// How a fetch ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    Open,
    /// The digest is right and the blob is kept.
    Good,
    Failed,
}

/// What a reader does next.
enum Next {
    Piece(Bytes),
    Read(Range<u64>),
    Wait,
    Failed,
}

impl Growing {
    pub(crate) fn new(size_bytes: u64, beginning: Beginning) -> Arc<Growing> {
        let (progress, _) = watch::channel(Progress { received: 0, end: End::Open });
        let beginning = Mutex::new(beginning);
        Arc::new(Growing { size_bytes, beginning, recent: Mutex::default(), progress })
    }

    /// How many bytes have come.
    pub(crate) fn received(&self) -> u64 {
        self.progress.borrow().received
    }

    /// Shows a piece to the readers. It is in the store's hands already.
    pub(crate) fn push(&self, piece: Bytes) {
        let mut recent = self.recent.lock();
        recent.end += piece.len() as u64;
        recent.pieces.push_back(piece);
        while let Some(first) = recent.pieces.front().map(|first| first.len() as u64)
            && recent.end - recent.start - first >= RECENT_BYTES
        {
            recent.pieces.pop_front();
            recent.start += first;
        }
        let received = recent.end;
        drop(recent);
        self.progress.send_modify(|progress| progress.received = received);
    }

    /// What is in the store is read there from now on: another fetch or push may have brought the same bytes before, and then this fetch's
    /// own are given up.
    pub(crate) fn lies_at(&self, kept: &Location) {
        if let Beginning::Stored { location, .. } = &mut *self.beginning.lock() {
            *location = kept.clone();
        }
    }

    /// Readers of a fetch that came to no end, since its task is gone, fail.
    pub(crate) fn fail_unless_ended(&self) {
        self.progress.send_if_modified(|progress| {
            let is_open = progress.end == End::Open;
            if is_open {
                progress.end = End::Failed;
            }
            is_open
        });
    }

    /// The fetch is over. What is still to be read is in the store or in the spool.
    pub(crate) fn end(&self, is_good: bool) {
        self.progress.send_modify(|progress| progress.end = if is_good { End::Good } else { End::Failed });
    }

    /// The bytes of a range as they come. The last byte of the blob comes once the fetch has ended well.
    pub(crate) fn read(self: &Arc<Self>, range: Range<u64>) -> BoxStream<'static, io::Result<Bytes>> {
        let state = (self.clone(), self.progress.subscribe(), range);
        stream::try_unfold(state, |(growing, mut progress, range)| async move {
            if range.is_empty() {
                return Ok(None);
            }
            loop {
                let now = progress.borrow_and_update().clone();
                let piece = match growing.next(&range, &now) {
                    Next::Piece(piece) => piece,
                    Next::Read(part) => growing.read_beginning(part).await?,
                    Next::Wait => {
                        progress.changed().await.map_err(io::Error::other)?;
                        continue;
                    }
                    Next::Failed => return Err(io::Error::other("the blob could not be fetched")),
                };
                let rest = range.start + piece.len() as u64..range.end;
                return Ok(Some((piece, (growing, progress, rest))));
            }
        })
        .boxed()
    }

    fn next(&self, range: &Range<u64>, now: &Progress) -> Next {
        // A client that has all bytes but the last does not take them for the blob.
        let visible = match now.end {
            End::Good => self.size_bytes,
            End::Open | End::Failed => now.received.min(self.size_bytes.saturating_sub(1)),
        };
        let end = visible.min(range.end);
        if now.end == End::Failed {
            return Next::Failed;
        }
        if range.start >= end {
            return Next::Wait;
        }
        let recent = self.recent.lock();
        if range.start < recent.start {
            return Next::Read(range.start..end.min(recent.start).min(range.start + READ_BYTES));
        }
        recent.at(range.start, end).map_or(Next::Wait, Next::Piece)
    }

    async fn read_beginning(&self, part: Range<u64>) -> io::Result<Bytes> {
        let beginning = self.beginning.lock().clone();
        match beginning {
            Beginning::Spooled(file) => file.read(part).await,
            Beginning::Stored { store, location } => {
                let body = store.open(&location, part).await.map_err(io::Error::other)?;
                let pieces: Vec<Bytes> = body.into_stream().try_collect().await.map_err(io::Error::other)?;
                Ok(pieces.concat().into())
            }
        }
    }
}

impl Recent {
    /// What is there from an offset on, up to the end of its piece.
    fn at(&self, offset: u64, end: u64) -> Option<Bytes> {
        let mut start = self.start;
        for piece in &self.pieces {
            let next = start + piece.len() as u64;
            if offset < next {
                let from = usize::try_from(offset - start).ok()?;
                let to = usize::try_from(end.min(next) - start).ok()?;
                return Some(piece.slice(from..to));
            }
            start = next;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use registry_storage::MemoryStore;
    use registry_types::UploadId;

    fn growing(size_bytes: u64) -> Arc<Growing> {
        let location = Location::of_upload(&UploadId::from_random([1; 16]));
        let beginning = Beginning::Stored { store: Arc::new(MemoryStore::new()), location };
        Growing::new(size_bytes, beginning)
    }

    #[tokio::test]
    async fn the_last_byte_comes_after_the_verdict() {
        let growing = growing(6);
        let mut reader = growing.read(0..6);
        growing.push(Bytes::from_static(b"abc"));
        assert_eq!(reader.next().await.unwrap().unwrap(), "abc");
        growing.push(Bytes::from_static(b"def"));
        assert_eq!(reader.next().await.unwrap().unwrap(), "de");
        assert!(reader.next().now_or_never().is_none());
        growing.end(true);
        assert_eq!(reader.next().await.unwrap().unwrap(), "f");
        assert!(reader.next().await.is_none());
    }

    #[tokio::test]
    async fn a_failure_ends_every_reader() {
        let growing = growing(6);
        let (mut early, mut late) = (growing.read(0..2), growing.read(4..6));
        growing.push(Bytes::from_static(b"abcdef"));
        assert_eq!(early.next().await.unwrap().unwrap(), "ab");
        assert!(early.next().await.is_none(), "a range ends where it was to");
        assert_eq!(late.next().await.unwrap().unwrap(), "e");
        growing.end(false);
        assert!(late.next().await.unwrap().is_err());
    }

    #[tokio::test]
    async fn a_fetch_that_is_gone_fails_its_readers() {
        let (lost, ended) = (growing(6), growing(3));
        let mut reader = lost.read(0..6);
        lost.fail_unless_ended();
        assert!(reader.next().await.unwrap().is_err());
        let mut reader = ended.read(0..3);
        ended.push(Bytes::from_static(b"abc"));
        ended.end(true);
        ended.fail_unless_ended();
        assert_eq!(reader.next().await.unwrap().unwrap(), "abc");
    }

    #[test]
    fn memory_holds_what_came_last() {
        let growing = growing(100 << 20);
        for _ in 0..100 {
            growing.push(Bytes::from(vec![0; PIECE_BYTES_MAX]));
        }
        let recent = growing.recent.lock();
        let held: usize = recent.pieces.iter().map(Bytes::len).sum();
        assert_eq!((held as u64, recent.end - recent.start), (RECENT_BYTES, RECENT_BYTES));
    }
}
