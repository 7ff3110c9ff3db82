//! Parts of files as bytes, and which bytes are which part of which file.

use std::{collections::BTreeMap, fs::File, io, ops::Range, sync::Arc};

use bytes::Bytes;
use memmap2::{Mmap, MmapOptions};
use parking_lot::RwLock;

/// The live mappings by their first address. Addresses of live mappings never overlap.
static LIVE: RwLock<BTreeMap<usize, Part>> = RwLock::new(BTreeMap::new());

/// A part of a file that is mapped.
#[derive(Clone)]
pub(crate) struct Part {
    pub(crate) file: Arc<File>,
    /// Where in the file the mapping begins.
    pub(crate) offset: u64,
    pub(crate) length: usize,
}

/// `range` of a file as bytes, which [`SendFile`](crate::SendFile) sends without reading them.
///
/// The file must never be written to or cut short while the bytes live. If it is, sending fails; but whoever *reads* bytes
/// that are gone is killed by the system (`SIGBUS`), as with any mapped file.
///
/// # Errors
/// If the range is empty or too large for this machine's addresses, or the file can not be mapped.
pub fn map(file: &Arc<File>, range: Range<u64>) -> io::Result<Bytes> {
    let too_large = |_| io::Error::from(io::ErrorKind::FileTooLarge);
    let length = usize::try_from(range.end.saturating_sub(range.start)).map_err(too_large)?;
    if length == 0 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut options = MmapOptions::new();
    options.offset(range.start).len(length);
    // SAFETY: a mapping's bytes must not change while a slice of them lives. The caller promises that nobody writes to the
    // file; objects of a store are written once, under names that are never used again, before anyone can open them.
    #[allow(unsafe_code)]
    let mapping = unsafe { options.map(&**file)? };
    Ok(Bytes::from_owner(Mapping::new(mapping, Part { file: file.clone(), offset: range.start, length })))
}

/// The part of a file that a slice of bytes is, if it is one.
pub(crate) fn part_of(bytes: &[u8]) -> Option<Part> {
    let address = bytes.as_ptr() as usize;
    let live = LIVE.read();
    let (first, part) = live.range(..=address).next_back()?;
    let skipped = address - first;
    let is_within = skipped + bytes.len() <= part.length;
    is_within.then(|| Part {
        file: part.file.clone(),
        offset: part.offset + skipped as u64,
        length: bytes.len(),
    })
}

/// A mapping that is known as long as it lives.
struct Mapping(Mmap);

impl Mapping {
    fn new(mapping: Mmap, part: Part) -> Mapping {
        LIVE.write().insert(mapping.as_ptr() as usize, part);
        Mapping(mapping)
    }
}

impl AsRef<[u8]> for Mapping {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // Before the address is free for another mapping.
        LIVE.write().remove(&(self.0.as_ptr() as usize));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file_of(bytes: &[u8]) -> Arc<File> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Arc::new(file)
    }

    #[test]
    fn bytes_are_known_as_the_part_that_they_are() {
        let text: Vec<u8> = (0..20_000u32).map(|n| (n % 251) as u8).collect();
        let file = file_of(&text);
        let bytes = map(&file, 4_999..15_000).unwrap();
        assert_eq!(bytes, &text[4_999..15_000]);

        let part = part_of(&bytes[100..200]).unwrap();
        assert_eq!((part.offset, part.length), (5_099, 100));
        assert!(part_of(&text).is_none());
    }

    #[test]
    fn they_are_forgotten_when_they_are_gone() {
        let bytes = map(&file_of(b"some text"), 0..9).unwrap();
        let address = bytes.as_ptr() as usize;
        let slice = bytes.slice(5..);
        drop(bytes);
        assert!(LIVE.read().contains_key(&address));
        drop(slice);
        assert!(!LIVE.read().contains_key(&address));
    }

    #[test]
    fn nothing_can_not_be_mapped() {
        assert!(map(&file_of(b"x"), 1..1).is_err());
    }
}
