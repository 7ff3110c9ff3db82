//! A file that is read again when it changes.

use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::{Mutex, RwLock};

use super::error::HtpasswdError;
use super::file::{HTPASSWD_BYTES_MAX, Users};
use crate::authenticator::Stale;

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
    complaint: Option<Complaint>,
    /// What was last logged about a file that cannot be used, or not all of it.
    told: Option<String>,
}

/// Why the file is not in force, or not all of it.
struct Complaint {
    since: Instant,
    is_partial: bool,
    reason: String,
}

/// A version of the file, as far as it can be read.
struct Reading {
    users: Users,
    /// The first line that cannot be read.
    fault: Option<HtpasswdError>,
    version: Version,
    is_public: bool,
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
        let Reading { users, fault, version, is_public } = read(&path)?;
        let mut state = State {
            next_look: Instant::now() + interval,
            is_looking: false,
            read: version.clone(),
            seen: settled(version),
            complaint: None,
            told: None,
        };
        match fault {
            Some(fault) if users.is_empty() => return Err(fault),
            // As for a server that reads the file again: what served before a restart serves after it.
            Some(fault) => state.complain(&fault, true),
            None => {}
        }
        warn(&path, &users, is_public);
        Ok(Watched { path, interval, users: RwLock::new(Arc::new(users)), state: Mutex::new(state) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn users(&self) -> Arc<Users> {
        Arc::clone(&self.users.read())
    }

    /// Whether the caller is to [`Self::reload`] now. It must, once this said so.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let mut state = self.state.lock();
        let is_due = now >= state.next_look && !state.is_looking;
        state.is_looking |= is_due;
        is_due
    }

    /// Reads the file again if it is another version. Blocks.
    pub(super) fn reload(&self) {
        let seen = self.state.lock().seen.clone();
        let is_same = seen.is_some() && found(&self.path) == seen;
        let outcome = (!is_same).then(|| read(&self.path));
        let mut state = self.state.lock();
        state.is_looking = false;
        state.next_look = Instant::now() + self.interval;
        match outcome {
            None => {}
            Some(Ok(Reading { users, fault: None, version, is_public })) => {
                state.read = version.clone();
                state.seen = settled(version);
                state.told = None;
                state.complaint = None;
                self.replace(users, is_public);
            }
            // A removal counts, whatever is wrong with other lines.
            Some(Ok(Reading { users, fault: Some(fault), version, is_public })) if !users.is_empty() => {
                state.read = version.clone();
                state.seen = settled(version);
                state.complain(&fault, true);
                self.replace(users, is_public);
            }
            // It was read before the process gave up the right to: nothing is missed as long as it is the same file, as far as
            // that can be seen.
            Some(Err(error)) if is_forbidden(&error) && self.may_be(&state.read) => {
                state.complaint = None;
                if found(&self.path).is_none() {
                    state.tell(chain(&error), "the users stay as they were");
                }
            }
            Some(Ok(Reading { fault: Some(error), .. }) | Err(error)) => {
                state.seen = None;
                state.complain(&error, false);
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
                self.state.lock().told = Some(text);
            }
        }
    }

    /// Whether the file is this version, or may be, since nothing about it can be seen.
    fn may_be(&self, version: &Version) -> bool {
        found(&self.path).is_none_or(|found| found == *version)
    }

    /// Since when the file is not in force, or not all of it.
    pub(super) fn stale(&self, now: Instant) -> Option<Stale> {
        let state = self.state.lock();
        let Complaint { since, is_partial, reason } = state.complaint.as_ref()?;
        let age = now.saturating_duration_since(*since);
        Some(Stale { age, is_partial: *is_partial, reason: reason.clone() })
    }

    fn replace(&self, users: Users, is_public: bool) {
        let mut current = self.users.write();
        if !current.is_same(&users) {
            warn(&self.path, &users, is_public);
            tracing::info!("read the password file {} again", self.path.display());
            *current = Arc::new(users);
        }
    }
}

impl State {
    fn complain(&mut self, error: &HtpasswdError, is_partial: bool) {
        let reason = chain(error);
        let consequence =
            if is_partial { "the other lines count, and only those" } else { "the users stay as they were" };
        self.tell(reason.clone(), consequence);
        let since = self.complaint.as_ref().map_or_else(Instant::now, |complaint| complaint.since);
        self.complaint = Some(Complaint { since, is_partial, reason });
    }

    /// Once for each reason.
    fn tell(&mut self, reason: String, consequence: &str) {
        if self.told.as_ref() != Some(&reason) {
            tracing::error!("{reason}; {consequence}");
            self.told = Some(reason);
        }
    }
}

fn warn(path: &Path, users: &Users, is_public: bool) {
    users.log_unusable(path);
    if is_public {
        let path = path.display();
        tracing::warn!(
            "every user of this machine can read the password file {path}: `chmod o-r {path}` ends that"
        );
    }
}

/// Its version is that of the moment before reading: a change while it is read makes another one.
fn read(path: &Path) -> Result<Reading, HtpasswdError> {
    let failed = |source: std::io::Error| match source.kind() {
        ErrorKind::NotFound => HtpasswdError::Missing { path: path.to_path_buf() },
        _ => HtpasswdError::Read { path: path.to_path_buf(), source },
    };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(HTPASSWD_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > HTPASSWD_BYTES_MAX {
        return Err(HtpasswdError::TooLarge { path: path.to_path_buf() });
    }
    let (users, fault) = Users::read(&bytes, path);
    Ok(Reading { users, fault, version: version(&metadata), is_public: is_public(&metadata) })
}

/// Whether every user of the machine can read it.
#[cfg(all(unix, not(portable)))]
fn is_public(metadata: &Metadata) -> bool {
    std::os::unix::fs::MetadataExt::mode(metadata) & 0o004 != 0
}

#[cfg(any(not(unix), portable))]
fn is_public(_: &Metadata) -> bool {
    false
}

fn is_forbidden(error: &HtpasswdError) -> bool {
    matches!(error, HtpasswdError::Read { source, .. } if source.kind() == ErrorKind::PermissionDenied)
}

fn found(path: &Path) -> Option<Version> {
    std::fs::metadata(path).ok().map(|metadata| version(&metadata))
}

fn version(metadata: &Metadata) -> Version {
    #[cfg(all(unix, not(portable)))]
    let identity =
        (std::os::unix::fs::MetadataExt::dev(metadata), std::os::unix::fs::MetadataExt::ino(metadata));
    #[cfg(any(not(unix), portable))]
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
