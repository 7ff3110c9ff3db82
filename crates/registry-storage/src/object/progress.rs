//! What an unfinished upload has in the store, as the bytes that its row keeps:
//!
//! | Bytes | What |
//! |---|---|
//! | 1 | version, 1 |
//! | 2, n | the multipart upload's id, behind its length plus one; 0 if there is none |
//! | 4, then each | the parts' ids behind their number: 1 form, then 16 bytes, or 2 length and text |
//! | 1, … | the tail: 0 none; 1 the bytes themselves behind 4 of length; 2 an object: 8 begin, 8 size, 8 name |
//! | 1, each 24 | objects of earlier tails that may be removed, behind their number |
//!
//! All numbers are little endian. A part costs 17 bytes where its id is a checksum in hex, as nearly everywhere.

use super::layout::Tail;

const VERSION: u8 = 1;

/// More than a store allows.
const PARTS_MAX: usize = 50_000;

/// What is stored of an unfinished upload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// The multipart upload, once there is one.
    pub(super) multipart: Option<String>,
    /// What the store calls its parts, in order.
    pub(super) parts: Vec<String>,
    pub(super) tail: StoredTail,
    /// Tails of earlier states that nothing needs once this one is kept.
    pub(super) stale: Vec<Tail>,
}

/// Where the bytes behind the last part are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum StoredTail {
    #[default]
    None,
    /// In the state itself.
    Inline(Vec<u8>),
    /// In an object of their own.
    Object(Tail),
}

impl Progress {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        let id = self.multipart.as_deref();
        bytes.extend_from_slice(&id.map_or(0, |id| id.len() as u16 + 1).to_le_bytes());
        bytes.extend_from_slice(id.unwrap_or_default().as_bytes());
        bytes.extend_from_slice(&(self.parts.len() as u32).to_le_bytes());
        self.parts.iter().for_each(|part| write_part(&mut bytes, part));
        match &self.tail {
            StoredTail::None => bytes.push(0),
            StoredTail::Inline(tail) => {
                bytes.push(1);
                bytes.extend_from_slice(&(tail.len() as u32).to_le_bytes());
                bytes.extend_from_slice(tail);
            }
            StoredTail::Object(tail) => {
                bytes.push(2);
                write_tail(&mut bytes, tail);
            }
        }
        bytes.push(self.stale.len().min(255) as u8);
        self.stale.iter().take(255).for_each(|tail| write_tail(&mut bytes, tail));
        bytes
    }

    /// Nothing if these can not be the bytes of one.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Progress> {
        let mut reader = Reader(bytes);
        if reader.number::<1>()? != u64::from(VERSION) {
            return None;
        }
        let multipart = match reader.number::<2>()? {
            0 => None,
            length => Some(reader.text(length as usize - 1)?),
        };
        let count = usize::try_from(reader.number::<4>()?).ok().filter(|count| *count <= PARTS_MAX)?;
        let parts = (0..count).map(|_| reader.part()).collect::<Option<_>>()?;
        let tail = match reader.number::<1>()? {
            0 => StoredTail::None,
            1 => {
                let length = reader.number::<4>()? as usize;
                StoredTail::Inline(reader.take(length)?.to_vec())
            }
            2 => StoredTail::Object(reader.tail()?),
            _ => return None,
        };
        let stale = (0..reader.number::<1>()?).map(|_| reader.tail()).collect::<Option<_>>()?;
        reader.0.is_empty().then_some(Progress { multipart, parts, tail, stale })
    }
}

/// Checksums in hex, with or without quotes, are kept as bytes.
fn write_part(bytes: &mut Vec<u8>, part: &str) {
    let bare = part.strip_prefix('"').and_then(|part| part.strip_suffix('"'));
    let text = bare.unwrap_or(part);
    let is_lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    match hex::decode(text).ok().filter(|sum| sum.len() == 16 && is_lower) {
        Some(sum) => {
            bytes.push(if bare.is_some() { 1 } else { 2 });
            bytes.extend_from_slice(&sum);
        }
        None => {
            bytes.push(0);
            bytes.extend_from_slice(&(part.len() as u16).to_le_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
    }
}

fn write_tail(bytes: &mut Vec<u8>, tail: &Tail) {
    bytes.extend_from_slice(&tail.begin.to_le_bytes());
    bytes.extend_from_slice(&tail.size_bytes.to_le_bytes());
    bytes.extend_from_slice(&tail.name);
}

struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn take(&mut self, length: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn number<const N: usize>(&mut self) -> Option<u64> {
        let mut number = [0; 8];
        number[..N].copy_from_slice(self.take(N)?);
        Some(u64::from_le_bytes(number))
    }

    fn text(&mut self, length: usize) -> Option<String> {
        String::from_utf8(self.take(length)?.to_vec()).ok()
    }

    fn part(&mut self) -> Option<String> {
        match self.number::<1>()? {
            0 => {
                let length = self.number::<2>()? as usize;
                self.text(length)
            }
            1 => Some(format!("\"{}\"", hex::encode(self.take(16)?))),
            2 => Some(hex::encode(self.take(16)?)),
            _ => None,
        }
    }

    fn tail(&mut self) -> Option<Tail> {
        let (begin, size_bytes) = (self.number::<8>()?, self.number::<8>()?);
        Some(Tail { begin, size_bytes, name: self.take(8)?.try_into().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress() -> Progress {
        let tail = Tail { begin: 5, size_bytes: 7, name: [9; 8] };
        Progress {
            multipart: Some("an id".into()),
            parts: vec![
                format!("\"{}\"", "ab".repeat(16)),
                "cd".repeat(16),
                "AB".repeat(16),
                "\"composite-2\"".into(),
                String::new(),
            ],
            tail: StoredTail::Object(tail),
            stale: vec![tail, tail],
        }
    }

    #[test]
    fn survives_its_bytes() {
        let inline = Progress { tail: StoredTail::Inline(b"tail".to_vec()), ..Progress::default() };
        let empty_id = Progress { multipart: Some(String::new()), ..Progress::default() };
        for progress in [Progress::default(), inline, empty_id, progress()] {
            assert_eq!(Progress::from_bytes(&progress.to_bytes()), Some(progress));
        }
    }

    #[test]
    fn ten_thousand_parts_are_not_large() {
        let parts = vec![format!("\"{}\"", "0f".repeat(16)); 10_000];
        let progress = Progress { multipart: Some("x".repeat(130)), parts, ..Progress::default() };
        assert!(progress.to_bytes().len() < 180_000);
    }

    #[test]
    fn refuses_what_is_none() {
        let bytes = progress().to_bytes();
        for length in 0..bytes.len() {
            assert_eq!(Progress::from_bytes(&bytes[..length]), None, "{length} bytes");
        }
        assert_eq!(Progress::from_bytes(&[&bytes[..], b"!"].concat()), None);
        assert_eq!(Progress::from_bytes(&[1, 0, 0, 255, 255, 255, 255]), None, "far too many parts");
    }
}
