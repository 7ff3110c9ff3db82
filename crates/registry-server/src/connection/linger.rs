//! The end of a connection whose peer still sends.
//!
//! A connection that is closed while bytes of its peer are unread is reset by the system, and with that goes the answer that
//! the peer has not read yet. So after an answer that was sent early nothing more is written, and what comes is thrown
//! away until the peer has seen the answer and ends the connection.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::timeout,
};

/// The most that is thrown away.
const DISCARD_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The longest that a peer is waited for.
const LINGER_MAX: Duration = Duration::from_secs(10);

/// How much is thrown away at once.
const READ_BYTES: usize = 16 * 1024;

/// Writes nothing more, and reads until the peer ends the connection or has had its chance.
pub(super) async fn linger(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let end = async {
        // Its peer may be gone already.
        let _ = stream.shutdown().await;
        let mut left_bytes = DISCARD_BYTES_MAX;
        while left_bytes > 0 {
            match poll_fn(|context| poll_discard(&mut stream, context)).await {
                Ok(0) | Err(_) => return,
                Ok(length) => left_bytes = left_bytes.saturating_sub(length as u64),
            }
        }
    };
    if timeout(LINGER_MAX, end).await.is_err() {
        tracing::debug!("closed a connection whose peer did not stop sending");
    }
}

/// Holds no memory between two reads: there may be many such connections.
fn poll_discard(stream: &mut (impl AsyncRead + Unpin), context: &mut Context<'_>) -> Poll<io::Result<usize>> {
    let mut space = [std::mem::MaybeUninit::uninit(); READ_BYTES];
    let mut buffer = ReadBuf::uninit(&mut space);
    ready!(Pin::new(stream).poll_read(context, &mut buffer))?;
    Poll::Ready(Ok(buffer.filled().len()))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_the_peer_sends_is_read_to_its_end() {
        let (ours, mut theirs) = tokio::io::duplex(1000);
        let lingering = tokio::spawn(linger(ours));
        theirs.write_all(&[0; 1_000_000]).await.unwrap();
        assert_eq!(theirs.read(&mut [0]).await.unwrap(), 0, "nothing more is written");
        drop(theirs);
        lingering.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_stop_is_left() {
        let (ours, mut theirs) = tokio::io::duplex(1_000_000);
        let lingering = tokio::spawn(linger(ours));
        let block = vec![0; 1_000_000];
        let mut sent_bytes = 0;
        while theirs.write_all(&block).await.is_ok() {
            sent_bytes += block.len() as u64;
            assert!(sent_bytes < 2 * DISCARD_BYTES_MAX);
        }
        lingering.await.unwrap();
        // And one that says nothing.
        let (ours, _theirs) = tokio::io::duplex(1);
        linger(ours).await;
    }
}
