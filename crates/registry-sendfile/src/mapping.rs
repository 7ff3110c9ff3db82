//! Parts of files as bytes, and which bytes are which part of which file.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    ops::Range,
    sync::{Arc, OnceLock},
};

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

/// A file whose bytes never change again: nothing writes to it or cuts it short, by this handle or another one, in this process
/// or another one, as long as it exists under any name or handle.
///
/// Making one is a promise about the file, which the system has no way to hold anybody to. What can be seen is checked: the
/// handle itself can not write. Code that can not promise the rest must read the file instead of mapping it: a mapping of
/// bytes that do change is undefined behaviour in whatever reads it, and of a file that was cut short ends the process
/// (`SIGBUS`).
#[derive(Clone, Debug)]
pub struct Immutable(Arc<File>);

impl Immutable {
    /// Promises that the file's bytes never change.
    ///
    /// # Errors
    /// [`PermissionDenied`](io::ErrorKind::PermissionDenied) if the file can be written to by this very handle.
    pub fn promise(file: Arc<File>) -> io::Result<Immutable> {
        let flags = rustix::fs::fcntl_getfl(&*file)?;
        if flags & rustix::fs::OFlags::ACCMODE != rustix::fs::OFlags::RDONLY {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Ok(Immutable(file))
    }
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
    let Immutable(file) = file;
    let too_large = |_| io::Error::from(io::ErrorKind::FileTooLarge);
    let length = usize::try_from(range.end.saturating_sub(range.start)).map_err(too_large)?;
    if length == 0 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    if file.metadata()?.len() < range.end {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    // Threads that look at the same moment may take a few more, which is what the other quarters are for.
    if mappings() >= mappings_max() {
        return Err(io::ErrorKind::QuotaExceeded.into());
    }
    let mut options = MmapOptions::new();
    options.offset(range.start).len(length);
    // SAFETY: a mapping's bytes must not change while a slice of them lives. That is what was promised of an `Immutable`, and
    // the range was within the file.
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

    fn file_of(bytes: &[u8]) -> Immutable {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        Immutable::promise(Arc::new(file.reopen().unwrap())).unwrap_err();
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

    #[test]
    fn what_is_not_in_the_file_can_not_be_mapped() {
        let file = file_of(b"x");
        assert!(map(&file, 0..1).is_ok());
        for range in [1..1, 0..2, 1..2, 7..9] {
            assert!(map(&file, range.clone()).is_err(), "{range:?}");
        }
    }

    #[test]
    fn a_file_that_can_be_written_to_is_not_immutable() {
        let writable = Immutable::promise(Arc::new(tempfile::tempfile().unwrap()));
        assert_eq!(writable.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }
}
