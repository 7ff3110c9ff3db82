//! Users in a file, as Apache's `htpasswd -B` writes it.

mod error;
mod file;
mod make;
mod remembered;
mod watched;

use std::fmt;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use http::HeaderValue;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use error::HtpasswdError;
pub use file::{BCRYPT_COST_MAX, HTPASSWD_BYTES_MAX};
pub use make::{PASSWORD_BYTES_MAX, make_htpasswd_line};

use crate::access::Access;
use crate::authenticator::{AuthenticationError, Authenticator};
use crate::caller::{Caller, UserName};
use crate::credentials::Credentials;
use file::Users;
use remembered::{Key, Remembered};
use watched::Watched;

/// The name of a user that was made up for a file that was not there, and the file that holds its password: one line
/// `user:password`, for the owner of the file alone.
pub type FirstUser = (String, PathBuf);

/// Where the users are, and what checking them may cost. [`HtpasswdOptions::new`] has defaults for all but the first two.
#[derive(Clone, Debug)]
pub struct HtpasswdOptions {
    /// What a client is shown that must log in.
    pub realm: String,
    /// The file.
    pub path: PathBuf,
    /// How often the file is looked at, at most; once a second.
    pub reload_interval: Duration,
    /// How long credentials that were right need not be checked again; 10 minutes. They are at once when their line changes.
    pub remember: Duration,
    /// How many credentials are remembered; 10,000.
    pub remembered_max: usize,
    /// How many passwords are checked at once; half the processors, at least 1. Each takes one for about 50 milliseconds.
    pub checks_max: usize,
    /// How many checks may wait for their turn; 256. Those beyond are refused at once as unavailable.
    pub waiting_max: usize,
}

impl HtpasswdOptions {
    /// The users of the file at `path`.
    pub fn new(realm: impl Into<String>, path: impl Into<PathBuf>) -> HtpasswdOptions {
        HtpasswdOptions {
            realm: realm.into(),
            path: path.into(),
            reload_interval: Duration::from_secs(1),
            remember: Duration::from_secs(600),
            remembered_max: 10_000,
            checks_max: (std::thread::available_parallelism().map_or(1, NonZero::get) / 2).max(1),
            waiting_max: 256,
        }
    }
}

/// Authenticates the users of a file by their passwords.
///
/// - Only bcrypt hashes (`$2a$`, `$2b$`, `$2y$`) count. Lines with others are warned about and match nobody.
/// - The file is looked at again at most once a second. A file that cannot be used leaves the users as they were, and is
///   logged once.
/// - A wrong password and a user who does not exist take the same time. A right one takes it too, the first time; then it is
///   remembered, as a keyed hash that is of no use to anybody else.
/// - Checks run apart from other work, few at once, so that somebody who tries passwords does not slow down those whose
///   credentials are remembered.
pub struct Htpasswd {
    shared: Arc<Shared>,
    challenge: HeaderValue,
    checks: Arc<Semaphore>,
    waiting: AtomicUsize,
    waiting_max: usize,
}

/// What checks use that may outlive the request they were made for.
struct Shared {
    watched: Watched,
    remembered: Mutex<Remembered>,
}

impl Htpasswd {
    /// Reads the file.
    ///
    /// # Errors
    /// [`HtpasswdError::Missing`] if it does not exist; it cannot be read, or a line is no line of such a file; the realm
    /// cannot be sent to clients.
    pub async fn open(options: HtpasswdOptions) -> Result<Htpasswd, HtpasswdError> {
        let path = options.path.clone();
        blocking(&path, move || Htpasswd::open_blocking(options)).await
    }

    /// As [`open`](Self::open), on this thread: for a process that may read the file only before it has a runtime.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_blocking(options: HtpasswdOptions) -> Result<Htpasswd, HtpasswdError> {
        let challenge = challenge(&options.realm)?;
        let watched = Watched::open(options.path, options.reload_interval)?;
        let remembered = Remembered::new(options.remember, options.remembered_max)
            .map_err(|source| HtpasswdError::Randomness { source })?;
        Ok(Htpasswd {
            shared: Arc::new(Shared { watched, remembered: Mutex::new(remembered) }),
            challenge,
            checks: Arc::new(Semaphore::new(options.checks_max.clamp(1, Semaphore::MAX_PERMITS))),
            waiting: AtomicUsize::new(0),
            waiting_max: options.waiting_max,
        })
    }

    /// Reads the file. If it does not exist, but its folder does, makes it, for the user `docker` with a random password,
    /// which is written to a file beside it whose path is returned.
    ///
    /// # Errors
    /// As [`Self::open`], and if the file cannot be made.
    pub async fn open_or_create(
        options: HtpasswdOptions,
    ) -> Result<(Htpasswd, Option<FirstUser>), HtpasswdError> {
        let path = options.path.clone();
        let first = blocking(&options.path, move || make::create_if_missing(&path)).await?;
        Ok((Htpasswd::open(options).await?, first))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.shared.watched.path()
    }

    /// Logs it if the file can not be read any more, since the process gave up rights: its next version will not count.
    pub fn look_again(&self) {
        self.shared.watched.look_again();
    }

    /// Reads the file now if it has changed. Blocks.
    pub fn reload(&self) {
        self.shared.watched.look();
    }

    async fn check(&self, user: String, password: Vec<u8>) -> Result<UserName, AuthenticationError> {
        let users = self.users().await;
        let key = self.shared.remembered.lock().key(&user, &password, users.hash(&user));
        if let Some(name) = self.shared.recall(&key) {
            return Ok(name);
        }
        let permit = self.turn().await?;
        // Clients send several requests at once: one of them may have been checked meanwhile.
        if let Some(name) = self.shared.recall(&key) {
            return Ok(name);
        }
        let shared = Arc::clone(&self.shared);
        let check = move || verify(&shared, &users, &user, &password, key, permit);
        match tokio::task::spawn_blocking(check).await {
            Ok(Some(name)) => Ok(name),
            Ok(None) => Err(AuthenticationError::Invalid),
            Err(error) => Err(AuthenticationError::Unavailable { source: error.into() }),
        }
    }

    /// The users, after a look at the file if one is due.
    async fn users(&self) -> Arc<Users> {
        if self.shared.watched.is_due(Instant::now()) {
            let shared = Arc::clone(&self.shared);
            // The claim that `is_due` gave ends in there, also if this future is dropped.
            let look = move || shared.watched.look();
            let _: Result<(), tokio::task::JoinError> = tokio::task::spawn_blocking(look).await;
        }
        self.shared.watched.users()
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, AuthenticationError> {
        let unavailable = |source| AuthenticationError::Unavailable { source };
        let queue = Queue(&self.waiting);
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.waiting_max {
            return Err(unavailable(Box::new(TooManyChecks { limit: self.waiting_max })));
        }
        let permit = Arc::clone(&self.checks).acquire_owned().await;
        drop(queue);
        permit.map_err(|error| unavailable(error.into()))
    }
}

/// The place of a check among those that wait; leaves when dropped.
struct Queue<'a>(&'a AtomicUsize);

impl Drop for Queue<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{limit} logins are waiting to be checked")]
struct TooManyChecks {
    limit: usize,
}

/// Takes its time. The permit goes with it, so that giving up a request does not make room for another check while this one
/// still runs.
fn verify(
    shared: &Shared,
    users: &Users,
    user: &str,
    password: &[u8],
    key: Option<Key>,
    permit: OwnedSemaphorePermit,
) -> Option<UserName> {
    let dummy = shared.remembered.lock().stable_choice(user);
    let is_right = users.verify(user, password, dummy);
    drop(permit);
    let name = is_right.then(|| user.parse().ok()).flatten();
    if let (Some(name), Some(key)) = (&name, key) {
        shared.remembered.lock().insert(key, UserName::clone(name), Instant::now());
    }
    name
}

impl Shared {
    fn recall(&self, key: &Option<Key>) -> Option<UserName> {
        self.remembered.lock().get(key.as_ref()?, Instant::now())
    }
}

#[async_trait]
impl Authenticator for Htpasswd {
    async fn authenticate(&self, authorization: Option<&HeaderValue>) -> Result<Caller, AuthenticationError> {
        match Credentials::parse(authorization)? {
            Credentials::Anonymous => Ok(Caller::Anonymous),
            Credentials::Basic { user, password } => self.check(user, password).await.map(Caller::User),
            // A client that holds a token from elsewhere must learn that a password is wanted here.
            Credentials::Bearer { .. } | Credentials::Other { .. } => Err(AuthenticationError::Invalid),
        }
    }

    fn challenge(&self, _: &Access) -> Option<HeaderValue> {
        Some(self.challenge.clone())
    }
}

impl fmt::Debug for Htpasswd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Htpasswd").field("path", &self.path()).finish_non_exhaustive()
    }
}

/// Spec: RFC 9110, section 11.6.1; RFC 7617, section 2.
fn challenge(realm: &str) -> Result<HeaderValue, HtpasswdError> {
    let quoted = realm.replace('\\', r"\\").replace('"', "\\\"");
    HeaderValue::from_bytes(format!("Basic realm=\"{quoted}\"").as_bytes())
        .map_err(|_| HtpasswdError::Realm { realm: realm.to_owned() })
}

async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T, HtpasswdError> + Send + 'static,
) -> Result<T, HtpasswdError> {
    let stopped = |error: tokio::task::JoinError| HtpasswdError::Read {
        path: path.to_path_buf(),
        source: std::io::Error::other(error),
    };
    tokio::task::spawn_blocking(work).await.map_err(stopped)?
}

#[cfg(test)]
mod tests;
