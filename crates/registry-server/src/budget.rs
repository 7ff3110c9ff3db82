//! What peers can make a node hold at once: memory for answers and for bodies that are gathered, windows of HTTP/2, and open files.
//!
//! Everything is taken before it is allocated, read or opened, and given back when the last byte of it has gone. It is taken
//! of the node, and within that of the share of the connection and of the client's address. What does not fit is refused with
//! 503 and `Retry-After`: a burst is served a little later, and one peer does not keep others from being served.

use std::{fmt, net::IpAddr, sync::Arc};

use bytes::Bytes;

use crate::{
    Refused,
    addresses::{Addresses, Holder, Shares},
    descriptors::Descriptors,
    file_body::IdleBuffers,
    pool::Pool,
    refusals::{Refusal, Refusals},
    release,
    turns::{self, Turn, Turns},
};

/// The memory that all answers and gathered bodies of a node share.
pub const MEMORY_BYTES: usize = 48 * 1024 * 1024;

/// Larger amounts leave a quarter of the memory to those that are smaller, so that a few peers with large manifests do
/// not keep all others from small ones.
const SMALL_BYTES: usize = 64 * 1024;

/// A connection may have this part of the memory and of the open files, and an address with a share as well.
const PART: usize = 4;

/// What a connection may have of the memory at least, so that the largest answer fits: two copies of the annotations of the
/// largest manifest, and what is around them.
const SHARE_BYTES_MIN: usize = 9 * 1024 * 1024;

/// How many files a connection may have open at least.
const SHARE_FILES_MIN: usize = 8;

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

    /// A budget of so much memory, as much again for the windows of HTTP/2, and so many files that are open for answers and
    /// uploads.
    pub fn new(memory_bytes: usize, files: usize) -> Budget {
        Budget(Arc::new(Node {
            memory: Pool::new(memory_bytes),
            windows: Pool::new(memory_bytes),
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
        let Node { memory, files, .. } = &*self.0;
        let (memory_bytes, files) = (share_bytes(memory), share_files(files));
        let window_bytes = self.0.windows.total() / PART;
        self.0.addresses.holder(address, Shares { connections, memory_bytes, window_bytes, files })
    }

    /// Counts a connection of the node, and of its address unless that holds as many as it may.
    pub(crate) fn connection(&self, holder: Option<Arc<Holder>>) -> Option<CountedConnection> {
        if let Some(holder) = &holder
            && !holder.connections.take(1)
        {
            self.0.refusals.note(Refusal::AddressConnections);
            return None;
        }
        self.0.connections.take(1);
        Some(CountedConnection { node: self.0.clone(), holder })
    }

    /// The share of a client that no address or network is known of, such as a test.
    pub fn client(&self) -> Share {
        self.share(None)
    }

    /// The share of one connection, whose answers count for an address as well if that has a share.
    pub(crate) fn share(&self, holder: Option<Arc<Holder>>) -> Share {
        let memory = Pool::new(share_bytes(&self.0.memory));
        let files = Pool::new(share_files(&self.0.files));
        let turns = Turns::of_client();
        Share { connection: Arc::new(Connection { node: self.0.clone(), memory, files, turns }), holder }
    }
}

fn share_bytes(memory: &Pool) -> usize {
    (memory.total() / PART).max(SHARE_BYTES_MIN.min(memory.total() - memory.total() / PART))
}

fn share_files(files: &Pool) -> usize {
    (files.total() / PART).max(SHARE_FILES_MIN.min(files.total()))
}

/// A connection that counts until this is dropped.
pub(crate) struct CountedConnection {
    node: Arc<Node>,
    holder: Option<Arc<Holder>>,
}

impl Drop for CountedConnection {
    fn drop(&mut self) {
        self.node.connections.give_back(1);
        if let Some(holder) = &self.holder {
            holder.connections.give_back(1);
        }
    }
}

/// What one connection, and the client behind it, use of the budget.
#[derive(Clone)]
pub struct Share {
    connection: Arc<Connection>,
    holder: Option<Arc<Holder>>,
}

struct Connection {
    node: Arc<Node>,
    memory: Pool,
    files: Pool,
    turns: Turns,
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Share").field("memory_bytes", &self.connection.memory.used()).finish_non_exhaustive()
    }
}

impl Share {
    /// What the client's address holds, if it has a share.
    pub(crate) fn holder(&self) -> Option<&Arc<Holder>> {
        self.holder.as_ref()
    }

    /// The same connection, for a request of another client than its peer: that of a proxy which names its clients.
    pub(crate) fn on_behalf_of(&self, holder: Option<Arc<Holder>>) -> Share {
        Share { connection: self.connection.clone(), holder }
    }

    /// Memory that is about to be used.
    ///
    /// # Errors
    /// [`Refused::Busy`].
    pub fn memory(&self, bytes: usize) -> Result<Reservation, Refused> {
        let total = self.node().memory.total();
        let limit = if bytes > SMALL_BYTES { total - total / PART } else { total };
        self.refusable(self.take(bytes, limit), "memory for answers and manifests")
    }

    /// Memory of a stream, which a slow peer may hold for long: streams leave the last quarter to everything else.
    ///
    /// # Errors
    /// [`Refused::Busy`].
    pub fn stream_memory(&self, bytes: usize) -> Result<Reservation, Refused> {
        let total = self.node().memory.total();
        self.refusable(self.take(bytes, total - total / PART), "memory for streams of layers")
    }

    /// Memory that makes something faster, while less than half of it is in use.
    pub(crate) fn spare_memory(&self, bytes: usize) -> Option<Reservation> {
        self.take(bytes, self.node().memory.total() / 2).ok()
    }

    /// What a peer may send on an HTTP/2 connection before it is read, beyond the least that the protocol allows. The more
    /// connections there are, the smaller the windows of further ones.
    pub(crate) fn window(&self) -> Window {
        /// What a window takes of the node, and up to which part of all it is given.
        const WINDOWS: [(usize, usize); 3] =
            [(Window::LARGE_BYTES, 2), (Window::LARGE_BYTES / 4, 4), (Window::LARGE_BYTES / 16, usize::MAX)];

        let all = &self.node().windows;
        let pools = [None, self.holder.as_ref().map(|holder| &holder.windows), Some(all)];
        let is_taken = |(bytes, part): &(usize, usize)| {
            let limit = |pool: &Pool| pool.total() - pool.total() / part;
            take_of_all(pools, |pool| pool.take_within(*bytes, limit(pool)), *bytes).is_ok()
        };
        let bytes = WINDOWS.into_iter().find(is_taken).map_or(0, |(bytes, _)| bytes);
        Window { share: self.clone(), bytes }
    }

    /// A file that is about to be opened, until this is dropped.
    ///
    /// # Errors
    /// [`Refused::Busy`].
    pub fn file(&self) -> Result<OpenFile, Refused> {
        let Connection { node, files, .. } = &*self.connection;
        let holder = self.holder.as_ref();
        let pools = [Some(files), holder.map(|holder| &holder.files), Some(&node.files)];
        let taken = take_of_all(pools, |pool| pool.take(1), 1);
        let taken =
            taken.map_err(|place| [Refusal::ConnectionFiles, Refusal::AddressFiles, Refusal::Files][place]);
        self.refusable(taken.map(|()| OpenFile(self.clone())), "open files")
    }

    /// Waits until a large document may be parsed, and keeps others waiting until the turn is dropped. Of a connection, and of
    /// an address with a share, one is parsed or waits for the node at a time.
    ///
    /// # Errors
    /// [`Refused::Busy`] after 10 seconds.
    pub async fn turn(&self) -> Result<Turn, Refused> {
        let own = self.holder.as_ref().map_or(&self.connection.turns, |holder| &holder.turns);
        let turn = turns::turn(&[own, &self.node().turns]).await;
        self.refusable(turn.ok_or(Refusal::Parsing), "turns for large documents")
    }

    /// Buffers that wait for their next reader.
    pub(crate) fn idle(&self) -> &IdleBuffers {
        &self.node().idle
    }

    fn node(&self) -> &Node {
        &self.connection.node
    }

    /// Takes memory of the connection, the address and the node, of which no more than `limit` may be in use then.
    fn take(&self, bytes: usize, limit: usize) -> Result<Reservation, Refusal> {
        let Connection { node, memory, .. } = &*self.connection;
        let holder = self.holder.as_ref();
        let pools = [Some(memory), holder.map(|holder| &holder.memory), Some(&node.memory)];
        let take = |pool: &Pool| {
            if std::ptr::eq(pool, &node.memory) { pool.take_within(bytes, limit) } else { pool.take(bytes) }
        };
        match take_of_all(pools, take, bytes) {
            Ok(()) => Ok(Reservation { share: self.clone(), bytes }),
            Err(place) => Err([Refusal::ConnectionMemory, Refusal::AddressMemory, Refusal::Memory][place]),
        }
    }

    fn give_back(&self, bytes: usize) {
        self.connection.memory.give_back(bytes);
        if let Some(holder) = &self.holder {
            holder.memory.give_back(bytes);
        }
        self.node().memory.give_back(bytes);
    }

    /// Notes that something was refused.
    fn refusable<T>(&self, taken: Result<T, Refusal>, resource: &'static str) -> Result<T, Refused> {
        taken.map_err(|refusal| {
            self.node().refusals.note(refusal);
            Refused::Busy { resource }
        })
    }
}

/// Takes of each pool that there is, or of none; then it says which one had too little.
fn take_of_all(pools: [Option<&Pool>; 3], take: impl Fn(&Pool) -> bool, amount: usize) -> Result<(), usize> {
    for (place, pool) in pools.into_iter().enumerate() {
        if pool.is_none_or(&take) {
            continue;
        }
        pools[..place].iter().flatten().for_each(|pool| pool.give_back(amount));
        return Err(place);
    }
    Ok(())
}

/// The windows of an HTTP/2 connection, until this is dropped.
pub(crate) struct Window {
    share: Share,
    bytes: usize,
}

impl Window {
    /// Enough for a fast line far away.
    const LARGE_BYTES: usize = 4 * 1024 * 1024;

    /// What the protocol gives a connection and each stream at first. Spec: RFC 9113, section 6.9.2.
    const BYTES_MIN: usize = 65_535;

    /// How many bytes may wait on the connection.
    pub(crate) fn connection_bytes(&self) -> u32 {
        u32::try_from(self.bytes.max(Window::BYTES_MIN)).unwrap_or(u32::MAX)
    }

    /// How many of them may be of one stream.
    pub(crate) fn stream_bytes(&self) -> u32 {
        u32::try_from((self.bytes / 4).max(Window::BYTES_MIN)).unwrap_or(u32::MAX)
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        if let Some(holder) = &self.share.holder {
            holder.windows.give_back(self.bytes);
        }
        self.share.node().windows.give_back(self.bytes);
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

    /// As [`grow_to`](Self::grow_to), if there is so much. What is not there is no refusal: the caller does with less.
    pub fn try_grow_to(&mut self, bytes: usize) -> bool {
        let missing = bytes.saturating_sub(self.bytes);
        let total = self.share.node().memory.total();
        match self.share.take(missing, total - total / PART) {
            Ok(mut more) => {
                self.bytes += std::mem::take(&mut more.bytes);
                true
            }
            Err(_) => false,
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
        let OpenFile(Share { connection, holder }) = self;
        connection.files.give_back(1);
        if let Some(holder) = holder {
            holder.files.give_back(1);
        }
        connection.node.files.give_back(1);
    }
}

#[cfg(test)]
mod tests;
