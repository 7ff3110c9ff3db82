//! HTTP on one connection.
//!
//! A connection over HTTP/1.1 that has nothing to do is put to rest: hyper's part of it, with its buffers of 16 KiB, is
//! taken down, and made anew when the peer sends something. What is left of an idle connection is its socket and a task of
//! about a kilobyte.

use std::{future::poll_fn, io, pin::Pin, pin::pin, task::Poll, time::Duration};

use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    sync::watch,
    time::sleep,
};

use super::{
    Phase, ServeOptions,
    activity::{Activity, ObservedService},
    prefixed::Prefixed,
};
use crate::service::Service;

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

/// How one stretch of a connection ends.
enum End {
    /// There is nothing to do: the connection goes on when the peer sends something.
    Rest,
    /// The connection is over.
    Over,
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
            () = draining(&mut self.phase) => None,
        }
    }

    async fn speak_http1<S>(&mut self, mut stream: Prefixed<S>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let activity = Activity::default();
        let builder = http1_builder(self.options);
        loop {
            let service = activity.observe(self.service.clone());
            let rest = activity.rest_after(REST_AFTER, stream.has_unsent());
            let connection = builder.serve_connection(TokioIo::new(stream), service);
            // In a box, so that a connection at rest keeps no room for it.
            let mut connection = Box::new(connection);
            let end = self.stretch(&mut connection, &activity, rest).await;
            let parts = connection.into_parts();
            stream = parts.io.into_inner();
            match end {
                End::Cut => return,
                End::Over => return end_stream(stream).await,
                End::Rest => stream.put_back(parts.read_buf),
            }
            if !stream.has_prefix() && !self.rest(&mut stream).await {
                return end_stream(stream).await;
            }
        }
    }

    /// Serves until the connection ends or has nothing to do.
    async fn stretch<S>(
        &mut self,
        connection: &mut http1::Connection<TokioIo<Prefixed<S>>, ObservedService>,
        activity: &Activity,
        rest: impl Future<Output = ()>,
    ) -> End
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut idle = pin!(activity.idle_for(self.options.limits.idle_timeout));
        let mut rest = pin!(rest);
        let mut is_ending = false;
        loop {
            let go_on = poll_fn(|context| match connection.poll_without_shutdown(context) {
                Poll::Ready(result) => Poll::Ready(Some(result)),
                Poll::Pending if !is_ending && rest.as_mut().poll(context).is_ready() => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            });
            tokio::select! {
                result = go_on => match result {
                    Some(result) => {
                        note(result);
                        return End::Over;
                    }
                    None => {
                        end_soon(connection);
                        match poll_now(connection).await {
                            Some(Ok(())) => return End::Rest,
                            Some(result) => {
                                note(result);
                                return End::Over;
                            }
                            // It had something to do after all, and ends with it.
                            None => is_ending = true,
                        }
                    }
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

    /// Waits for the peer; `false` if the connection is to end.
    async fn rest<S: AsyncRead + Unpin>(&mut self, stream: &mut Prefixed<S>) -> bool {
        let limit = self.options.limits.idle_timeout;
        tokio::select! {
            has_more = stream.wait() => has_more.unwrap_or(false),
            () = sleep(limit) => false,
            () = draining(&mut self.phase) => false,
        }
    }

    async fn speak_http2<S>(&mut self, stream: Prefixed<S>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let limits = &self.options.limits;
        let activity = Activity::default();
        let builder = http2_builder(self.options);
        let service = activity.observe(self.service.clone());
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

/// What a connection comes to if it is asked once more, without waiting.
async fn poll_now<S>(
    connection: &mut http1::Connection<TokioIo<Prefixed<S>>, ObservedService>,
) -> Option<hyper::Result<()>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    poll_fn(|context| match connection.poll_without_shutdown(context) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

async fn end_stream<S: AsyncWrite + Unpin>(mut stream: Prefixed<S>) {
    // The peer may have gone already.
    let _: io::Result<()> = stream.shutdown().await;
}

/// What the connections are to do now. Once nobody can tell any more they are cut.
async fn changed(phase: &mut watch::Receiver<Phase>) -> Phase {
    match phase.changed().await {
        Ok(()) => *phase.borrow_and_update(),
        Err(_) => Phase::Cut,
    }
}

/// Completes when no more requests are to begin.
async fn draining(phase: &mut watch::Receiver<Phase>) {
    // Without a sender nobody waits for this connection.
    let _ = phase.wait_for(|phase| *phase != Phase::Serving).await;
}

fn http1_builder(options: &ServeOptions) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(options.limits.head_timeout)
        .max_buf_size(options.limits.head_bytes_max.max(8 * 1024));
    builder
}

fn http2_builder(options: &ServeOptions) -> http2::Builder<TokioExecutor> {
    /// What an HTTP/2 client may send before the server has read it: enough for a fast line far away.
    const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
    const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
    /// Larger frames than the smallest possible: fewer headers around a layer.
    const FRAME_BYTES: u32 = 64 * 1024;
    const PING_EVERY: Duration = Duration::from_secs(30);

    let limits = &options.limits;
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams_max)
        .max_header_list_size(u32::try_from(limits.head_bytes_max).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(limits.stall_timeout);
    builder
}
