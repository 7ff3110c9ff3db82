//! What peers can make a node hold at once: memory for answers and for bodies that are gathered, windows of HTTP/2, and open files.
//!
//! Almost everything is taken before it is allocated, read or opened, and given back when the last byte of it has gone. A small
//! manifest comes with the answer of the database that says where it is, and referrers come in groups whose annotations are half
//! a MiB; they are taken when they are there. What is taken counts for the node, the client's address and the networks of that,
//! each of which may hold a part of what is free ([`addresses`](crate::addresses)). What does not fit is refused with 503 and
//! `Retry-After`: a burst is served a little later, and one customer does not keep others from being served.

mod window;

use std::{fmt, net::IpAddr, sync::Arc};

use bytes::Bytes;

use crate::{
    Refused,
    addresses::{Addresses, Bounds, Holder, Level, Pools, add, give_back, take},
    descriptors::Descriptors,
    file_body::IdleBuffers,
    pool::Pool,
    refusals::{Refusal, Refusals},
    release,
    turns::{self, Turn, Turns},
};

pub(crate) use window::Window;

/// The memory that all answers and gathered bodies of a node share.
pub const MEMORY_BYTES: usize = 48 * 1024 * 1024;

/// Larger amounts leave a quarter of the memory to those that are smaller, so that a few peers with large manifests do
/// not keep all others from small ones.
const SMALL_BYTES: usize = 64 * 1024;

/// Which part of the memory large amounts leave, and which one each client may have of it for small ones, whatever others
/// hold.
const RESERVE_PART: usize = 4;
const LEAST_PART: usize = 64;

/// The budget of a node.
#[derive(Clone)]
pub struct Budget(Arc<Node>);

struct Node {
    memory: Pool,
    windows: Pool,
    files: Pool,
    connections: Pool,
    addresses: Addresses,
    idle: IdleBuffers,
    /// For large documents while they are parsed.
    turns: Turns,
    refusals: Refusals,
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

    /// A budget of so much memory, twice as much for the windows of HTTP/2, and so many files that are open for answers and
    /// uploads.
    pub fn new(memory_bytes: usize, files: usize) -> Budget {
        Budget(Arc::new(Node {
            memory: Pool::new(memory_bytes),
            windows: Pool::new(memory_bytes.saturating_mul(2)),
            files: Pool::new(files),
            connections: Pool::new(usize::MAX),
            addresses: Addresses::default(),
            idle: IdleBuffers::default(),
            turns: Turns::of_node(),
            refusals: Refusals::default(),
        }))
    }

    /// How much of the memory is in use, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.0.memory.used()
    }

    /// How much memory there is, in bytes.
    pub fn memory_bytes_max(&self) -> usize {
        self.0.memory.total()
    }

    /// How much may wait in the windows of HTTP/2 connections beyond what each has in any case, in bytes.
    pub fn window_bytes(&self) -> usize {
        self.0.windows.used()
    }

    /// How many files are open for answers and uploads.
    pub fn files(&self) -> usize {
        self.0.files.used()
    }

    /// How many files may be open for answers and uploads.
    pub fn files_max(&self) -> usize {
        self.0.files.total()
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        self.0.connections.used()
    }

    /// How often something was refused since a limit was reached, with the name of each limit.
    pub fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.refusals.totals()
    }

    pub(crate) fn refusals(&self) -> &Refusals {
        &self.0.refusals
    }

    /// What an address holds, which may hold so many connections.
    pub(crate) fn holder(&self, address: IpAddr, connections: usize) -> Arc<Holder> {
        self.0.addresses.holder(address, connections)
    }

    /// Counts a connection of the node, and of its address unless that or a network of it holds as many as it may of
    /// `connections_max`.
    pub(crate) fn connection(
        &self,
        holder: Option<Arc<Holder>>,
        connections_max: usize,
    ) -> Option<CountedConnection> {
        let bounds = Bounds { node: usize::MAX, shared: connections_max, least: 0 };
        let pools = self.0.connection_pools();
        if take(holder.as_deref(), pools, 1, bounds).is_err() {
            self.0.refusals.note(Refusal::AddressConnections);
            return None;
        }
        Some(CountedConnection { node: self.0.clone(), holder })
    }

    /// The share of a client that no address or network is known of, such as a test.
    pub fn client(&self) -> Share {
        self.share(None)
    }

    /// The share of one connection, whose answers count for an address as well if that has a share.
    pub(crate) fn share(&self, holder: Option<Arc<Holder>>) -> Share {
        Share { node: self.0.clone(), holder: Some(holder.unwrap_or_else(Holder::of_connection)) }
    }
}

/// A connection that counts until this is dropped.
pub(crate) struct CountedConnection {
    node: Arc<Node>,
    holder: Option<Arc<Holder>>,
}

impl Drop for CountedConnection {
    fn drop(&mut self) {
        let pools = self.node.connection_pools();
        give_back(self.holder.as_deref(), pools, 1);
    }
}

/// What the client of a connection uses of the budget.
#[derive(Clone)]
pub struct Share {
    node: Arc<Node>,
    holder: Option<Arc<Holder>>,
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Share").field("holder", &self.holder).finish_non_exhaustive()
    }
}

impl Share {
    /// For a request of another client than the connection's peer: that of a proxy which names its clients.
    pub(crate) fn on_behalf_of(&self, holder: Option<Arc<Holder>>) -> Share {
        Share { node: self.node.clone(), holder }
    }

    /// Memory that is about to be used.
    ///
    /// # Errors
    /// [`Refused::Busy`].
    pub fn memory(&self, bytes: usize) -> Result<Reservation, Refused> {
        let bounds = self.memory_bounds(bytes <= SMALL_BYTES);
        self.refusable(self.take(bytes, bounds), "memory for answers and manifests")
    }

    /// Memory of a stream, which a slow peer may hold for long: streams leave the last quarter to everything else.
    ///
    /// # Errors
    /// [`Refused::Busy`].
    pub fn stream_memory(&self, bytes: usize) -> Result<Reservation, Refused> {
        self.refusable(self.take(bytes, self.memory_bounds(false)), "memory for streams of layers")
    }

    /// Memory that makes something faster, while less than half of it is in use.
    pub(crate) fn spare_memory(&self, bytes: usize) -> Option<Reservation> {
        let half = self.node.memory.total() / 2;
        self.take(bytes, Bounds { node: half, shared: half, least: 0 }).ok()
    }

    fn memory_bounds(&self, is_small: bool) -> Bounds {
        let total = self.node.memory.total();
        let shared = total - total / RESERVE_PART;
        if is_small {
            Bounds { node: total, shared, least: total / LEAST_PART }
        } else {
            Bounds { node: shared, shared, least: 0 }
        }
    }

    /// A file that is about to be opened, until this is dropped.
    ///
    /// # Errors
    /// [`Refused::Busy`].
    pub fn file(&self) -> Result<OpenFile, Refused> {
        let total = self.node.files.total();
        let bounds = Bounds { node: total, shared: total, least: 0 };
        let taken = take(self.holder.as_deref(), self.node.file_pools(), 1, bounds);
        let taken = taken.map_err(|short| match short {
            None => Refusal::Files,
            Some(Level::Connection) => Refusal::ConnectionFiles,
            Some(Level::Address | Level::Network) => Refusal::AddressFiles,
        });
        self.refusable(taken.map(|()| OpenFile(self.clone())), "open files")
    }

    /// Waits until a large document may be parsed, and keeps others waiting until the turn is dropped. Of a client, and of each
    /// network of its address, one is parsed or waits for the node at a time.
    ///
    /// # Errors
    /// [`Refused::Busy`] after 10 seconds.
    pub async fn turn(&self) -> Result<Turn, Refused> {
        let own = self.holder.iter().flat_map(|holder| holder.all()).map(|holder| &holder.turns);
        let all: Vec<_> = own.chain([&self.node.turns]).collect();
        let turn = turns::turn(&all).await;
        self.refusable(turn.ok_or(Refusal::Parsing), "turns for large documents")
    }

    /// Whether what both hold counts for the same client.
    pub fn is_of_same_client(&self, other: &Share) -> bool {
        self.holder.as_ref().map(Arc::as_ptr) == other.holder.as_ref().map(Arc::as_ptr)
    }

    /// How much of the memory the client holds, in bytes. Nothing for one that has no share.
    pub fn held_bytes(&self) -> usize {
        self.holder.as_ref().map_or(0, |holder| holder.memory.used())
    }

    /// Buffers that wait for their next reader.
    pub(crate) fn idle(&self) -> &IdleBuffers {
        &self.node.idle
    }

    fn take(&self, bytes: usize, bounds: Bounds) -> Result<Reservation, Refusal> {
        match take(self.holder.as_deref(), self.node.memory_pools(), bytes, bounds) {
            Ok(()) => Ok(Reservation { share: self.clone(), bytes }),
            Err(None) => Err(Refusal::Memory),
            Err(Some(Level::Connection)) => Err(Refusal::ConnectionMemory),
            Err(Some(Level::Address | Level::Network)) => Err(Refusal::AddressMemory),
        }
    }

    fn give_back(&self, bytes: usize) {
        give_back(self.holder.as_deref(), self.node.memory_pools(), bytes);
    }

    /// Notes that something was refused.
    fn refusable<T>(&self, taken: Result<T, Refusal>, resource: &'static str) -> Result<T, Refused> {
        taken.map_err(|refusal| {
            self.node.refusals.note(refusal);
            Refused::Busy { resource }
        })
    }
}

impl Node {
    fn connection_pools(&self) -> Pools<'_> {
        (&self.connections, |holder| &holder.connections)
    }

    fn memory_pools(&self) -> Pools<'_> {
        (&self.memory, |holder| &holder.memory)
    }

    fn window_pools(&self) -> Pools<'_> {
        (&self.windows, |holder| &holder.windows)
    }

    fn file_pools(&self) -> Pools<'_> {
        (&self.files, |holder| &holder.files)
    }
}

/// Memory that may be used until this is dropped.
#[derive(Debug)]
pub struct Reservation {
    share: Share,
    bytes: usize,
}

impl Reservation {
    /// What it was taken from.
    pub(crate) fn share(&self) -> &Share {
        &self.share
    }

    /// As much as is needed after all, if that is less.
    pub fn shrink_to(&mut self, bytes: usize) {
        let surplus = self.bytes.saturating_sub(bytes);
        self.bytes -= surplus;
        self.share.give_back(surplus);
    }

    /// Counts for another client from now on, whatever that holds.
    pub fn move_to(&mut self, share: &Share) {
        if !self.share.is_of_same_client(share) {
            add(share.holder.as_deref(), self.share.node.memory_pools(), self.bytes);
            self.share.give_back(self.bytes);
            self.share = share.clone();
        }
    }

    /// Takes some more.
    ///
    /// # Errors
    /// [`Refused::Busy`].
    pub fn grow_by(&mut self, bytes: usize) -> Result<(), Refused> {
        let mut more = self.share.memory(bytes)?;
        self.bytes += std::mem::take(&mut more.bytes);
        Ok(())
    }

    /// As much as that, if it is not so much already.
    ///
    /// # Errors
    /// [`Refused::Busy`].
    pub fn grow_to(&mut self, bytes: usize) -> Result<(), Refused> {
        match bytes.checked_sub(self.bytes) {
            Some(missing) if missing > 0 => self.grow_by(missing),
            _ => Ok(()),
        }
    }

    /// `bytes`, which count as many as they are until the last slice of them is dropped.
    ///
    /// # Errors
    /// [`Refused::Busy`].
    pub fn hold(mut self, bytes: Bytes) -> Result<Bytes, Refused> {
        self.grow_to(bytes.len())?;
        self.shrink_to(bytes.len());
        Ok(self.keep_with(bytes))
    }

    /// `bytes`, for which this is kept as it is until the last slice of them is dropped.
    pub fn keep_with(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Held { bytes, _reservation: self })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.share.give_back(self.bytes);
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

/// A file that is open for an answer or an upload.
#[derive(Debug)]
pub struct OpenFile(Share);

impl Drop for OpenFile {
    fn drop(&mut self) {
        let OpenFile(Share { node, holder }) = self;
        give_back(holder.as_deref(), node.file_pools(), 1);
    }
}

#[cfg(test)]
mod tests;
