//! HTTP on one connection.
//!
//! A connection over HTTP/1.1 that has nothing to do, or nothing but to send a layer, does without hyper: its part of it,
//! with its buffers of 16 KiB, is taken down, and made anew when the peer sends something. What is left of a connection
//! that is idle, or whose peer takes a layer slowly, is its socket, its task, and the body that is to be sent.

use std::{
    future::poll_fn,
    io,
    pin::{Pin, pin},
    sync::atomic::Ordering,
    task::Poll,
    time::Duration,
};

use bytes::Buf;
use http_body::Body;
use http_body_util::BodyExt;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    sync::watch,
    time::sleep,
};

use super::{
    Phase,
    activity::{Activity, ObservedService, RunningBody},
    handover::Handover,
    linger::linger,
    prefixed::Prefixed,
};
use crate::{ServeOptions, budget::Window, service::Service};

/// How long a connection has nothing to do before it is put to rest: longer than a client that goes on takes for its next
/// request, so that those pay nothing.
const REST_AFTER: Duration = Duration::from_millis(5);

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Http1,
    Http2,
    /// Neither was agreed on: as the peer begins.
    Either,
}

pub(super) struct Conversation<'a> {
    pub(super) service: Service,
    pub(super) options: &'a ServeOptions,
    pub(super) phase: watch::Receiver<Phase>,
}

/// How one stretch of a connection ends, or its rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The connection goes on: with a rest until the peer sends something, with another stretch after it.
    Rest,
    /// The connection is over.
    Over,
    /// The connection is over, but its peer may still send what belongs to a request that was answered.
    Unread,
    /// To be cut off.
    Cut,
}

impl Conversation<'_> {
    /// Speaks with a peer until the connection ends.
    pub(super) async fn run(
        mut self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        version: Version,
    ) {
        let mut stream = Prefixed::new(stream);
        let version = match version {
            Version::Either if self.options.http2_disabled => Version::Http1,
            Version::Either => match self.sniff(&mut stream).await {
                Some(version) => version,
                None => return,
            },
            agreed => agreed,
        };
        match version {
            Version::Http2 => self.speak_http2(stream).await,
            _ => self.speak_http1(stream).await,
        }
    }

    /// What the peer begins to speak; none if it ends first, or is too slow.
    async fn sniff<S: AsyncRead + Unpin>(&mut self, stream: &mut Prefixed<S>) -> Option<Version> {
        let limit = self.options.limits.head_timeout;
        tokio::select! {
            is_http2 = stream.is_http2() => Some(if is_http2.ok()? { Version::Http2 } else { Version::Http1 }),
            () = sleep(limit) => None,
            () = reached(&mut self.phase, Phase::Draining) => None,
        }
    }

    async fn speak_http1<S>(&mut self, mut stream: Prefixed<S>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (activity, handover) = (Activity::default(), Handover::default());
        let builder = http1_builder(self.options);
        loop {
            let service = activity.observe(self.service.clone(), handover.clone());
            let has_unsent = stream.has_unsent();
            let rest = activity.rest_after(REST_AFTER, has_unsent.clone());
            let is_leaving = || handover.is_waiting() && !has_unsent.load(Ordering::Relaxed);
            let connection = builder.serve_connection(TokioIo::new(stream), service);
            // In a box, so that a connection without it keeps no room for it.
            let mut connection = Box::new(connection);
            match self.stretch(&mut connection, &activity, rest, is_leaving).await {
                End::Rest => {}
                // Hyper has sent all that it had, and ended the stream.
                End::Over | End::Cut => return,
                End::Unread => {
                    let stream = connection.into_parts().io.into_inner();
                    return self.linger(stream).await;
                }
            }
            let parts = connection.into_parts();
            stream = parts.io.into_inner();
            stream.put_back(parts.read_buf);
            match self.rest(&mut stream, handover.take()).await {
                End::Rest => {}
                End::Over | End::Unread => return self.end_stream(stream).await,
                End::Cut => return,
            }
        }
    }

    /// Serves until the connection ends, or hyper has nothing to do for it: since a while, or because what is to be done next
    /// is done without it.
    async fn stretch<S>(
        &mut self,
        connection: &mut http1::Connection<TokioIo<Prefixed<S>>, ObservedService>,
        activity: &Activity,
        rest: impl Future<Output = ()>,
        is_leaving: impl Fn() -> bool,
    ) -> End
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut idle = pin!(activity.idle_for(self.options.limits.idle_timeout));
        let mut rest = pin!(rest);
        let mut is_ending = false;
        loop {
            // Polled to its end, which is behind the last byte in the socket and the stream ended. Hyper can be done before
            // that, with an answer still in its buffer, and `poll_without_shutdown` would say so.
            let go_on = poll_fn(|context| match Pin::new(&mut *connection).poll(context) {
                Poll::Ready(result) => Poll::Ready(Some(result)),
                Poll::Pending if is_leaving() => Poll::Ready(None),
                Poll::Pending if !is_ending && rest.as_mut().poll(context).is_ready() => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            });
            tokio::select! {
                result = go_on => match result {
                    Some(result) => {
                        // Hyper answers what it can not read, and the rest of that may be on its way.
                        let is_unreadable = result.as_ref().is_err_and(hyper::Error::is_parse);
                        note(result);
                        let has_unread = is_unreadable || activity.has_unread();
                        return if has_unread { End::Unread } else { End::Over };
                    }
                    // Hyper has written all that it had, and keeps only what it has read: that can be taken from it.
                    None => return End::Rest,
                },
                () = &mut idle, if !is_ending => {
                    is_ending = true;
                    end_soon(connection);
                }
                phase = changed(&mut self.phase) => match phase {
                    Phase::Draining => {
                        is_ending = true;
                        end_soon(connection);
                    }
                    Phase::Serving => {}
                    Phase::Cut => return End::Cut,
                },
            }
        }
    }

    /// Does without hyper what is to be done: sends the body of an answer, if there is one, and waits for the peer.
    async fn rest<S>(&mut self, stream: &mut Prefixed<S>, body: Option<Box<RunningBody>>) -> End
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if let Some(body) = body {
            tokio::select! {
                sent = send(stream, body) => if let Err(error) = sent {
                    note_broken(&error);
                    return End::Cut;
                },
                () = reached(&mut self.phase, Phase::Cut) => return End::Cut,
            }
        }
        let limit = self.options.limits.idle_timeout;
        let has_more = tokio::select! {
            biased;
            () = reached(&mut self.phase, Phase::Draining) => false,
            has_more = stream.wait() => has_more.unwrap_or(false),
            () = sleep(limit) => false,
        };
        if has_more { End::Rest } else { End::Over }
    }

    async fn linger(&mut self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        tokio::select! {
            () = linger(stream) => {}
            () = reached(&mut self.phase, Phase::Cut) => {}
        }
    }

    async fn end_stream<S: AsyncWrite + Unpin>(&mut self, mut stream: Prefixed<S>) {
        tokio::select! {
            // The peer may have gone already.
            _ = stream.shutdown() => {}
            () = reached(&mut self.phase, Phase::Cut) => {}
        }
    }

    async fn speak_http2<S>(&mut self, stream: Prefixed<S>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let limits = &self.options.limits;
        let activity = Activity::default();
        let window = self.service.window();
        let builder = http2_builder(self.options, &window);
        let service = activity.observe(self.service.clone(), Handover::default());
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let mut idle = pin!(activity.idle_for(limits.idle_timeout));
        let mut stalled = pin!(activity.stalled_for(limits.stall_timeout));
        let mut is_ending = false;
        loop {
            tokio::select! {
                result = connection.as_mut() => return note(result),
                () = &mut stalled => {
                    tracing::debug!("ended a connection whose peer took nothing of an answer");
                    return;
                }
                () = &mut idle, if !is_ending => {
                    is_ending = true;
                    connection.as_mut().graceful_shutdown();
                }
                phase = changed(&mut self.phase) => match phase {
                    Phase::Draining => connection.as_mut().graceful_shutdown(),
                    Phase::Serving => {}
                    Phase::Cut => return,
                },
            }
        }
    }
}

fn note(result: hyper::Result<()>) {
    if let Err(error) = result {
        tracing::debug!("a connection ended with an error: {error}");
    }
}

/// Lets a connection finish what it is doing, and begin nothing.
fn end_soon<S>(connection: &mut http1::Connection<TokioIo<Prefixed<S>>, ObservedService>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    Pin::new(connection).graceful_shutdown();
}

/// Sends a body as long as it said it would be.
async fn send<S: AsyncWrite + Unpin>(stream: &mut Prefixed<S>, mut body: Box<RunningBody>) -> io::Result<()> {
    let mut left_bytes = body.size_hint().lower();
    while left_bytes > 0 {
        let Some(frame) = body.frame().await else { return Err(io::ErrorKind::UnexpectedEof.into()) };
        let Ok(bytes) = frame?.into_data() else { continue };
        let mut bytes = bytes.take(usize::try_from(left_bytes).unwrap_or(usize::MAX));
        left_bytes -= bytes.remaining() as u64;
        stream.write_all_buf(&mut bytes).await?;
    }
    stream.flush().await
}

/// An answer ended before its end: for a peer that is gone that is nothing, for a file that is too short it is.
fn note_broken(error: &io::Error) {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, TimedOut, WriteZero};
    let is_peers = [BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, TimedOut, WriteZero];
    if is_peers.contains(&error.kind()) {
        tracing::debug!("an answer ended early: {error}");
    } else {
        tracing::error!("an answer broke off: {error}");
    }
}

/// What the connections are to do now. Once nobody can tell any more they are cut.
async fn changed(phase: &mut watch::Receiver<Phase>) -> Phase {
    match phase.changed().await {
        Ok(()) => *phase.borrow_and_update(),
        Err(_) => Phase::Cut,
    }
}

/// Completes in that phase, and in those after it.
pub(super) async fn reached(phase: &mut watch::Receiver<Phase>, wanted: Phase) {
    // Without a sender nobody waits for this connection.
    let _ = phase.wait_for(|phase| *phase >= wanted).await;
}

fn http1_builder(options: &ServeOptions) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(options.limits.head_timeout)
        // As the Go registry spells them: scripts look for `Docker-Content-Digest`.
        .title_case_headers(true)
        .max_buf_size(options.limits.head_bytes_max.max(8 * 1024));
    builder
}

fn http2_builder(options: &ServeOptions, window: &Window) -> http2::Builder<TokioExecutor> {
    /// Larger frames than the smallest possible: fewer headers around a layer.
    const FRAME_BYTES: u32 = 64 * 1024;
    /// What waits in a stream for the socket: two pieces of a layer.
    const SEND_BYTES: usize = 128 * 1024;
    const PING_EVERY: Duration = Duration::from_secs(30);
    /// How many frames may still come, over the life of a connection, for streams that were answered and reset early: a client
    /// that is behind sends dozens of each request that is refused. Beyond it h2 ends the connection, and with it answers.
    const LATE_FRAMES_MAX: usize = 4096;

    let limits = &options.limits;
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams_max)
        .max_header_list_size(u32::try_from(limits.head_bytes_max).unwrap_or(u32::MAX))
        .initial_stream_window_size(window.stream_bytes())
        .initial_connection_window_size(window.connection_bytes())
        .max_frame_size(FRAME_BYTES)
        .max_send_buf_size(SEND_BYTES)
        .max_local_error_reset_streams(LATE_FRAMES_MAX)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(limits.stall_timeout);
    builder
}
