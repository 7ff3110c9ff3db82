//! Users in a file, as Apache's `htpasswd -B` writes it.

mod error;
mod file;
mod gate;
mod guesses;
mod make;
mod watched;

use std::fmt;
use std::net::IpAddr;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use http::HeaderValue;

pub use error::HtpasswdError;
pub use file::{BCRYPT_COST_MAX, HTPASSWD_BYTES_MAX};
pub use make::{PASSWORD_BYTES_MAX, make_htpasswd_line};

use crate::authenticator::{AuthenticationError, Authenticator, Refused, Stale};
use crate::caller::{Caller, UserName};
use crate::credentials::Credentials;
use crate::logins::{Failure, Report, Source};
use crate::presented::Presented;
use file::Users;
use gate::{Gate, Outcome};
use watched::Watched;

/// Reads bytes as a file of users, for fuzz targets.
///
/// # Panics
/// If a user is there whose name no client could send.
#[cfg(fuzzing)]
pub fn fuzz_users(bytes: &[u8]) {
    let (users, fault) = Users::read(bytes, Path::new("htpasswd"));
    assert_eq!(users.hash(""), None);
    drop(fault.map(|fault| fault.to_string()));
}

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
    /// How many passwords are checked at once; half the processors, at least 1. Each takes one for about 50 milliseconds. While
    /// logins wait for a check, one more runs.
    pub checks_max: usize,
}

impl HtpasswdOptions {
    /// The users of the file at `path`.
    pub fn new(realm: impl Into<String>, path: impl Into<PathBuf>) -> HtpasswdOptions {
        let checks_max = (std::thread::available_parallelism().map_or(1, NonZero::get) / 2).max(1);
        HtpasswdOptions {
            realm: realm.into(),
            path: path.into(),
            reload_interval: Duration::from_secs(1),
            remember: Duration::from_secs(600),
            remembered_max: 10_000,
            checks_max,
        }
    }
}

/// Authenticates the users of a file by their passwords.
///
/// - Only bcrypt hashes (`$2a$`, `$2b$`, `$2y$`) count. Lines with others are warned about and match nobody.
/// - The file is looked at again at most once a second. What can be read of it counts at once, also at the start; a file of
///   which nothing can be read leaves the users as they were ([`Authenticator::stale`]).
/// - A wrong password and a user who does not exist take the same time, and are refused alike. A right one takes it too, the
///   first time; then it is remembered, as a keyed hash that is of no use to others.
/// - Checks run apart from other work, few at once. Few wrong ones may be tried from an address, and fewer for a
///   name from there. Logins that failed wait for those that did not, and credentials that were right before for none.
pub struct Htpasswd {
    shared: Arc<Shared>,
    challenge: HeaderValue,
}

/// What checks use that may outlive the request they were made for.
struct Shared {
    watched: Watched,
    gate: Gate,
    report: Arc<Report>,
}

impl Htpasswd {
    /// Reads the file.
    ///
    /// # Errors
    /// [`HtpasswdError::Missing`] if it does not exist; it cannot be read, or has lines and none of them can be; the realm
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
        let gate = Gate::new(&options).map_err(|source| HtpasswdError::Randomness { source })?;
        let watched = Watched::open(options.path, options.reload_interval)?;
        Ok(Htpasswd { shared: Arc::new(Shared { watched, gate, report: Report::new() }), challenge })
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
        self.shared.watched.reload();
    }

    async fn check(
        &self,
        user: &str,
        password: Vec<u8>,
        address: Option<IpAddr>,
    ) -> Result<UserName, AuthenticationError> {
        let (failure, error) = match self.judge(user, password, address).await {
            Outcome::Right(name) => return Ok(name),
            Outcome::Wrong => (Failure::Wrong, AuthenticationError::Invalid),
            Outcome::WrongAgain => (Failure::Repeated, AuthenticationError::Invalid),
            Outcome::Unreadable => (Failure::Unreadable, AuthenticationError::Invalid),
            Outcome::Slowed(retry_after) => (Failure::Slowed, AuthenticationError::Slowed { retry_after }),
            Outcome::Failed(reason) => {
                let source = reason.to_string().into();
                return Err(AuthenticationError::Unavailable { source });
            }
        };
        self.shared.report.note(address, user, failure);
        Err(error)
    }

    async fn judge(&self, user: &str, password: Vec<u8>, address: Option<IpAddr>) -> Outcome {
        // bcrypt would take what comes before a NUL, or within 72 bytes, for the whole.
        if password.len() > PASSWORD_BYTES_MAX || password.contains(&0) {
            return Outcome::Unreadable;
        }
        // What is no name can be in no file.
        let Ok(name) = user.parse::<UserName>() else { return Outcome::Wrong };
        let users = self.users().await;
        let attempt = self.shared.gate.attempt(users, name, password, Source::of(address));
        gate::judge(&self.shared, attempt).await
    }

    /// The users, after a look at the file if one is due.
    async fn users(&self) -> Arc<Users> {
        if self.shared.watched.is_due(Instant::now()) {
            let shared = Arc::clone(&self.shared);
            // The claim that `is_due` gave ends in there, also if this future is dropped.
            let reload = move || shared.watched.reload();
            let _: Result<(), tokio::task::JoinError> = tokio::task::spawn_blocking(reload).await;
        }
        self.shared.watched.users()
    }
}

#[async_trait]
impl Authenticator for Htpasswd {
    async fn authenticate(&self, presented: Presented<'_>) -> Result<Caller, AuthenticationError> {
        match Credentials::parse(presented.authorization)? {
            Credentials::Anonymous => Ok(Caller::anonymous()),
            Credentials::Basic { user, password } => {
                self.check(&user, password, presented.address).await.map(Caller::user)
            }
            // A client that holds a token from elsewhere must learn that a password is wanted here.
            Credentials::Bearer { .. } | Credentials::Other { .. } => Err(AuthenticationError::Invalid),
        }
    }

    fn challenge(&self, _: &Refused<'_>) -> Option<HeaderValue> {
        Some(self.challenge.clone())
    }

    async fn stale(&self) -> Option<Stale> {
        self.users().await;
        self.shared.watched.stale(Instant::now())
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
mod logins_tests;
#[cfg(test)]
mod tests;
