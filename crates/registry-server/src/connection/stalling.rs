//! A connection that gives up on a peer which takes nothing of what is sent to it, or next to nothing.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

/// A peer that is waited for takes at least this much in each [`RATE_WINDOW`]: less than the slowest line carries, more than
/// a peer that only wants to hold the connection.
const RATE_BYTES_MIN: u64 = 64 * 1024;

/// Over how long a peer's rate is looked at.
const RATE_WINDOW: Duration = Duration::from_secs(5 * 60);

/// Writes fail once they have made no progress for a while, or too little for long. What a peer does not take costs memory
/// and a connection.
pub(crate) struct Stalling<S> {
    stream: S,
    limit: Duration,
    /// Made when a write waits for the first time, which on a fast line is never.
    deadline: Option<Pin<Box<Sleep>>>,
    is_waiting: bool,
    /// Since when the peer has not taken all that there is for it, and how much it took since.
    behind: Option<(Instant, u64)>,
}

impl<S> Stalling<S> {
    pub(crate) fn new(stream: S, limit: Duration) -> Self {
        Stalling { stream, limit, deadline: None, is_waiting: false, behind: None }
    }

    /// As [`judge`](Self::judge), of a write.
    fn judge_write(
        &mut self,
        context: &mut Context<'_>,
        poll: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match (&poll, &mut self.behind) {
            (Poll::Ready(Ok(written)), Some((_, taken_bytes))) => {
                *taken_bytes += *written as u64;
                if *taken_bytes >= RATE_BYTES_MIN {
                    self.behind = None;
                }
            }
            (Poll::Pending, Some((since, _))) if since.elapsed() >= RATE_WINDOW => {
                let secs = RATE_WINDOW.as_secs();
                let reason = format!("the peer took less than {RATE_BYTES_MIN} bytes in {secs} s");
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, reason)));
            }
            (Poll::Pending, behind @ None) => *behind = Some((Instant::now(), 0)),
            _ => {}
        }
        self.judge(context, poll)
    }

    /// Passes on what a write came to; lets one that has waited for too long fail.
    fn judge<T>(&mut self, context: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.is_waiting = false;
            return poll;
        }
        let limit = self.limit;
        let until = Instant::now() + limit;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if !self.is_waiting {
            deadline.as_mut().reset(until);
            self.is_waiting = true;
        }
        match deadline.as_mut().poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => {
                let reason = format!("the peer took nothing for {} s", limit.as_secs());
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, reason)))
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stalling<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stalling<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge_write(context, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.judge_write(context, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(context);
        if poll.is_ready() {
            // There is nothing more for it.
            self.behind = None;
        }
        self.judge(context, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_shutdown(context);
        self.judge(context, poll)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_given_up() {
        let (ours, _theirs) = tokio::io::duplex(16);
        let mut ours = Stalling::new(ours, Duration::from_secs(5));
        let error = ours.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_a_byte_now_and_then_is_given_up() {
        use tokio::io::AsyncReadExt;
        let (ours, mut theirs) = tokio::io::duplex(16);
        let mut ours = Stalling::new(ours, Duration::from_secs(60));
        let reader = tokio::spawn(async move {
            let mut byte = [0; 1];
            while theirs.read(&mut byte).await.is_ok_and(|read| read > 0) {
                tokio::time::sleep(Duration::from_secs(30)).await;
            }
        });
        let begun = Instant::now();
        let error = ours.write_all(&[0; 1000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() < 2 * RATE_WINDOW);
        drop(ours);
        reader.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_peer_is_not() {
        use tokio::io::AsyncReadExt;
        let (ours, mut theirs) = tokio::io::duplex(16);
        let mut ours = Stalling::new(ours, Duration::from_secs(5));
        let reader = tokio::spawn(async move {
            let mut byte = [0; 1];
            for _ in 0..64 {
                tokio::time::sleep(Duration::from_secs(4)).await;
                theirs.read_exact(&mut byte).await.unwrap();
            }
        });
        ours.write_all(&[0; 64]).await.unwrap();
        reader.await.unwrap();
    }
}
