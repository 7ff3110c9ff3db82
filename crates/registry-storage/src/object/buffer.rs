use bytes::{Bytes, BytesMut};
use object_store::PutPayload;
use registry_digest::{Algorithm, Digest, Hasher};

use super::budget::Reservation;

/// Bytes are kept in pieces of this size, so that nothing large is allocated before it is needed.
const PIECE_BYTES: usize = 256 * 1024;

/// Bytes of an upload that are not stored yet, with the memory that was reserved for them.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    pieces: Vec<Bytes>,
    last: BytesMut,
    size_bytes: usize,
    capacity_bytes: usize,
    reservations: Vec<Reservation>,
}

impl Buffer {
    /// Takes up to `capacity_bytes`. What fits into no reservation must be little.
    pub(super) fn new(capacity_bytes: usize, reservation: Option<Reservation>) -> Buffer {
        Buffer { capacity_bytes, reservations: reservation.into_iter().collect(), ..Buffer::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.size_bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.size_bytes == 0
    }

    pub(super) fn is_reserved(&self) -> bool {
        !self.reservations.is_empty()
    }

    /// Room for more, since more was reserved.
    pub(super) fn grow(&mut self, capacity_bytes: usize, reservation: Reservation) {
        self.capacity_bytes = capacity_bytes;
        self.reservations.push(reservation);
    }

    /// Copies bytes, since the caller's may be a small part of a large allocation.
    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        self.size_bytes += bytes.len();
        while !bytes.is_empty() {
            if self.last.capacity() == 0 {
                let wanted_bytes = bytes.len().max(self.capacity_bytes.min(PIECE_BYTES));
                self.last.reserve(wanted_bytes.min(PIECE_BYTES));
            }
            let (now, later) = bytes.split_at(bytes.len().min(self.last.capacity() - self.last.len()));
            self.last.extend_from_slice(now);
            bytes = later;
            if self.last.len() == self.last.capacity() {
                self.pieces.push(std::mem::take(&mut self.last).freeze());
            }
        }
    }

    /// Puts another's bytes, and its memory, behind these.
    pub(super) fn append(&mut self, mut other: Buffer) {
        self.seal();
        other.seal();
        self.size_bytes += other.size_bytes;
        self.pieces.append(&mut other.pieces);
        self.reservations.append(&mut other.reservations);
    }

    /// Cuts off what is behind the first `length` bytes: little, since it is copied.
    pub(super) fn split_off(&mut self, length: usize) -> Vec<u8> {
        self.seal();
        let mut rest = Vec::new();
        let mut begin = 0;
        for piece in &mut self.pieces {
            let kept = length.saturating_sub(begin).min(piece.len());
            begin += piece.len();
            rest.extend_from_slice(&piece[kept..]);
            piece.truncate(kept);
        }
        self.pieces.retain(|piece| !piece.is_empty());
        self.size_bytes -= rest.len();
        rest
    }

    /// The bytes, to be sent; they share memory with the buffer.
    pub(super) fn payload(&mut self) -> PutPayload {
        self.seal();
        self.pieces.iter().cloned().collect()
    }

    /// The bytes in one piece.
    pub(super) fn contents(&mut self) -> Vec<u8> {
        self.seal();
        self.pieces.concat()
    }

    pub(super) fn digest(&mut self, algorithm: Algorithm) -> Digest {
        self.seal();
        let mut hasher = Hasher::new(algorithm);
        self.pieces.iter().for_each(|piece| hasher.update(piece));
        hasher.finish()
    }

    fn seal(&mut self) {
        if !self.last.is_empty() {
            self.pieces.push(std::mem::take(&mut self.last).freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_back_what_was_put_in() {
        let mut buffer = Buffer::new(1_000_000, None);
        let content: Vec<u8> = (0..700_000_u32).map(|n| (n % 251) as u8).collect();
        for chunk in content.chunks(33_333) {
            buffer.push(chunk);
        }
        assert_eq!(buffer.len(), 700_000);
        assert!(buffer.contents() == content);
        let mut more = Buffer::new(10, None);
        more.push(b"more");
        buffer.append(more);
        buffer.push(b"!");
        assert!(buffer.contents() == [&content[..], b"more!"].concat());
        assert_eq!(buffer.split_off(700_004), b"!");
        assert!(buffer.split_off(700_004).is_empty());
        buffer.push(b"!");
        let content = [&content[..], b"more!"].concat();
        assert_eq!(buffer.digest(Algorithm::Sha256), Digest::of(Algorithm::Sha256, &content));
        assert_eq!(buffer.payload().content_length(), content.len());
    }
}
