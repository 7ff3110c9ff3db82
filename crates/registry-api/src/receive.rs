//! Reading a request's body, frame by frame, with limits on how long it may pause and how slow it may be; and what becomes
//! of a body that an answer did not wait for.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Version, header};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::time::timeout;

use crate::error::{ApiError, chain};

/// How much of a body that no handler wanted is read so that its connection can be kept, as Go's server does.
const UNREAD_BYTES_MAX: u64 = 256 * 1024;

/// How long the answer waits for that rest: a client that sends it takes less.
const UNREAD_WAIT: Duration = Duration::from_secs(1);

/// A body brings at least this much in each [`RATE_WINDOW`], or it is given up: less than the slowest modem sends, more than
/// a client that only wants to hold the request.
const RATE_BYTES_MIN: u64 = 64 * 1024;

/// Over how long a body's rate is looked at: longer than a client pauses that goes on.
const RATE_WINDOW: Duration = Duration::from_secs(5 * 60);

/// The body of a request. What is left of it when it is dropped goes back to the [`Unread`] that it was made with.
pub(crate) struct RequestBody {
    incoming: Option<Incoming>,
    unread: Unread,
    was_asked_for: bool,
    rate: Rate,
}

/// What a handler left of a request's body; nothing is kept for a request without one.
#[derive(Clone, Default)]
pub(crate) struct Unread(Option<Arc<Mutex<Option<Rest>>>>);

struct Rest {
    /// None if it broke off: the rest cannot be read.
    incoming: Option<Incoming>,
    /// A client that waits for `100 Continue` was told to send.
    was_asked_for: bool,
}

impl RequestBody {
    pub(crate) fn new(incoming: Incoming) -> (RequestBody, Unread) {
        let has_body = !incoming.is_end_stream();
        let unread = Unread(has_body.then(Arc::default));
        let rate = Rate { since: Instant::now(), bytes: 0 };
        let body =
            RequestBody { incoming: Some(incoming), unread: unread.clone(), was_asked_for: false, rate };
        (body, unread)
    }

    /// The next bytes; nothing at the end. Trailers are passed over.
    pub(crate) async fn next(&mut self, idle: Duration) -> Result<Option<Bytes>, ApiError> {
        loop {
            let Some(incoming) = &mut self.incoming else { return Ok(None) };
            self.was_asked_for = true;
            let frame = timeout(idle, incoming.frame()).await;
            match frame.map_err(|_| ApiError::BodyIdle { idle_secs: idle.as_secs() })? {
                None => return Ok(None),
                Some(Err(error)) => {
                    self.incoming = None;
                    self.leave(None);
                    return Err(ApiError::BodyBroken { reason: chain(&error) });
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

impl RequestBody {
    fn leave(&self, incoming: Option<Incoming>) {
        if let Some(slot) = &self.unread.0 {
            *slot.lock() = Some(Rest { incoming, was_asked_for: self.was_asked_for });
        }
    }
}

impl Drop for RequestBody {
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
    fn note(&mut self, length: usize, now: Instant) -> Result<(), ApiError> {
        self.bytes += length as u64;
        if now.duration_since(self.since) < RATE_WINDOW {
            return Ok(());
        }
        if self.bytes < RATE_BYTES_MIN {
            return Err(ApiError::BodySlow { bytes: RATE_BYTES_MIN, secs: RATE_WINDOW.as_secs() });
        }
        *self = Rate { since: now, bytes: 0 };
        Ok(())
    }
}

impl Unread {
    /// Decides what becomes of the rest of a body, before the head of the answer is sent: a short one is read, so that the
    /// connection can be kept; for a long one the answer says that the connection ends, and the connection then reads on until
    /// the client has seen the answer. A connection that is closed with unread bytes would be reset, and the answer lost.
    pub(crate) async fn settle(self, request: &http::request::Parts, answer: &mut HeaderMap) {
        // On HTTP/2 a stream ends by itself, with NO_ERROR.
        if request.version >= Version::HTTP_2 || answer.contains_key(header::CONNECTION) {
            return;
        }
        let Some(rest) = self.0.and_then(|slot| slot.lock().take()) else { return };
        let waits = request.headers.contains_key(header::EXPECT) && !rest.was_asked_for;
        if waits || !rest.ends_soon().await {
            answer.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

impl Rest {
    async fn ends_soon(self) -> bool {
        let Some(mut incoming) = self.incoming else { return false };
        if incoming.size_hint().lower() > UNREAD_BYTES_MAX {
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

/// What `Content-Length` says.
pub(crate) fn declared_length(headers: &HeaderMap) -> Option<u64> {
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
        assert!(matches!(rate.note(1, after(2.0)), Err(ApiError::BodySlow { .. })));
    }
}
