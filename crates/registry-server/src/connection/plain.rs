//! A client that speaks HTTP where TLS is spoken.

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::linger::linger;

const ANSWER: &str = concat!(
    "HTTP/1.1 400 Bad Request\r\n",
    "Content-Type: text/plain; charset=utf-8\r\n",
    "Content-Length: 93\r\n",
    "Connection: close\r\n",
    "\r\n",
    "this port speaks HTTPS: the request came without TLS; use a URL that begins with `https://`.\n",
);

/// Says so, in HTTP: the alert that TLS has for it is shown as a malformed answer by clients.
pub(super) async fn refuse(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let answered = async {
        stream.write_all(ANSWER.as_bytes()).await?;
        stream.flush().await
    };
    match answered.await {
        Ok(()) => linger(stream).await,
        Err(error) => tracing::debug!("could not answer a client without TLS: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_as_long_as_it_says() {
        let (head, body) = ANSWER.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{}", body.len());
    }
}
