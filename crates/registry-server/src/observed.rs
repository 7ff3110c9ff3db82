//! An answer's body that notes, when it ends or is given up, what became of the request.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::{
    Server,
    access_log::Entry,
    body::Body,
    metrics::{Finished, InFlight},
};

/// The body of an answer. When it is gone, its request is counted and noted in the access log.
pub struct Observed {
    body: Body,
    server: Arc<Server>,
    entry: Entry,
    in_flight: InFlight,
    started: Instant,
    sent_bytes: u64,
}

impl Observed {
    pub(crate) fn new(
        body: Body,
        server: Arc<Server>,
        entry: Entry,
        in_flight: InFlight,
        started: Instant,
    ) -> Observed {
        Observed { body, server, entry, in_flight, started, sent_bytes: 0 }
    }

    /// Keeps nothing of the request but copies, for an answer that takes long.
    pub(crate) fn let_go_of_request(&mut self) {
        self.entry.let_go_of_request();
    }
}

impl http_body::Body for Observed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                self.sent_bytes += frame.data_ref().map_or(0, |bytes| bytes.len() as u64);
            }
            Some(Err(error)) => {
                tracing::error!(request.id = %self.entry.request_id, "an answer broke off: {error}");
            }
            None => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        self.server.metrics.end(&Finished {
            route: self.in_flight.route,
            method: self.entry.method_label(),
            code: self.entry.code(),
            took: self.started.elapsed(),
            request_bytes: self.entry.request_bytes,
            response_bytes: self.sent_bytes,
        });
        self.server.access_log.write(&self.entry, self.sent_bytes, self.started.elapsed());
    }
}
