use std::io;
use std::path::PathBuf;

use super::file::{BCRYPT_COST_MAX, HTPASSWD_BYTES_MAX};
use super::make::PASSWORD_BYTES_MAX;
use crate::caller::ParseUserNameError;
use crate::unreadable::why_unreadable;

/// Why a password file cannot be used, or a line for one not be made.
#[derive(Debug, thiserror::Error)]
pub enum HtpasswdError {
    /// There is no such file.
    #[error("there is no password file {}", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error("cannot read the password file {}{}", path.display(), why_unreadable(path, source))]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It did not exist and cannot be made.
    #[error("cannot make the password file {}", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is too large.
    #[error("the password file {} has more than {HTPASSWD_BYTES_MAX} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// A line is not UTF-8.
    #[error("line {line} of the password file {} is not UTF-8", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// A line that is neither empty nor a comment has no colon.
    #[error("line {line} of the password file {} is not `user:hash`", path.display())]
    NoColon {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// What stands before the colon is no user's name.
    #[error("line {line} of the password file {} does not begin with a user's name", path.display())]
    User {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Why not.
        source: ParseUserNameError,
    },
    /// The realm cannot be sent to clients.
    #[error("the realm {realm:?} has control characters in it")]
    Realm {
        /// The realm.
        realm: String,
    },
    /// A line cannot be made for that name.
    #[error("no line can be made for that name")]
    UserName {
        /// Why not.
        source: ParseUserNameError,
    },
    /// A line would be taken for a comment.
    #[error("no line can be made for {user:?}: it would be read as a comment or another name")]
    UserMisread {
        /// The name.
        user: String,
    },
    /// A line cannot be made for that password: bcrypt would not look at its end.
    #[error("the password has {actual_bytes} bytes, more than {PASSWORD_BYTES_MAX}")]
    PasswordTooLong {
        /// How long it is.
        actual_bytes: usize,
    },
    /// A line cannot be made at that cost.
    #[error("the cost {cost} is not from 4 to {BCRYPT_COST_MAX}")]
    Cost {
        /// The cost.
        cost: u32,
    },
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Randomness {
        /// Why.
        source: getrandom::Error,
    },
    /// The hash cannot be made.
    #[error("cannot hash the password")]
    Hash {
        /// Why.
        source: bcrypt::BcryptError,
    },
}
