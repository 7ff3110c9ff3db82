//! HTTP as a load generator needs it: little of it, and cheap, because client and server share the machine.
//!
//! [`client`] does one request after another, any of them. [`load`] repeats one request on many connections, and
//! [`http2`] does so on the streams of one.

pub(crate) mod client;
pub(crate) mod http2;
pub(crate) mod load;
pub(crate) mod tls;

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context, Result, bail};
use rustls::ClientConfig;

pub(crate) use client::Client;

/// What docker says that it takes; the Go registry asks for it.
pub(crate) const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json, */*";

/// The longest head of an answer.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// Where a server listens.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    /// For TLS: what to trust, and which protocol to ask for.
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

/// What matters of an answer's head.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// How many bytes follow; with neither this nor `is_chunked`, none.
    pub(crate) content_length: Option<u64>,
    pub(crate) is_chunked: bool,
    pub(crate) location: Option<String>,
    pub(crate) is_last: bool,
}

impl Head {
    /// A head and its length, if `bytes` hold it whole.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>> {
        let Some(length) = bytes.windows(4).position(|end| end == b"\r\n\r\n") else {
            if bytes.len() > HEAD_BYTES_MAX {
                bail!("a head of more than {HEAD_BYTES_MAX} bytes");
            }
            return Ok(None);
        };
        let text = std::str::from_utf8(&bytes[..length]).context("a head that is not text")?;
        let mut lines = text.split("\r\n");
        let status_line = lines.next().unwrap_or_default();
        let status = status_line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
        let status = status.and_then(|digits| digits.parse().ok());
        let mut head = Head {
            status: status.with_context(|| format!("`{status_line}` begins no answer"))?,
            ..Head::default()
        };
        for line in lines {
            head.read_line(line)?;
        }
        Ok(Some((head, length + 4)))
    }

    fn read_line(&mut self, line: &str) -> Result<()> {
        let (name, value) = line.split_once(':').with_context(|| format!("`{line}` is no header"))?;
        let value = value.trim();
        // Most headers have none of these lengths, which spares comparing them.
        match name.len() {
            14 if name.eq_ignore_ascii_case("content-length") => self.content_length = Some(value.parse()?),
            17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                self.is_chunked = value.eq_ignore_ascii_case("chunked");
            }
            8 if name.eq_ignore_ascii_case("location") => self.location = Some(value.to_owned()),
            10 if name.eq_ignore_ascii_case("connection") => {
                self.is_last = value.eq_ignore_ascii_case("close");
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        let bytes = b"HTTP/1.1 202 Accepted\r\nlocation: /a?b=c:d\r\nContent-Length: 12\r\n\r\nbody";
        for end in 0..bytes.len() - 5 {
            assert!(Head::parse(&bytes[..end]).unwrap().is_none(), "{end}");
        }
        let (head, length) = Head::parse(bytes).unwrap().unwrap();
        assert_eq!(length, bytes.len() - 4);
        let location = Some("/a?b=c:d".to_owned());
        let expected = Head { status: 202, content_length: Some(12), location, ..Head::default() };
        assert_eq!(head, expected);
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        assert!(Head::parse(b"SSH-2.0\r\n\r\n").is_err());
        assert!(Head::parse(b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n").is_err());
        assert!(Head::parse(&[b'x'; HEAD_BYTES_MAX + 1]).is_err());
    }
}
