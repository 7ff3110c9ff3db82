//! Large answers whose bodies a connection sends without hyper.
//!
//! Hyper keeps buffers of 16 KiB and much else for as long as an answer is on its way, which for a layer and a slow peer is
//! long. So it is given a large body's length alone: it writes the head and then waits for bytes that never come. The body
//! waits here until the head is sent, and is then taken by the connection, which takes hyper down and sends it itself.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;

use super::activity::RunningBody;

/// Shorter bodies fit into the system's buffers, or nearly.
const BODY_BYTES_MIN: u64 = 1024 * 1024;

/// Where the body of a large answer waits for its head to be sent.
#[derive(Clone, Default)]
pub(super) struct Handover(Arc<Mutex<Option<Box<RunningBody>>>>);

impl Handover {
    /// Keeps the body of an answer to a `GET`, if it is large and of known length; what hyper is to send then.
    pub(super) fn offer(&self, response: Response<RunningBody>) -> Response<HyperBody> {
        let has_body = matches!(response.status(), StatusCode::OK | StatusCode::PARTIAL_CONTENT);
        response.map(|mut body| match body.size_hint().exact() {
            Some(length_bytes) if has_body && length_bytes >= BODY_BYTES_MIN => {
                body.let_go_of_request();
                *self.0.lock() = Some(Box::new(body));
                HyperBody::Elsewhere { length_bytes }
            }
            _ => HyperBody::Here(body),
        })
    }

    /// Whether a body waits.
    pub(super) fn is_waiting(&self) -> bool {
        self.0.lock().is_some()
    }

    /// The body that waits.
    pub(super) fn take(&self) -> Option<Box<RunningBody>> {
        self.0.lock().take()
    }
}

/// A body as hyper sees it.
#[expect(clippy::large_enum_variant, reason = "the large one is the usual one")]
pub(super) enum HyperBody {
    /// To be sent by hyper.
    Here(RunningBody),
    /// To be sent without it.
    Elsewhere { length_bytes: u64 },
}

impl Body for HyperBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            HyperBody::Here(body) => Pin::new(body).poll_frame(context),
            HyperBody::Elsewhere { .. } => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            HyperBody::Here(body) => body.is_end_stream(),
            HyperBody::Elsewhere { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            HyperBody::Here(body) => body.size_hint(),
            HyperBody::Elsewhere { length_bytes } => SizeHint::with_exact(*length_bytes),
        }
    }
}
