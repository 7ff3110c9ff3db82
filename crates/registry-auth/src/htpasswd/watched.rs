//! A file that is read again when it changes.

use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::{Mutex, RwLock};

use super::error::HtpasswdError;
use super::file::{HTPASSWD_BYTES_MAX, Users};

/// How old a change must be for the file's time to show the next one: clocks of file systems are that coarse.
const SETTLING: Duration = Duration::from_secs(3);

pub(super) struct Watched {
    path: PathBuf,
    interval: Duration,
    users: RwLock<Arc<Users>>,
    state: Mutex<State>,
}

struct State {
    next_look: Instant,
    /// Whether somebody looks just now; on a network file system that may take long.
    is_looking: bool,
    /// The version that `users` or `complaint` is about; `None` if the same one must be read again.
    seen: Option<Version>,
    /// The version that `users` was read from.
    read: Version,
    /// What was last logged about a file that cannot be used.
    complaint: Option<String>,
}

/// What tells one version of the file from another.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Version {
    modified: Option<SystemTime>,
    size_bytes: u64,
    /// Device and inode, where there are such.
    identity: (u64, u64),
}

impl Watched {
    pub(super) fn open(path: PathBuf, interval: Duration) -> Result<Watched, HtpasswdError> {
        let (users, seen) = read(&path)?;
        users.log_unusable(&path);
        let state = State {
            next_look: Instant::now() + interval,
            is_looking: false,
            read: seen.clone(),
            seen: settled(seen),
            complaint: None,
        };
        Ok(Watched { path, interval, users: RwLock::new(Arc::new(users)), state: Mutex::new(state) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn users(&self) -> Arc<Users> {
        Arc::clone(&self.users.read())
    }

    /// Whether the caller is to [`Self::look`] now. It must, once this said so.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let mut state = self.state.lock();
        let is_due = now >= state.next_look && !state.is_looking;
        state.is_looking |= is_due;
        is_due
    }

    /// Reads the file again if it is another version. Blocks.
    pub(super) fn look(&self) {
        let seen = self.state.lock().seen.clone();
        let is_same = seen.is_some() && found(&self.path) == seen;
        let outcome = (!is_same).then(|| read(&self.path));
        let mut state = self.state.lock();
        state.is_looking = false;
        state.next_look = Instant::now() + self.interval;
        match outcome {
            None => {}
            Some(Ok((users, seen))) => {
                state.read = seen.clone();
                state.seen = settled(seen);
                state.complaint = None;
                self.replace(users);
            }
            // It was read before the process gave up the right to: nothing is missed as long as it is the same file.
            Some(Err(error)) if is_forbidden(&error) && found(&self.path).as_ref() == Some(&state.read) => {}
            Some(Err(error)) => {
                state.seen = None;
                let complaint = chain(&error);
                if state.complaint.as_ref() != Some(&complaint) {
                    tracing::error!("{complaint}; the users stay as they were");
                    state.complaint = Some(complaint);
                }
            }
        }
    }

    /// Says so if the file can not be read now.
    pub(super) fn look_again(&self) {
        if let Err(error) = read(&self.path)
            && is_forbidden(&error)
        {
            let text = chain(&error);
            tracing::warn!("a later version of the password file will not count: {text}");
            // Where it can not even be looked at, that is all that can be said.
            if found(&self.path).is_none() {
                self.state.lock().complaint = Some(text);
            }
        }
    }

    fn replace(&self, users: Users) {
        let mut current = self.users.write();
        if !current.is_same(&users) {
            users.log_unusable(&self.path);
            tracing::info!("read the password file {} again", self.path.display());
            *current = Arc::new(users);
        }
    }
}

/// Its version is that of the moment before reading: a change while it is read makes another one.
fn read(path: &Path) -> Result<(Users, Version), HtpasswdError> {
    let failed = |source: std::io::Error| match source.kind() {
        ErrorKind::NotFound => HtpasswdError::Missing { path: path.to_path_buf() },
        _ => HtpasswdError::Read { path: path.to_path_buf(), source },
    };
    let file = File::open(path).map_err(failed)?;
    let seen = version(&file.metadata().map_err(failed)?);
    let mut bytes = Vec::new();
    file.take(HTPASSWD_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > HTPASSWD_BYTES_MAX {
        return Err(HtpasswdError::TooLarge { path: path.to_path_buf() });
    }
    Ok((Users::parse(&bytes, path)?, seen))
}

fn is_forbidden(error: &HtpasswdError) -> bool {
    matches!(error, HtpasswdError::Read { source, .. } if source.kind() == ErrorKind::PermissionDenied)
}

fn found(path: &Path) -> Option<Version> {
    std::fs::metadata(path).ok().map(|metadata| version(&metadata))
}

fn version(metadata: &Metadata) -> Version {
    #[cfg(unix)]
    let identity =
        (std::os::unix::fs::MetadataExt::dev(metadata), std::os::unix::fs::MetadataExt::ino(metadata));
    #[cfg(not(unix))]
    let identity = (0, 0);
    Version { modified: metadata.modified().ok(), size_bytes: metadata.len(), identity }
}

/// The version if a change from now on would show, otherwise `None`: it was written just now, or lies in the future.
fn settled(version: Version) -> Option<Version> {
    let age = SystemTime::now().duration_since(version.modified?).ok()?;
    (age > SETTLING).then_some(version)
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
