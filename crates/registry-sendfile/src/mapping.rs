//! Parts of files as bytes, and which bytes are which part of which file.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    ops::Range,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use memmap2::Mmap;
use parking_lot::RwLock;

use crate::system::{self, Immutable};

/// The live mappings by their first address. Addresses of live mappings never overlap. There is one map for each process, since a
/// process has one space of addresses and one limit of mappings, however many servers are in it.
static LIVE: RwLock<BTreeMap<usize, Part>> = RwLock::new(BTreeMap::new());

/// A part of a file that is mapped.
#[derive(Clone)]
pub(crate) struct Part {
    pub(crate) file: Arc<File>,
    /// Where in the file the mapping begins.
    pub(crate) offset: u64,
    pub(crate) length: usize,
}

/// The share of a process's mappings that files may have. Beyond its limit the system refuses memory to the allocator too,
/// which ends the process.
const SHARE: usize = 4;

/// What Linux allows a process if nothing else is set.
const SYSTEM_MAPPINGS_MAX: usize = 65_530;

/// How many mappings may live at once: a quarter of `vm.max_map_count` as it was when it was first asked for.
pub fn mappings_max() -> usize {
    static MAX: OnceLock<usize> = OnceLock::new();
    *MAX.get_or_init(|| {
        let text = std::fs::read_to_string("/proc/sys/vm/max_map_count").ok();
        text.and_then(|text| text.trim().parse().ok()).unwrap_or(SYSTEM_MAPPINGS_MAX) / SHARE
    })
}

/// How many mappings live now.
pub fn mappings() -> usize {
    LIVE.read().len()
}

/// `range` of a file as bytes, which [`SendFile`](crate::SendFile) sends without reading them.
///
/// # Errors
/// If the range is empty, too large for this machine's addresses or not within the file, if [`mappings_max`] mappings live
/// already, or if the file can not be mapped. Reading the file is always an alternative.
pub fn map(file: &Immutable, range: Range<u64>) -> io::Result<Bytes> {
    // Threads that look at the same moment may take a few more, which is what the other quarters are for.
    if mappings() >= mappings_max() {
        return Err(io::ErrorKind::QuotaExceeded.into());
    }
    let mapping = system::map(file, &range)?;
    let (length, file) = (mapping.len(), file.file().clone());
    Ok(Bytes::from_owner(Mapping::new(mapping, Part { file, offset: range.start, length })))
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

    fn file_of(bytes: &[u8]) -> Immutable {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        Immutable::promise(Arc::new(File::open(file.path()).unwrap())).unwrap()
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
}
