use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use parking_lot::Mutex;
use zeroize::Zeroizing;

use crate::{KeyFileError, Keys, OpenError, Place, SealError, file, seal};

/// Seals and opens, with the keys that a process has. Clones share them.
///
/// A value is sealed before the transaction that keeps it begins: nothing is sealed while others wait for a database.
#[derive(Clone)]
pub struct Secrets(Arc<Source>);

enum Source {
    Given(Arc<Keys>),
    File { path: PathBuf, is_made: bool, last: Mutex<Option<Read>> },
    Absent,
}

/// What a file held when it was read last.
struct Read {
    keys: Arc<Keys>,
    stamp: Stamp,
    /// Whether the log says already that what is there now can not be used.
    is_told: bool,
}

/// By which a change of a file is seen: when it was changed, how long it is, and which file it is.
type Stamp = (Option<SystemTime>, u64, u64);

impl Secrets {
    /// These keys, as long as the process runs.
    pub fn given(keys: Keys) -> Secrets {
        Secrets(Arc::new(Source::Given(Arc::new(keys))))
    }

    /// The keys of a file, which an operator wrote. When the file changes it is read again; if it can not be used then, the log
    /// says so and the keys of before stay.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn file(path: &Path) -> Result<Secrets, KeyFileError> {
        let secrets = Secrets::of_file(path, false);
        secrets.find()?;
        Ok(secrets)
    }

    /// The keys of a file that is made when the first value is sealed.
    ///
    /// # Errors
    /// [`KeyFileError`], if there is a file that can not be used.
    pub fn made_when_needed(path: &Path) -> Result<Secrets, KeyFileError> {
        let secrets = Secrets::of_file(path, true);
        secrets.find()?;
        Ok(secrets)
    }

    /// No keys: nothing can be sealed or opened.
    pub fn absent() -> Secrets {
        Secrets(Arc::new(Source::Absent))
    }

    fn of_file(path: &Path, is_made: bool) -> Secrets {
        Secrets(Arc::new(Source::File { path: path.to_owned(), is_made, last: Mutex::new(None) }))
    }

    /// The keys, if there are any yet.
    ///
    /// # Errors
    /// [`KeyFileError`], if a file could never be used.
    pub fn find(&self) -> Result<Option<Arc<Keys>>, KeyFileError> {
        match &*self.0 {
            Source::Given(keys) => Ok(Some(keys.clone())),
            Source::File { path, is_made, last } => find_in(path, *is_made, &mut last.lock()),
            Source::Absent => Ok(None),
        }
    }

    /// The keys. If they are in a file that makes itself, it is there afterwards.
    ///
    /// # Errors
    /// [`SealError::NoKey`], [`SealError::File`].
    pub fn find_or_make(&self) -> Result<Arc<Keys>, SealError> {
        if let Some(keys) = self.find()? {
            return Ok(keys);
        }
        if let Source::File { path, .. } = &*self.0 {
            let (_, is_new) = file::find_or_make(path)?;
            if is_new {
                let path = path.display();
                tracing::info!(%path, "a key for secrets was made; a backup of the database needs it as well");
            }
        }
        self.find()?.ok_or(SealError::NoKey)
    }

    /// Seals a value for its place.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal(&self, place: &Place, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        seal::seal(self.find_or_make()?.current(), place, plain)
    }

    /// Opens a value of this place. What comes out is wiped from memory when it is dropped.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(&self, place: &Place, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let key = seal::sealed_under(sealed)?;
        let keys = self.find()?.ok_or(OpenError::UnknownKey { key })?;
        seal::open(&keys, place, sealed)
    }
}

fn find_in(path: &Path, is_made: bool, last: &mut Option<Read>) -> Result<Option<Arc<Keys>>, KeyFileError> {
    let stamp = fs::metadata(path).map(|metadata| stamp(&metadata));
    if let (Some(read), Ok(stamp)) = (&*last, &stamp)
        && read.stamp == *stamp
    {
        return Ok(Some(read.keys.clone()));
    }
    match (file::read_file(path), last) {
        (Ok(keys), last) => {
            let keys = Arc::new(keys);
            // What was changed since is read once more next time.
            *last = stamp.ok().map(|stamp| Read { keys: keys.clone(), stamp, is_told: false });
            Ok(Some(keys))
        }
        (Err(error), Some(read)) => {
            if !std::mem::replace(&mut read.is_told, true) {
                tracing::error!(error = &error as &dyn std::error::Error, "the keys of before are used on");
            }
            Ok(Some(read.keys.clone()))
        }
        (Err(KeyFileError::Read { source, .. }), None)
            if is_made && source.kind() == std::io::ErrorKind::NotFound =>
        {
            Ok(None)
        }
        (Err(error), None) => Err(error),
    }
}

fn stamp(metadata: &fs::Metadata) -> Stamp {
    #[cfg(unix)]
    let file = std::os::unix::fs::MetadataExt::ino(metadata);
    #[cfg(not(unix))]
    let file = 0;
    (metadata.modified().ok(), metadata.len(), file)
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Secrets");
        match &*self.0 {
            Source::Given(keys) => shown.field("keys", keys),
            Source::File { path, .. } => shown.field("file", path),
            Source::Absent => &mut shown,
        };
        shown.finish()
    }
}
