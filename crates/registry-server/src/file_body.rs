//! Bytes of a local file, read in large pieces, without a thread in between when they are in the page cache.

use std::{
    fmt,
    fs::File,
    future::Future,
    io,
    ops::Range,
    os::unix::fs::FileExt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::{Stream, task::AtomicWaker};
use parking_lot::Mutex;
use registry_sendfile::Immutable;
use tokio::task::JoinHandle;

use crate::budget::{Reservation, Share};

/// How much is read at once: large enough that system calls do not count, small enough for the processor's cache, and for
/// many readers that are slow.
const READ_BYTES: usize = 64 * 1024;

/// How much is read at once when memory is scarce, out of what each answer takes of the budget before it begins.
pub const SCARCE_READ_BYTES: usize = 4 * 1024;

/// From this size on, the kernel sends a file where it can.
pub const MAPPED_BYTES_MIN: u64 = 64 * 1024;

/// From this size on it sends one of several parts of a file.
pub const MAPPED_PART_BYTES_MIN: u64 = 1024 * 1024;

/// How many idle buffers are kept for the next reader.
const IDLE_BUFFERS_MAX: usize = 32;

/// Buffers that wait for their next reader.
#[derive(Default)]
pub(crate) struct IdleBuffers(Mutex<Vec<Vec<u8>>>);

/// The bytes of `range` of a file, in order. An error if the file turns out to be shorter.
pub struct FileBody {
    file: Arc<File>,
    range: Range<u64>,
    share: Share,
    scarce: Arc<Scarce>,
    /// The same file, if it may be mapped; none once that was tried.
    immutable: Option<Immutable>,
    /// A read that had to wait for the disk, on a thread made for that.
    waiting: Option<JoinHandle<io::Result<Buffer>>>,
}

impl FileBody {
    /// The bytes of `range`, read with memory of `share`.
    pub fn new(file: Arc<File>, range: Range<u64>, share: Share) -> FileBody {
        FileBody { file, range, share, scarce: Arc::default(), immutable: None, waiting: None }
    }

    /// Lets the kernel send them on connections where it can. `file` is the same one. Of less than [`MAPPED_BYTES_MIN`] that is
    /// slower than a copy.
    pub fn mapped_from(self, file: Immutable) -> FileBody {
        FileBody { immutable: Some(file), ..self }
    }

    /// The bytes as a mapping that the connection sends without reading it; none if the file may not or can not be mapped.
    pub(crate) fn mapped(&mut self) -> Option<Bytes> {
        registry_sendfile::map(&self.immutable.take()?, self.range.clone()).ok()
    }

    /// A buffer for the next piece, and how long that is. A large one if there is memory for it, and a use; otherwise the small
    /// one that the answer has, once its last piece was sent.
    fn poll_buffer(&self, context: &mut Context<'_>) -> Poll<(Buffer, usize)> {
        let left = usize::try_from(self.range.end - self.range.start).unwrap_or(usize::MAX);
        let spare = if left > SCARCE_READ_BYTES { self.share.spare_memory(READ_BYTES) } else { None };
        let buffer = match spare {
            Some(reservation) => Buffer::large(reservation),
            None => ready!(Scarce::poll_take(&self.scarce, context)),
        };
        let length = left.min(buffer.bytes.len());
        Poll::Ready((buffer, length))
    }

    fn advance(&mut self, buffer: Buffer) -> Bytes {
        self.range.start += buffer.filled as u64;
        Bytes::from_owner(buffer)
    }
}

impl Stream for FileBody {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.range.is_empty() {
            return Poll::Ready(None);
        }
        if self.waiting.is_none() {
            let (mut buffer, length) = ready!(self.poll_buffer(context));
            match read_cached(&self.file, &mut buffer.bytes[..length], self.range.start) {
                Some(filled) => {
                    buffer.filled = filled;
                    return Poll::Ready(Some(Ok(self.advance(buffer))));
                }
                None => {
                    let (file, offset) = (self.file.clone(), self.range.start);
                    self.waiting = Some(tokio::task::spawn_blocking(move || {
                        file.read_exact_at(&mut buffer.bytes[..length], offset)?;
                        buffer.filled = length;
                        Ok(buffer)
                    }));
                }
            }
        }
        let Some(waiting) = &mut self.waiting else { return Poll::Ready(None) };
        let read = ready!(Pin::new(waiting).poll(context)).map_err(io::Error::other).flatten();
        self.waiting = None;
        Poll::Ready(Some(read.map(|buffer| self.advance(buffer))))
    }
}

/// Reads what is in the page cache. Nothing if that is none of it, or if the system can not tell: then the read may
/// wait for the disk and must not happen on a thread that others wait for.
#[cfg(all(target_os = "linux", not(portable)))]
fn read_cached(file: &File, bytes: &mut [u8], offset: u64) -> Option<usize> {
    let mut slices = [io::IoSliceMut::new(bytes)];
    let read = rustix::io::preadv2(file, &mut slices, offset, rustix::io::ReadWriteFlags::NOWAIT);
    read.ok().filter(|filled| *filled > 0)
}

#[cfg(any(not(target_os = "linux"), portable))]
fn read_cached(_file: &File, _bytes: &mut [u8], _offset: u64) -> Option<usize> {
    None
}

/// A buffer that goes back to where it came from when the last reader of its bytes lets go.
struct Buffer {
    bytes: Vec<u8>,
    filled: usize,
    memory: Memory,
}

/// Where a buffer's memory was taken from.
enum Memory {
    Spare(Reservation),
    Scarce(Arc<Scarce>),
}

/// The one small buffer that an answer has in any case: whether it is in use, and what waits for it.
#[derive(Default)]
struct Scarce {
    is_taken: AtomicBool,
    waiting: AtomicWaker,
}

impl Scarce {
    fn poll_take(scarce: &Arc<Scarce>, context: &mut Context<'_>) -> Poll<Buffer> {
        // Before the look: what is given back after it wakes us.
        scarce.waiting.register(context.waker());
        if scarce.is_taken.swap(true, Ordering::AcqRel) {
            return Poll::Pending;
        }
        let bytes = vec![0; SCARCE_READ_BYTES];
        Poll::Ready(Buffer { bytes, filled: 0, memory: Memory::Scarce(scarce.clone()) })
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Memory::Scarce(scarce) = self {
            scarce.is_taken.store(false, Ordering::Release);
            scarce.waiting.wake();
        }
    }
}

impl Buffer {
    fn large(reservation: Reservation) -> Buffer {
        let idle = reservation.share().idle().0.lock().pop();
        let bytes = idle.unwrap_or_else(|| vec![0; READ_BYTES]);
        Buffer { bytes, filled: 0, memory: Memory::Spare(reservation) }
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let Memory::Spare(reservation) = &self.memory else { return };
        let mut idle = reservation.share().idle().0.lock();
        if idle.len() < IDLE_BUFFERS_MAX {
            idle.push(std::mem::take(&mut self.bytes));
        }
    }
}

impl fmt::Debug for FileBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileBody").field("range", &self.range).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{FutureExt, StreamExt, TryStreamExt};
    use std::io::Write;

    fn file_of(bytes: &[u8]) -> Arc<File> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Arc::new(file)
    }

    fn body_of(bytes: &[u8], range: Range<u64>, memory_bytes: usize) -> FileBody {
        let share = crate::budget::Budget::new(memory_bytes, 1).share(None);
        FileBody::new(file_of(bytes), range, share)
    }

    #[tokio::test]
    async fn a_range_is_read_whole_however_scarce_memory_is() {
        let bytes: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
        for (memory_bytes, pieces_min) in [(64 * READ_BYTES, 5), (0, 70)] {
            let body = body_of(&bytes, 5..299_999, memory_bytes);
            let copied = body.map_ok(|piece| piece.to_vec());
            let pieces: Vec<Vec<u8>> = copied.try_collect().await.unwrap();
            assert_eq!(pieces.concat(), &bytes[5..299_999]);
            assert!(pieces.len() >= pieces_min, "{}", pieces.len());
        }
    }

    #[tokio::test]
    async fn when_memory_is_scarce_there_is_one_piece_at_a_time() {
        let mut body = body_of(&[7; 10_000], 0..10_000, 0);
        let first = body.try_next().await.unwrap().unwrap();
        assert_eq!(first.len(), SCARCE_READ_BYTES);
        assert!(body.next().now_or_never().is_none());
        let waiting = tokio::spawn(async move { body.try_next().await });
        drop(first);
        assert_eq!(waiting.await.unwrap().unwrap().unwrap().len(), SCARCE_READ_BYTES);
    }

    #[tokio::test]
    async fn a_file_that_is_too_short_is_an_error() {
        let body = body_of(b"short", 0..10, 0);
        let result: io::Result<Vec<Vec<u8>>> = body.map_ok(|piece| piece.to_vec()).try_collect().await;
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
