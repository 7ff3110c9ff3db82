use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use zeroize::Zeroizing;

use crate::{Key, KeyFileError, Keys, ParseKeyError, Unsafe};

/// The longest key file.
pub const KEY_FILE_BYTES_MAX: u64 = 4096;

/// The bits of what users other than the owner may do.
#[cfg(unix)]
const OTHERS: u32 = 0o077;

/// What a group may do with a file of root: orchestrators mount secrets as root's, for the group of the process.
#[cfg(unix)]
const GROUP_OF_ROOT: u32 = 0o040;

/// How many files this process has written: threads that write at once do not share one.
static WRITTEN: AtomicU64 = AtomicU64::new(0);

/// Reads the keys of a file.
///
/// # Errors
/// [`KeyFileError`]; a file that others than its owner may read, or that is no regular one, is not used.
pub fn read_file(path: &Path) -> Result<Keys, KeyFileError> {
    let failed = |source| KeyFileError::Read { path: path.to_owned(), source };
    // Looked at before it is opened: opening a pipe waits for a writer.
    judge(path, &fs::metadata(path).map_err(failed)?)?;
    let file = File::open(path).map_err(failed)?;
    judge(path, &file.metadata().map_err(failed)?)?;
    let mut text = Zeroizing::new(String::with_capacity(KEY_FILE_BYTES_MAX as usize));
    file.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    text.parse().map_err(|source| KeyFileError::Content { path: path.to_owned(), source })
}

fn judge(path: &Path, metadata: &fs::Metadata) -> Result<(), KeyFileError> {
    let reason = if !metadata.is_file() {
        Some(Unsafe::Kind)
    } else if metadata.len() > KEY_FILE_BYTES_MAX {
        Some(Unsafe::Long { bytes: metadata.len(), max: KEY_FILE_BYTES_MAX })
    } else {
        open_to_others(metadata)
    };
    reason.map_or(Ok(()), |reason| Err(KeyFileError::Unsafe { path: path.to_owned(), reason }))
}

#[cfg(unix)]
fn open_to_others(metadata: &fs::Metadata) -> Option<Unsafe> {
    use std::os::unix::fs::MetadataExt;

    let mode = metadata.mode() & 0o7777;
    let allowed = if metadata.uid() == 0 { GROUP_OF_ROOT } else { 0 };
    (mode & OTHERS & !allowed != 0).then_some(Unsafe::Open { mode })
}

#[cfg(not(unix))]
fn open_to_others(_: &fs::Metadata) -> Option<Unsafe> {
    None
}

/// Reads the keys of a file, or makes the file with one new key. Says whether it is new. Of two processes that do this at once both
/// have the same key: the file is complete before it has its name, and a file that has the name stays.
///
/// # Errors
/// [`KeyFileError`].
pub fn find_or_make(path: &Path) -> Result<(Keys, bool), KeyFileError> {
    match read_file(path) {
        Err(KeyFileError::Read { source, .. }) if source.kind() == ErrorKind::NotFound => {}
        found => return Ok((found?, false)),
    }
    let key = Key::generate().map_err(|_| KeyFileError::Randomness { path: path.to_owned() })?;
    let is_new = write_beside(path, &Keys::new(key), |partial| match fs::hard_link(partial, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        linked => linked.map(|()| true),
    })?;
    Ok((read_file(path)?, is_new))
}

/// Puts a new key in front of those of a file: from now on it seals, and the others open. Commands that do this at once wait for
/// each other, so that no key is lost.
///
/// # Errors
/// [`KeyFileError`]; [`ParseKeyError::Many`] in it, if the file has as many as it may.
pub fn add_to_file(path: &Path, key: Key) -> Result<Keys, KeyFileError> {
    let failed = |source| KeyFileError::Write { path: path.to_owned(), source };
    // Through links, so that what a link leads to is replaced, and not the link.
    let path = &fs::canonicalize(path).map_err(failed)?;
    let lock = private().create(true).truncate(false).open(with_ending(path, ".lock")).map_err(failed)?;
    lock.lock().map_err(failed)?;
    let content = |source: ParseKeyError| KeyFileError::Content { path: path.to_owned(), source };
    let keys = read_file(path)?.with_current(key).map_err(content)?;
    write_beside(path, &keys, |partial| fs::rename(partial, path))?;
    Ok(keys)
}

/// Writes keys to a file beside the path, durably, and gives it the name as the function says.
fn write_beside<T>(
    path: &Path,
    keys: &Keys,
    give_name: impl FnOnce(&Path) -> io::Result<T>,
) -> Result<T, KeyFileError> {
    let number = WRITTEN.fetch_add(1, Relaxed);
    let partial = with_ending(path, &format!(".{}-{number}", std::process::id()));
    let write = || {
        // Left by a process that was killed and had the same id.
        let _ = fs::remove_file(&partial);
        let mut file = private().create_new(true).open(&partial)?;
        file.write_all(keys.to_text().as_bytes())?;
        file.sync_all()?;
        let given = give_name(&partial);
        let _ = fs::remove_file(&partial);
        sync_folder(path)?;
        given
    };
    write().map_err(|source| KeyFileError::Write { path: path.to_owned(), source })
}

/// For writing what is its owner's alone from the first moment on.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

/// Makes the name durable. Elsewhere than on Unix a folder can not be opened.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}
