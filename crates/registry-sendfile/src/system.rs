//! The two calls of the system that the compiler can not check. All unsafe code of the workspace is in this module.
//!
//! | Call | What it needs | How that is held |
//! |---|---|---|
//! | `mmap` | the bytes do not change and the file is not cut short while the mapping lives | [`map`] takes an [`Immutable`], which promises so, and looks that the range lies within the file |
//! | `malloc_trim` | nothing: it may be called at any time and from any thread, and changes nothing that is allocated | – |

use std::{fs::File, io, ops::Range, sync::Arc};

use memmap2::{Mmap, MmapOptions};

/// A file whose bytes never change again: nothing writes to it or cuts it short, by this handle or another one, in this process
/// or another one, as long as it exists under any name or handle.
///
/// Making one is a promise about the file, which the system can not enforce. What can be seen is checked: the
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

    /// The file.
    pub(crate) fn file(&self) -> &Arc<File> {
        &self.0
    }
}

/// Maps a range of a file, which is not empty.
///
/// # Errors
/// If the range is empty, too large for this machine's addresses or not within the file, or if the system refuses.
pub(crate) fn map(file: &Immutable, range: &Range<u64>) -> io::Result<Mmap> {
    let Immutable(file) = file;
    let too_large = |_| io::Error::from(io::ErrorKind::FileTooLarge);
    let length = usize::try_from(range.end.saturating_sub(range.start)).map_err(too_large)?;
    if length == 0 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    if file.metadata()?.len() < range.end {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut options = MmapOptions::new();
    options.offset(range.start).len(length);
    // SAFETY: a mapping's bytes must not change while a slice of them lives. That is what was promised of an `Immutable`, and
    // the range was within the file.
    #[allow(unsafe_code)]
    unsafe {
        options.map(&**file)
    }
}

/// Gives the system back what the allocator holds and nothing uses. Looks through the whole heap, which takes some
/// milliseconds: not for a thread that others wait for. Allocators other than glibc's give memory back by themselves, and then
/// this does nothing.
pub fn release_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu", not(portable)))]
    // SAFETY: it may be called at any time, from any thread; it changes nothing that is allocated.
    #[allow(unsafe_code)]
    unsafe {
        libc::malloc_trim(0);
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
    fn a_mapping_holds_the_range_wherever_it_begins() {
        let text: Vec<u8> = (0..20_000u32).map(|n| (n % 251) as u8).collect();
        let file = file_of(&text);
        for range in [0..1, 0..20_000, 1..4096, 4096..8192, 4999..15_000, 19_999..20_000] {
            let mapping = map(&file, &range).unwrap();
            assert_eq!(mapping[..], text[range.start as usize..range.end as usize], "{range:?}");
        }
    }

    #[test]
    fn what_is_not_in_the_file_can_not_be_mapped() {
        let file = file_of(b"x");
        assert!(map(&file, &(0..1)).is_ok());
        for range in [1..1, 0..2, 1..2, 7..9] {
            assert!(map(&file, &range).is_err(), "{range:?}");
        }
    }

    #[test]
    fn a_file_that_can_be_written_to_is_not_immutable() {
        let writable = Immutable::promise(Arc::new(tempfile::tempfile().unwrap()));
        assert_eq!(writable.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }

    /// Much is freed between pieces that stay, which keep the allocator from giving it back by itself.
    #[cfg(all(target_os = "linux", target_env = "gnu", not(portable)))]
    #[test]
    fn memory_that_nothing_uses_goes_back() {
        const PIECES: usize = 64 * 1024;
        const PIECE_BYTES: usize = 1024;
        let resident_bytes = || {
            let text = std::fs::read_to_string("/proc/self/statm").unwrap();
            let pages: usize = text.split_whitespace().nth(1).unwrap().parse().unwrap();
            pages * rustix::param::page_size()
        };
        let mut pieces: Vec<Option<Vec<u8>>> = (0..PIECES).map(|_| Some(vec![1; PIECE_BYTES])).collect();
        for (index, piece) in pieces.iter_mut().enumerate() {
            if index % 256 != 0 {
                *piece = None;
            }
        }
        let before = resident_bytes();
        release_memory();
        let given_back = before.saturating_sub(resident_bytes());
        assert!(given_back > PIECES * PIECE_BYTES / 2, "{given_back} bytes went back");
        assert!(pieces.iter().flatten().all(|piece| piece == &[1; PIECE_BYTES]), "what stays is whole");
    }
}
