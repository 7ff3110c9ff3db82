//! One fetch for each blob: a task that no client's leaving ends.

use std::{
    collections::HashMap,
    io,
    ops::Range,
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream, stream::BoxStream};
use http::{HeaderMap, Method, header};
use parking_lot::Mutex;
use registry_api::ReadArriving;
use registry_digest::Digest;
use registry_metadata::Purpose;
use registry_types::RepositoryName;
use tokio::{sync::OnceCell, time::sleep};

use crate::{
    error::UpstreamError,
    growing::{Beginning, Growing, PIECE_BYTES_MAX},
    keep::{Keep, KeepError, Place},
    spool::{Spool, Spooled},
    upstream::{Question, Reply, Upstream},
};

/// A range that begins so far ahead of what has come is asked of the upstream by itself.
const AHEAD_BYTES: u64 = 32 * 1024 * 1024;

/// How often a fetch that breaks is gone on with, without a byte in between.
const TRIES_MAX: u32 = 5;

/// The first pause after a fetch has broken; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(200);

/// What is fetched.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) repository: RepositoryName,
    /// The repository's name upstream.
    pub(crate) remote: String,
    pub(crate) digest: Digest,
}

/// The fetches of a node, each until its blob is kept or given up.
#[derive(Debug)]
pub(crate) struct Fetches {
    place: Place,
    spool: Spool,
    running: Mutex<HashMap<(RepositoryName, Digest), Weak<Running>>>,
}

type Running = OnceCell<Arc<Growing>>;

/// What came of asking for a blob.
pub(crate) enum Began {
    Arriving(Arc<Growing>),
    /// Another fetch has brought it meanwhile.
    Here,
    /// There is no room to keep it.
    Passing {
        size_bytes: u64,
    },
    Absent,
}

/// Why a fetch did not begin.
enum NotBegun {
    Absent,
    Here,
    NoRoom { size_bytes: u64 },
    Upstream(UpstreamError),
    Keep(KeepError),
}

/// Why a fetch can not begin, for clients.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error(transparent)]
    Upstream(UpstreamError),
    #[error(transparent)]
    Keep(KeepError),
}

impl Fetches {
    pub(crate) fn new(place: Place, spool: Spool) -> Arc<Fetches> {
        Arc::new(Fetches { place, spool, running: Mutex::default() })
    }

    /// Joins the fetch of a blob, or begins one.
    pub(crate) async fn join(self: &Arc<Self>, wanted: &Wanted) -> Result<Began, FetchError> {
        let running = self.entry(wanted);
        match running.get_or_try_init(|| self.begin(wanted, running.clone())).await {
            Ok(growing) => Ok(Began::Arriving(growing.clone())),
            Err(NotBegun::Absent) => Ok(Began::Absent),
            Err(NotBegun::Here) => Ok(Began::Here),
            Err(NotBegun::NoRoom { size_bytes }) => Ok(Began::Passing { size_bytes }),
            Err(NotBegun::Upstream(error)) => Err(FetchError::Upstream(error)),
            Err(NotBegun::Keep(error)) => Err(FetchError::Keep(error)),
        }
    }

    fn entry(&self, wanted: &Wanted) -> Arc<Running> {
        let mut running = self.running.lock();
        let key = (wanted.repository.clone(), wanted.digest);
        if let Some(entry) = running.get(&key).and_then(Weak::upgrade) {
            return entry;
        }
        running.retain(|_, entry| entry.strong_count() > 0);
        let entry = Arc::new(Running::new());
        running.insert(key, Arc::downgrade(&entry));
        entry
    }

    async fn begin(
        self: &Arc<Self>,
        wanted: &Wanted,
        running: Arc<Running>,
    ) -> Result<Arc<Growing>, NotBegun> {
        let here = self.place.metadata.blob(&wanted.repository, &wanted.digest, Purpose::Read).await;
        if here.map_err(|error| NotBegun::Keep(error.into()))?.is_some() {
            return Err(NotBegun::Here);
        }
        let reply = ask(wanted, Method::GET, None).await.map_err(NotBegun::Upstream)?;
        let reply = reply.ok_or(NotBegun::Absent)?;
        let size_bytes = size_of(wanted, &reply).await.map_err(NotBegun::Upstream)?;
        if !self.has_room(size_bytes).await {
            return Err(NotBegun::NoRoom { size_bytes });
        }
        let spooled = match self.place.store.reads_unfinished() {
            true => None,
            false => {
                let file = self.spool.file(size_bytes).await.unwrap_or_else(|error| {
                    tracing::warn!("no file can be made in the spool, so blobs are not kept: {error}");
                    None
                });
                Some(file.ok_or(NotBegun::NoRoom { size_bytes })?)
            }
        };
        let keep = Keep::begin(&self.place, &wanted.repository, &wanted.digest).await;
        let keep = keep.map_err(NotBegun::Keep)?;
        let beginning = match &spooled {
            Some(file) => Beginning::Spooled(file.clone()),
            None => Beginning::Stored { store: self.place.store.clone(), location: keep.location().clone() },
        };
        let growing = Growing::new(size_bytes, beginning);
        let fetch =
            Fetch { wanted: wanted.clone(), growing: growing.clone(), keep, spooled, _running: running };
        tokio::spawn(fetch.run(reply));
        Ok(growing)
    }

    async fn has_room(&self, size_bytes: u64) -> bool {
        let Some(space) = self.place.store.free_space().await else { return true };
        space.free_bytes >= space.reserve_bytes.saturating_add(size_bytes)
    }
}

/// How long a blob is: an answer that does not say it is followed by a look.
async fn size_of(wanted: &Wanted, reply: &Reply) -> Result<u64, UpstreamError> {
    if let Some(size_bytes) = reply.length() {
        return Ok(size_bytes);
    }
    let head = ask(wanted, Method::HEAD, None).await?;
    let unknown = || UpstreamError::Unusable("it does not say how long a blob is".to_owned());
    head.and_then(|reply| reply.length()).ok_or_else(unknown)
}

/// Asks for a blob, or for its rest from an offset on.
pub(crate) async fn ask(
    wanted: &Wanted,
    method: Method,
    range: Option<Range<u64>>,
) -> Result<Option<Reply>, UpstreamError> {
    let mut headers = HeaderMap::new();
    if let Some(range) = range {
        let text = format!("bytes={}-{}", range.start, range.end.saturating_sub(1));
        headers.insert(header::RANGE, text.parse().map_err(|_| UpstreamError::Unusable(text))?);
    }
    let path = format!("blobs/{}", wanted.digest);
    wanted.upstream.ask(&Question { method, repository: &wanted.remote, path, headers }).await
}

/// The bytes of a range, also of an upstream that answers with all of the blob.
pub(crate) async fn ask_range(
    wanted: &Wanted,
    range: Range<u64>,
    size_bytes: u64,
) -> Result<(Reply, u64), UpstreamError> {
    let reply = ask(wanted, Method::GET, Some(range.clone())).await?;
    let reply = reply.ok_or_else(|| UpstreamError::Unusable("the blob is gone".to_owned()))?;
    let said = |name| reply.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match reply.status {
        206 => {
            let expected = format!("bytes {}-{}/{size_bytes}", range.start, range.end.saturating_sub(1));
            let got = said(header::CONTENT_RANGE);
            if got != expected {
                return Err(UpstreamError::Unusable(format!("it answered with {got:?}, not {expected:?}")));
            }
            Ok((reply, 0))
        }
        _ => Ok((reply, range.start)),
    }
}

/// Ends a fetch whose task is gone before its end.
struct Ends(Arc<Growing>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.fail_unless_ended();
    }
}

/// A fetch that runs.
struct Fetch {
    wanted: Wanted,
    growing: Arc<Growing>,
    keep: Keep,
    spooled: Option<Arc<Spooled>>,
    /// Others find the fetch for as long as this is there.
    _running: Arc<Running>,
}

impl Fetch {
    async fn run(mut self, reply: Reply) {
        let _ends = Ends(self.growing.clone());
        let _counted = self.wanted.upstream.metrics.fetching();
        let result = self.transfer(reply).await;
        let is_good = match &result {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(
                    "could not fetch {} of {}: {error}",
                    self.wanted.digest,
                    self.wanted.repository
                );
                false
            }
        };
        let Fetch { growing, keep, _running: running, .. } = self;
        // What fails is not to be found any more: the next request begins anew.
        drop(running);
        growing.end(is_good);
        if !is_good {
            keep.give_up().await;
        }
    }

    async fn transfer(&mut self, reply: Reply) -> Result<(), FetchError> {
        let (mut reply, mut skip, mut tries) = (Some(reply), 0, 0);
        while let Err(error) = self.receive(reply.take(), &mut skip, &mut tries).await {
            let FetchError::Upstream(error) = error else { return Err(error) };
            let is_final = matches!(error, UpstreamError::Unusable(_) | UpstreamError::Denied);
            if is_final || tries >= TRIES_MAX {
                return Err(FetchError::Upstream(error));
            }
            tracing::debug!("goes on with {} after: {error}", self.wanted.digest);
            sleep(PAUSE * 2_u32.pow(tries)).await;
            tries += 1;
        }
        let kept = self.keep.finish().await.map_err(FetchError::Keep)?;
        self.growing.lies_at(&kept);
        Ok(())
    }

    /// Takes bytes of an answer until it ends; asks for the rest if there is no answer.
    async fn receive(
        &mut self,
        reply: Option<Reply>,
        skip: &mut u64,
        tries: &mut u32,
    ) -> Result<(), FetchError> {
        let size_bytes = self.growing.size_bytes;
        if reply.is_none() && self.growing.received() == size_bytes {
            return Ok(());
        }
        let mut reply = match reply {
            Some(reply) => reply,
            None => {
                let rest = self.growing.received()..size_bytes;
                let (reply, skipped) =
                    ask_range(&self.wanted, rest, size_bytes).await.map_err(FetchError::Upstream)?;
                *skip = skipped;
                reply
            }
        };
        while let Some(mut bytes) = reply.chunk().await.map_err(FetchError::Upstream)? {
            self.wanted.upstream.metrics.came(self.wanted.upstream.name(), bytes.len() as u64);
            let skipped = usize::try_from(*skip).unwrap_or(usize::MAX).min(bytes.len());
            *skip -= skipped as u64;
            let _ = bytes.split_to(skipped);
            if !bytes.is_empty() {
                *tries = 0;
                self.take(bytes).await?;
            }
        }
        match self.growing.received() == size_bytes {
            true => Ok(()),
            false => Err(FetchError::Upstream(UpstreamError::Status { status: reply.status })),
        }
    }

    async fn take(&mut self, mut bytes: Bytes) -> Result<(), FetchError> {
        if self.growing.received() + bytes.len() as u64 > self.growing.size_bytes {
            let longer = "it sent more than it said".to_owned();
            return Err(FetchError::Upstream(UpstreamError::Unusable(longer)));
        }
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(PIECE_BYTES_MAX));
            if let Some(file) = &self.spooled {
                let written = file.write(self.growing.received(), piece.clone()).await;
                let failed = |error| {
                    KeepError::Storage(registry_storage::StorageError::Backend {
                        operation: "write to the spool",
                        source: Box::new(error),
                    })
                };
                written.map_err(|error: io::Error| FetchError::Keep(failed(error)))?;
            }
            self.keep.append(piece.clone()).await.map_err(FetchError::Keep)?;
            self.growing.push(piece);
        }
        Ok(())
    }
}

/// A blob that arrives, for clients that want all of it or a part.
pub(crate) struct Following {
    pub(crate) wanted: Wanted,
    pub(crate) growing: Arc<Growing>,
}

impl ReadArriving for Following {
    fn read(&self, range: Range<u64>) -> BoxStream<'static, io::Result<Bytes>> {
        if range.start > self.growing.received().saturating_add(AHEAD_BYTES) {
            return direct(self.wanted.clone(), range, self.growing.size_bytes);
        }
        self.growing.read(range)
    }
}

/// A range of a blob straight from the upstream. Nothing of it is kept, and as a part it can not be verified.
pub(crate) fn direct(
    wanted: Wanted,
    range: Range<u64>,
    size_bytes: u64,
) -> BoxStream<'static, io::Result<Bytes>> {
    let begin = async move {
        let left = range.end - range.start;
        let (reply, skip) = ask_range(&wanted, range, size_bytes).await.map_err(io::Error::other)?;
        let part = Part { reply, skip, left };
        Ok::<_, io::Error>(stream::try_unfold(part, |mut part| async move {
            Ok(part.next().await?.map(|bytes| (bytes, part)))
        }))
    };
    begin.into_stream().try_flatten().boxed()
}

/// A part of a blob, in an answer that may begin before it and end after it.
struct Part {
    reply: Reply,
    skip: u64,
    left: u64,
}

impl Part {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if self.left == 0 {
                return Ok(None);
            }
            let chunk = self.reply.chunk().await.map_err(io::Error::other)?;
            let mut bytes = chunk.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
            let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
            self.skip -= skipped as u64;
            let _ = bytes.split_to(skipped);
            bytes.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
            if !bytes.is_empty() {
                self.left -= bytes.len() as u64;
                return Ok(Some(bytes));
            }
        }
    }
}
