//! Whether a connection has a request in progress, and since when it has none.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Method, Request, Response, Version, header};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::time::sleep;

use super::handover::{Handover, HyperBody};
use crate::{ServerBody, observed::Observed, service::Service};

/// The requests of one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Activity(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    running: AtomicUsize,
    begun: AtomicU64,
    /// Whether nothing is left of the last request once its answer is sent: it had no body that might not have been read
    /// to its end, and another request may follow on the connection.
    may_rest: AtomicBool,
    /// Whether the last answer was sent before its request was read to its end, and says that the connection ends.
    has_unread: AtomicBool,
    /// When something of each HTTP/2 answer was last asked for.
    taken: Mutex<BTreeMap<u64, Instant>>,
}

impl Activity {
    /// Wraps a service so that its requests count, from their head to the last byte of their answer. Large bodies are for
    /// `handover`, where nothing else is to be done on the connection.
    pub(super) fn observe(&self, service: Service, handover: Handover) -> ObservedService {
        ObservedService { service, activity: self.clone(), handover }
    }

    /// Completes when no request has been in progress for `limit`, give or take another `limit`: one timer, looked at
    /// rarely, so that a busy connection pays nothing for it.
    pub(super) fn idle_for(&self, limit: Duration) -> impl Future<Output = ()> + use<> {
        let counts = self.0.clone();
        async move {
            let mut seen = counts.begun.load(Ordering::Relaxed);
            loop {
                sleep(limit).await;
                let begun = counts.begun.load(Ordering::Relaxed);
                if begun == seen && counts.running.load(Ordering::Relaxed) == 0 {
                    return;
                }
                seen = begun;
            }
        }
    }

    /// Completes when there is nothing to do since `limit`, give or take another `limit`, after a request that left nothing
    /// behind and whose answer is sent: `has_unsent` tells. To be polled whenever the connection was: it wakes nobody when a request ends. A busy connection pays one timer
    /// for each `limit`.
    pub(super) fn rest_after(
        &self,
        limit: Duration,
        has_unsent: Arc<AtomicBool>,
    ) -> impl Future<Output = ()> + use<> {
        let counts = self.0.clone();
        let made = counts.begun.load(Ordering::Relaxed);
        async move {
            let begun = || counts.begun.load(Ordering::Relaxed);
            let is_resting = || {
                counts.running.load(Ordering::Relaxed) == 0
                    && counts.may_rest.load(Ordering::Relaxed)
                    && !has_unsent.load(Ordering::Relaxed)
            };
            // The timer runs only while there is nothing to do.
            let resting = || {
                std::future::poll_fn(|_| {
                    if is_resting() && begun() != made { Poll::Ready(()) } else { Poll::Pending }
                })
            };
            loop {
                resting().await;
                let seen = begun();
                sleep(limit).await;
                if is_resting() && begun() == seen {
                    return;
                }
            }
        }
    }

    /// Completes when an HTTP/2 answer has not been taken from for `limit`, give or take another `limit`. Its peer keeps the
    /// window closed, and may answer pings all the while; the socket itself never waits. HTTP/1.1 shows at the socket.
    pub(super) fn stalled_for(&self, limit: Duration) -> impl Future<Output = ()> + use<> {
        let counts = self.0.clone();
        async move {
            loop {
                sleep(limit).await;
                if counts.taken.lock().values().any(|taken| taken.elapsed() >= limit) {
                    return;
                }
            }
        }
    }

    /// Whether the last request may not have been read to its end.
    pub(super) fn has_unread(&self) -> bool {
        self.0.has_unread.load(Ordering::Relaxed)
    }

    fn begin(&self) -> Running {
        let number = self.0.begun.fetch_add(1, Ordering::Relaxed);
        self.0.running.fetch_add(1, Ordering::Relaxed);
        Running { counts: self.0.clone(), number }
    }
}

struct Running {
    counts: Arc<Counts>,
    number: u64,
}

impl Running {
    /// Something of an HTTP/2 answer was asked for.
    fn note_taken(&self) {
        self.counts.taken.lock().insert(self.number, Instant::now());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.counts.running.fetch_sub(1, Ordering::Relaxed);
        self.counts.taken.lock().remove(&self.number);
    }
}

/// Whether a request has no body, and its connection may have another one after it.
fn leaves_nothing(request: &Request<Incoming>) -> bool {
    http_body::Body::is_end_stream(request.body())
        && request.version() == Version::HTTP_11
        && !request.headers().contains_key(header::CONNECTION)
}

/// The service of one connection.
pub(super) struct ObservedService {
    service: Service,
    activity: Activity,
    handover: Handover,
}

impl hyper::service::Service<Request<Incoming>> for ObservedService {
    type Response = Response<HyperBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let running = self.activity.begin();
        let service = self.service.clone();
        let is_watched = request.version() == Version::HTTP_2;
        let may_rest = leaves_nothing(&request);
        let has_body = !http_body::Body::is_end_stream(request.body());
        let handover = (may_rest && request.method() == Method::GET).then(|| self.handover.clone());
        self.activity.0.may_rest.store(false, Ordering::Relaxed);
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let (body, unread) = ServerBody::of(body);
            let response = service.respond(Request::from_parts(parts, body), unread).await;
            let is_last = response.headers().contains_key(header::CONNECTION);
            running.counts.may_rest.store(may_rest && !is_last, Ordering::Relaxed);
            running.counts.has_unread.store(has_body && is_last, Ordering::Relaxed);
            if is_watched {
                running.note_taken();
            }
            let response = response.map(|body| RunningBody { body, running: Arc::new(running), is_watched });
            Ok(match handover {
                Some(handover) if !is_last => handover.offer(response),
                _ => response.map(HyperBody::Here),
            })
        })
    }
}

/// A body whose request is in progress until it is dropped.
pub(super) struct RunningBody {
    body: Observed,
    /// Shared with the frames of an HTTP/2 answer, which wait for the peer when the body has none left.
    running: Arc<Running>,
    is_watched: bool,
}

/// Bytes of an HTTP/2 answer: while they wait for a window, their request is in progress.
struct Waiting {
    bytes: Bytes,
    _running: Arc<Running>,
}

impl AsRef<[u8]> for Waiting {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl RunningBody {
    /// Keeps nothing of the request but copies.
    pub(super) fn let_go_of_request(&mut self) {
        self.body.let_go_of_request();
    }
}

impl http_body::Body for RunningBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        if !self.is_watched {
            return Pin::new(&mut self.body).poll_frame(context);
        }
        self.running.note_taken();
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let running = &self.running;
        let watched = |bytes| Bytes::from_owner(Waiting { bytes, _running: running.clone() });
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(watched))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_only_without_requests() {
        let activity = Activity::default();
        let running = activity.begin();
        let idle = activity.idle_for(Duration::from_secs(10));
        tokio::pin!(idle);
        assert!(tokio::time::timeout(Duration::from_secs(60), &mut idle).await.is_err());
        drop(running);
        assert!(tokio::time::timeout(Duration::from_secs(21), &mut idle).await.is_ok());
    }
}
