use std::ops::Range;

use bytes::Bytes;
use registry_digest::{Algorithm, Digest, Hasher};

/// Bytes in the pieces in which they came.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    pub(super) pieces: Vec<Bytes>,
    pub(super) size_bytes: u64,
}

impl Content {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.size_bytes += bytes.len() as u64;
        // A copy, since the caller's may be a small part of a large buffer.
        self.pieces.push(Bytes::copy_from_slice(bytes));
    }

    pub(super) fn slice(&self, range: Range<u64>) -> Content {
        let mut content = Content::default();
        let mut begin = 0;
        for piece in &self.pieces {
            let end = begin + piece.len() as u64;
            let (from, to) = (range.start.clamp(begin, end), range.end.clamp(begin, end));
            if from < to {
                content.pieces.push(piece.slice((from - begin) as usize..(to - begin) as usize));
                content.size_bytes += to - from;
            }
            begin = end;
        }
        content
    }

    pub(super) fn digest(&self, algorithm: Algorithm) -> Digest {
        let mut hasher = Hasher::new(algorithm);
        self.pieces.iter().for_each(|piece| hasher.update(piece));
        hasher.finish()
    }
}
