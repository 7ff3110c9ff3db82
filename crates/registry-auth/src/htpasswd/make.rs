//! Making lines, and the first file.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::error::HtpasswdError;
use super::file::BCRYPT_COST_MAX;
use crate::caller::UserName;

/// The longest password: bcrypt does not look at what follows.
pub const PASSWORD_BYTES_MAX: usize = 72;

const FIRST_USER: &str = "docker";
const FIRST_COST: u32 = 10;

/// A line for a password file, without a line break: `user:$2y$…`. Takes about 50 milliseconds at cost 10, and twice that for
/// each step more.
///
/// # Errors
/// The name, the password or the cost cannot be used; see [`HtpasswdError`].
pub fn make_htpasswd_line(user: &str, password: &str, cost: u32) -> Result<String, HtpasswdError> {
    let name: UserName = user.parse().map_err(|source| HtpasswdError::UserName { source })?;
    if user.starts_with('#') || user.trim() != user {
        return Err(HtpasswdError::UserMisread { user: user.to_owned() });
    }
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(HtpasswdError::PasswordTooLong { actual_bytes: password.len() });
    }
    if !(4..=BCRYPT_COST_MAX).contains(&cost) {
        return Err(HtpasswdError::Cost { cost });
    }
    let parts = bcrypt::hash_with_result(password, cost).map_err(|source| HtpasswdError::Hash { source })?;
    Ok(format!("{name}:{}", parts.format_for_version(bcrypt::Version::TwoY)))
}

/// Makes a file with one user, and beside it a file with that user's name and password, both for their owner alone; `None` if
/// there is a file already.
pub(super) fn create_if_missing(path: &Path) -> Result<Option<super::FirstUser>, HtpasswdError> {
    if path.try_exists().unwrap_or(true) {
        return Ok(None);
    }
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|source| HtpasswdError::Randomness { source })?;
    let password = URL_SAFE_NO_PAD.encode(random);
    let line = make_htpasswd_line(FIRST_USER, &password, FIRST_COST)?;
    // The password first: without it, the other file would be of no use to anybody.
    let beside = first_password_file(path);
    let mut aside = beside.clone().into_os_string();
    aside.push(format!(".{}", std::process::id()));
    let aside = PathBuf::from(aside);
    let create = |path: &Path, source| HtpasswdError::Create { path: path.to_path_buf(), source };
    let _ = std::fs::remove_file(&aside);
    write(&aside, &format!("{FIRST_USER}:{password}")).map_err(|source| create(&aside, source))?;
    let made = write(path, &line);
    if made.is_err() {
        let _ = std::fs::remove_file(&aside);
    }
    match made {
        Ok(()) => {
            std::fs::rename(&aside, &beside).map_err(|source| create(&beside, source))?;
            Ok(Some((FIRST_USER.to_owned(), beside)))
        }
        // Another process was faster; its password counts.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(None),
        Err(source) => Err(create(path, source)),
    }
}

/// `htpasswd.first-user`, beside `htpasswd`.
fn first_password_file(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".first-user");
    PathBuf::from(name)
}

fn write(path: &Path, line: &str) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(all(unix, not(portable)))]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(format!("{line}\n").as_bytes())?;
    file.sync_all()
}
