//! What peers can make a node hold at once: memory for answers and for bodies that are gathered, and open files.
//!
//! Everything is taken before it is allocated, read or opened, and given back when the last byte of it has gone. What does not
//! fit is refused with 503 and `Retry-After`, so a burst is served a little later and an attack is served not at all.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;

use crate::{descriptors::Descriptors, error::ApiError, release, shared::SharedManifests};

/// The memory that all answers and gathered bodies of a node share.
pub const MEMORY_BYTES: usize = 48 * 1024 * 1024;

/// Larger amounts leave a quarter of the memory to those that are smaller, so that a few peers with large manifests do
/// not keep everybody from small ones.
const SMALL_BYTES: usize = 64 * 1024;

/// The budget of a node.
#[derive(Clone)]
pub struct Budget(Arc<Node>);

struct Node {
    memory: Pool,
    files: Pool,
    manifests: SharedManifests,
}

/// An amount of something, and how much of it is in use.
struct Pool {
    total: usize,
    used: AtomicUsize,
}

impl Pool {
    fn new(total: usize) -> Pool {
        Pool { total, used: AtomicUsize::new(0) }
    }

    /// Takes `amount` if no more than `limit` is in use then.
    fn take(&self, amount: usize, limit: usize) -> bool {
        let before = self.used.fetch_add(amount, Ordering::Relaxed);
        let fits = before.saturating_add(amount) <= limit;
        if !fits {
            self.used.fetch_sub(amount, Ordering::Relaxed);
        }
        fits
    }

    fn give_back(&self, amount: usize) {
        self.used.fetch_sub(amount, Ordering::Relaxed);
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget").field("memory_bytes", &self.memory_bytes()).finish_non_exhaustive()
    }
}

impl Default for Budget {
    /// [`MEMORY_BYTES`], and as many files as the process can have beside its connections.
    fn default() -> Self {
        Budget::of_memory(MEMORY_BYTES)
    }
}

impl Budget {
    /// A budget of so much memory, and as many files as the process can have beside its connections.
    pub fn of_memory(memory_bytes: usize) -> Budget {
        Budget::new(memory_bytes, Descriptors::of_process().files)
    }

    /// A budget of so much memory, and so many files that are open for answers.
    pub fn new(memory_bytes: usize, files: usize) -> Budget {
        let manifests = SharedManifests::default();
        Budget(Arc::new(Node { memory: Pool::new(memory_bytes), files: Pool::new(files), manifests }))
    }

    /// How much of the memory is in use.
    pub fn memory_bytes(&self) -> usize {
        self.0.memory.used.load(Ordering::Relaxed)
    }

    /// How many files are open for answers.
    pub fn files(&self) -> usize {
        self.0.files.used.load(Ordering::Relaxed)
    }

    /// The share of one connection, which may have a quarter of the memory.
    pub(crate) fn share(&self) -> Share {
        let memory = Pool::new(self.0.memory.total / 4);
        Share(Arc::new(Connection { node: self.0.clone(), memory }))
    }
}

/// What one connection uses of the budget.
#[derive(Clone)]
pub(crate) struct Share(Arc<Connection>);

struct Connection {
    node: Arc<Node>,
    memory: Pool,
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Share")
    }
}

impl Share {
    /// Memory that is about to be used.
    pub(crate) fn memory(&self, bytes: usize) -> Result<Reservation, ApiError> {
        let total = self.0.node.memory.total;
        let limit = if bytes > SMALL_BYTES { total - total / 4 } else { total };
        self.take(bytes, limit).ok_or(ApiError::Busy { resource: "memory for answers and manifests" })
    }

    /// Memory of a stream, which a slow peer may hold for long: streams leave the last quarter to everything else.
    pub(crate) fn stream_memory(&self, bytes: usize) -> Result<Reservation, ApiError> {
        let total = self.0.node.memory.total;
        self.take(bytes, total - total / 4).ok_or(ApiError::Busy { resource: "memory for streams of layers" })
    }

    /// Memory that makes something faster, while less than half of it is in use.
    pub(crate) fn spare_memory(&self, bytes: usize) -> Option<Reservation> {
        self.take(bytes, self.0.node.memory.total / 2)
    }

    fn take(&self, bytes: usize, limit: usize) -> Option<Reservation> {
        let Connection { node, memory } = &*self.0;
        if !memory.take(bytes, memory.total) {
            return None;
        }
        if !node.memory.take(bytes, limit) {
            memory.give_back(bytes);
            return None;
        }
        Some(Reservation { share: self.clone(), bytes })
    }

    /// A file that is about to be opened, until this is dropped.
    pub(crate) fn file(&self) -> Result<OpenFile, ApiError> {
        let node = self.0.node.clone();
        let is_free = node.files.take(1, node.files.total);
        is_free.then(|| OpenFile(node)).ok_or(ApiError::Busy { resource: "open files" })
    }

    /// The manifests that are being sent.
    pub(crate) fn manifests(&self) -> &SharedManifests {
        &self.0.node.manifests
    }
}

/// Memory that may be used until this is dropped.
pub(crate) struct Reservation {
    share: Share,
    bytes: usize,
}

impl Reservation {
    /// As much as is needed after all, if that is less.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        let surplus = self.bytes.saturating_sub(bytes);
        self.bytes -= surplus;
        self.share.0.memory.give_back(surplus);
        self.share.0.node.memory.give_back(surplus);
    }

    /// Takes some more.
    pub(crate) fn grow_by(&mut self, bytes: usize) -> Result<(), ApiError> {
        let mut more = self.share.memory(bytes)?;
        self.bytes += std::mem::take(&mut more.bytes);
        Ok(())
    }

    /// As much as that, if it is not so much already.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> Result<(), ApiError> {
        match bytes.checked_sub(self.bytes) {
            Some(missing) if missing > 0 => self.grow_by(missing),
            _ => Ok(()),
        }
    }

    /// `bytes`, which count as many as they are until the last slice of them is dropped.
    pub(crate) fn hold(mut self, bytes: Bytes) -> Result<Bytes, ApiError> {
        self.grow_to(bytes.len())?;
        self.shrink_to(bytes.len());
        Ok(Bytes::from_owner(Held { bytes, _reservation: self }))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.share.0.memory.give_back(self.bytes);
        self.share.0.node.memory.give_back(self.bytes);
        release::note(self.bytes);
    }
}

struct Held {
    bytes: Bytes,
    _reservation: Reservation,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A file that is open for an answer.
pub(crate) struct OpenFile(Arc<Node>);

impl Drop for OpenFile {
    fn drop(&mut self) {
        self.0.files.give_back(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    #[test]
    fn what_was_taken_comes_back() {
        let budget = Budget::new(16 * MIB, 1);
        let share = budget.share();
        let mut taken = share.memory(2 * MIB).unwrap();
        taken.grow_by(MIB).unwrap();
        assert_eq!(budget.memory_bytes(), 3 * MIB);
        let bytes = taken.hold(Bytes::from(vec![7; MIB])).unwrap();
        assert_eq!(budget.memory_bytes(), MIB, "no more than there is");
        let slice = bytes.slice(5..6);
        drop(bytes);
        assert_eq!(budget.memory_bytes(), MIB, "a slice keeps all");
        drop(slice);
        assert_eq!(budget.memory_bytes(), 0);

        let file = share.file().unwrap();
        assert!(share.file().is_err());
        drop(file);
        assert!(share.file().is_ok());
        assert_eq!(budget.files(), 0);
    }

    #[test]
    fn a_connection_has_a_quarter() {
        let budget = Budget::new(16 * MIB, 1);
        let share = budget.share();
        let taken = share.memory(4 * MIB).unwrap();
        assert!(share.memory(1).is_err());
        assert!(budget.share().memory(MIB).is_ok());
        assert_eq!(budget.memory_bytes(), 4 * MIB, "what was refused is not counted");
        drop(taken);
        assert!(share.memory(1).is_ok());
    }

    #[test]
    fn large_amounts_leave_room_for_small_ones() {
        let budget = Budget::new(16 * MIB, 1);
        let taken: Vec<_> = (0..6).map_while(|_| budget.share().memory(4 * MIB).ok()).collect();
        assert_eq!(taken.len(), 3);
        assert!(budget.share().memory(SMALL_BYTES).is_ok());
        assert!(budget.share().spare_memory(1).is_none());
    }
}
