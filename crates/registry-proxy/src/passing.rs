//! Blobs that there is no room for: they are passed through and not kept.

use std::{io, ops::Range};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream, stream::BoxStream};
use http::Method;
use registry_api::ReadArriving;
use registry_digest::Hasher;

use crate::{
    fetch::{Wanted, ask, direct},
    upstream::Reply,
};

/// A blob of the upstream. Each reader asks for it anew.
pub(crate) struct Passing {
    pub(crate) wanted: Wanted,
    pub(crate) size_bytes: u64,
}

impl ReadArriving for Passing {
    fn read(&self, range: Range<u64>) -> BoxStream<'static, io::Result<Bytes>> {
        match range == (0..self.size_bytes) {
            true => verified(self.wanted.clone(), self.size_bytes),
            false => direct(self.wanted.clone(), range, self.size_bytes),
        }
    }
}

/// What is known of a blob that is passed through.
struct Passed {
    wanted: Wanted,
    reply: Reply,
    hasher: Hasher,
    size_bytes: u64,
}

/// All of a blob. Its last byte comes once the digest is right.
fn verified(wanted: Wanted, size_bytes: u64) -> BoxStream<'static, io::Result<Bytes>> {
    let begin = async move {
        let reply = ask(&wanted, Method::GET, None).await.map_err(io::Error::other)?;
        let reply = reply.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        let hasher = Hasher::new(wanted.digest.algorithm());
        let passed = Passed { wanted, reply, hasher, size_bytes };
        Ok::<_, io::Error>(stream::try_unfold(passed, |mut passed| async move {
            Ok(passed.next().await?.map(|bytes| (bytes, passed)))
        }))
    };
    begin.into_stream().try_flatten().boxed()
}

impl Passed {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let Some(bytes) = self.reply.chunk().await.map_err(io::Error::other)? else {
            let is_whole = self.hasher.bytes_hashed() == self.size_bytes;
            return if is_whole { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        };
        self.hasher.update(&bytes);
        let upstream = &self.wanted.upstream;
        upstream.metrics.came(upstream.name(), bytes.len() as u64);
        let received = self.hasher.bytes_hashed();
        let is_wrong = received == self.size_bytes && self.hasher.current() != self.wanted.digest;
        match received > self.size_bytes || is_wrong {
            true => Err(io::Error::other("the upstream sent another blob")),
            false => Ok(Some(bytes)),
        }
    }
}
