//! Reading a request's body, frame by frame, with limits on how long it may pause and how slow it may be; and what becomes
//! of a body that an answer did not wait for.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Version, header};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::time::timeout;

use crate::{Refused, chain};

/// How much of a body that no handler wanted is read so that its connection can be kept, as Go's server does.
const UNREAD_BYTES_MAX: u64 = 256 * 1024;

/// How long the answer waits for that rest: a client that sends it takes less.
const UNREAD_WAIT: Duration = Duration::from_secs(1);

/// A body brings at least this much in each [`RATE_WINDOW`], or it is given up: less than the slowest modem sends, more than
/// a client that only wants to hold the request.
const RATE_BYTES_MIN: u64 = 64 * 1024;

/// Over how long a body's rate is looked at: longer than a client pauses that goes on.
const RATE_WINDOW: Duration = Duration::from_secs(5 * 60);

/// The body of a request: from a connection, from an application's server or, in a test, from bytes.
pub struct ServerBody {
    incoming: Option<Source>,
    unread: Unread,
    was_asked_for: bool,
    rate: Rate,
}

/// Where the bytes come from.
enum Source {
    Connection(Incoming),
    Application(UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>),
    Bytes(Full<Bytes>),
}

impl Source {
    async fn frame(&mut self) -> Option<Result<Frame<Bytes>, String>> {
        match self {
            Source::Connection(incoming) => {
                incoming.frame().await.map(|frame| frame.map_err(|error| chain(&error)))
            }
            Source::Application(body) => {
                body.frame().await.map(|frame| frame.map_err(|error| chain(&*error)))
            }
            Source::Bytes(bytes) => bytes.frame().await.map(|frame| frame.map_err(|never| match never {})),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Source::Connection(incoming) => incoming.is_end_stream(),
            Source::Application(body) => body.is_end_stream(),
            Source::Bytes(bytes) => bytes.is_end_stream(),
        }
    }

    /// How many bytes come at least.
    fn bytes_min(&self) -> u64 {
        match self {
            Source::Connection(incoming) => incoming.size_hint().lower(),
            Source::Application(body) => body.size_hint().lower(),
            Source::Bytes(bytes) => bytes.size_hint().lower(),
        }
    }
}

impl fmt::Debug for ServerBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerBody")
    }
}

impl From<Bytes> for ServerBody {
    fn from(bytes: Bytes) -> ServerBody {
        ServerBody::new(Source::Bytes(Full::new(bytes))).0
    }
}

/// What an endpoint left of a request's body; nothing is kept for a request without one.
#[derive(Clone, Default)]
pub(crate) struct Unread(Option<Arc<Mutex<Option<Rest>>>>);

struct Rest {
    /// None if it broke off: the rest cannot be read.
    incoming: Option<Source>,
    /// A client that waits for `100 Continue` was told to send.
    was_asked_for: bool,
}

impl ServerBody {
    /// The body of a request on a connection. What is left of it when it is dropped goes to the [`Unread`].
    pub(crate) fn of(incoming: Incoming) -> (ServerBody, Unread) {
        ServerBody::new(Source::Connection(incoming))
    }

    /// The body of a request that an application's server reads, otherwise as [`of`](Self::of).
    pub(crate) fn of_application<B>(body: B) -> (ServerBody, Unread)
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        ServerBody::new(Source::Application(body.map_err(Into::into).boxed_unsync()))
    }

    fn new(incoming: Source) -> (ServerBody, Unread) {
        let has_body = !incoming.is_end_stream();
        let unread = Unread(has_body.then(Arc::default));
        let rate = Rate { since: Instant::now(), bytes: 0 };
        let body =
            ServerBody { incoming: Some(incoming), unread: unread.clone(), was_asked_for: false, rate };
        (body, unread)
    }

    /// The next bytes; nothing at the end. Trailers are passed over. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`Refused`], if the body breaks off, pauses for longer than `idle`, or comes too slowly.
    pub async fn next(&mut self, idle: Duration) -> Result<Option<Bytes>, Refused> {
        loop {
            let Some(incoming) = &mut self.incoming else { return Ok(None) };
            self.was_asked_for = true;
            let frame = timeout(idle, incoming.frame()).await;
            match frame.map_err(|_| Refused::BodyIdle { idle_secs: idle.as_secs() })? {
                None => return Ok(None),
                Some(Err(reason)) => {
                    self.incoming = None;
                    self.leave(None);
                    return Err(Refused::BodyBroken { reason });
                }
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        self.rate.note(bytes.len(), Instant::now())?;
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }
}

impl ServerBody {
    fn leave(&self, incoming: Option<Source>) {
        if let Some(slot) = &self.unread.0 {
            *slot.lock() = Some(Rest { incoming, was_asked_for: self.was_asked_for });
        }
    }
}

impl Drop for ServerBody {
    fn drop(&mut self) {
        if let Some(incoming) = self.incoming.take().filter(|incoming| !incoming.is_end_stream()) {
            self.leave(Some(incoming));
        }
    }
}

/// How much came since when.
struct Rate {
    since: Instant,
    bytes: u64,
}

impl Rate {
    fn note(&mut self, length: usize, now: Instant) -> Result<(), Refused> {
        self.bytes += length as u64;
        if now.duration_since(self.since) < RATE_WINDOW {
            return Ok(());
        }
        if self.bytes < RATE_BYTES_MIN {
            return Err(Refused::BodySlow { bytes: RATE_BYTES_MIN, secs: RATE_WINDOW.as_secs() });
        }
        *self = Rate { since: now, bytes: 0 };
        Ok(())
    }
}

impl Unread {
    /// Decides what becomes of the rest of a body, before the head of the answer is sent: a short one is read, so that the
    /// connection can be kept; for a long one the answer says that the connection ends, and the connection then reads on until
    /// the client has seen the answer. A connection that is closed with unread bytes would be reset, and the answer lost.
    pub(crate) async fn settle(self, version: Version, waits_to_send: bool, answer: &mut HeaderMap) {
        // On HTTP/2 a stream ends by itself, with NO_ERROR.
        if version >= Version::HTTP_2 || answer.contains_key(header::CONNECTION) {
            return;
        }
        let Some(rest) = self.0.and_then(|slot| slot.lock().take()) else { return };
        if (waits_to_send && !rest.was_asked_for) || !rest.ends_soon().await {
            answer.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

impl Rest {
    async fn ends_soon(self) -> bool {
        let Some(mut incoming) = self.incoming else { return false };
        if incoming.bytes_min() > UNREAD_BYTES_MAX {
            return false;
        }
        let read = async {
            let mut left_bytes = UNREAD_BYTES_MAX;
            while let Some(frame) = incoming.frame().await {
                let Ok(frame) = frame else { return false };
                let length_bytes = frame.data_ref().map_or(0, |bytes| bytes.len() as u64);
                match left_bytes.checked_sub(length_bytes) {
                    Some(left) => left_bytes = left,
                    None => return false,
                }
            }
            true
        };
        timeout(UNREAD_WAIT, read).await.unwrap_or(false)
    }
}

/// What `Content-Length` says, in bytes.
pub fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_drips_is_given_up() {
        let begun = Instant::now();
        let mut rate = Rate { since: begun, bytes: 0 };
        let after = |windows: f64| begun + RATE_WINDOW.mul_f64(windows);
        assert!(rate.note(1, after(0.9)).is_ok());
        assert!(rate.note(RATE_BYTES_MIN as usize, after(1.0)).is_ok());
        // What came before does not count for the next window.
        assert!(rate.note(1, after(1.9)).is_ok());
        assert!(matches!(rate.note(1, after(2.0)), Err(Refused::BodySlow { .. })));
    }
}
