use std::io::IoSlice;

use bytes::{Bytes, BytesMut};
use registry_digest::Hasher;

/// Pieces shorter than this are copied together, so that a client that sends a few bytes at a time costs its bytes and
/// not a multiple in bookkeeping. Longer ones are kept as they came.
const COPIED_BYTES_MAX: usize = 4096;

/// Appended bytes on their way to a file.
#[derive(Debug, Default)]
pub(super) struct Gather {
    pieces: Vec<Bytes>,
    /// Short pieces behind `pieces`.
    short: BytesMut,
    size_bytes: usize,
}

impl Gather {
    pub(super) fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.size_bytes == 0
    }

    pub(super) fn push(&mut self, bytes: Bytes) {
        self.size_bytes += bytes.len();
        if bytes.len() < COPIED_BYTES_MAX {
            self.short.extend_from_slice(&bytes);
        } else {
            self.seal();
            self.pieces.push(bytes);
        }
    }

    fn seal(&mut self) {
        if !self.short.is_empty() {
            self.pieces.push(self.short.split().freeze());
        }
    }

    pub(super) fn hash(&self, hasher: &mut Hasher) {
        self.parts().for_each(|part| hasher.update(part));
    }

    pub(super) fn slices(&self) -> Vec<IoSlice<'_>> {
        self.parts().map(IoSlice::new).collect()
    }

    fn parts(&self) -> impl Iterator<Item = &[u8]> {
        let short = Some(&self.short[..]).filter(|short| !short.is_empty());
        self.pieces.iter().map(|piece| &piece[..]).chain(short)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(gather: &Gather) -> Vec<u8> {
        gather.parts().flatten().copied().collect()
    }

    #[test]
    fn keeps_order_between_short_and_long() {
        let mut gather = Gather::default();
        let long = Bytes::from(vec![b'l'; COPIED_BYTES_MAX]);
        for piece in
            [Bytes::from_static(b"ab"), long.clone(), "c".into(), "".into(), "d".into(), long.clone()]
        {
            gather.push(piece);
        }
        let expected = [b"ab", &long[..], b"cd", &long[..]].concat();
        assert_eq!(content(&gather), expected);
        assert_eq!((gather.size_bytes(), gather.slices().len()), (expected.len(), 4));
    }

    #[test]
    fn long_pieces_are_not_copied() {
        let long = Bytes::from(vec![1; COPIED_BYTES_MAX]);
        let mut gather = Gather::default();
        gather.push(long.clone());
        assert_eq!(gather.slices()[0].as_ptr(), long.as_ptr());
    }

    #[test]
    fn short_pieces_become_one() {
        let mut gather = Gather::default();
        (0..10_000u32).for_each(|n| gather.push(Bytes::copy_from_slice(&n.to_le_bytes())));
        assert_eq!((gather.slices().len(), gather.size_bytes()), (1, 40_000));
    }
}
